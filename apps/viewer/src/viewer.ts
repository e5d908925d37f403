/** NiiVue with a background image, the segmentation, a map over it, and measuring tools. */
import { DRAG_MODE, Niivue, NVImage, SLICE_TYPE } from "@niivue/niivue";
import display from "../../../brats_mm/domain/display.json";
import { outlinePath, sliceOf } from "./contours";
import { listenForGestures, type Tool } from "./gestures";
import { distanceMm, Grid, PLANES, type Millimetres, type Plane, type SliceNumber } from "./grid";
import { Marks, type Line, type Outlines, type Tile as MarkedTile } from "./marks";
import type { Sequence } from "./sequences";
import { draggedWindow, FIRST_PRESET, presetWindow, windowText, type Window } from "./window";

/** Name and colour of a compartment. */
export interface Label {
  /** The compartment: ncr, ed or et. Other maps have none. */
  part?: string;
  value: number;
  name: string;
  colour: [number, number, number];
}

export const VIEWS = ["all", "axial", "coronal", "sagittal", "3d"] as const;
export type View = (typeof VIEWS)[number];

/** A plane or the render, and its part of the picture: left, top, width, height, 0 to 1. */
interface Tile {
  sliceType: SLICE_TYPE;
  position: [number, number, number, number];
}

const { AXIAL, CORONAL, SAGITTAL, RENDER } = SLICE_TYPE;
const PLANE_TYPES: Record<Plane, SLICE_TYPE> = { axial: AXIAL, coronal: CORONAL, sagittal: SAGITTAL };
const ONE: Record<Exclude<View, "all">, SLICE_TYPE> = { axial: AXIAL, coronal: CORONAL, sagittal: SAGITTAL, "3d": RENDER };
/** A wide picture shows a large axial plane and the other planes next to it. */
const WIDE: Tile[] = [
  { sliceType: AXIAL, position: [0, 0, 0.62, 1] },
  { sliceType: CORONAL, position: [0.62, 0, 0.38, 0.34] },
  { sliceType: SAGITTAL, position: [0.62, 0.34, 0.38, 0.33] },
  { sliceType: RENDER, position: [0.62, 0.67, 0.38, 0.33] },
];
const SQUARE: Tile[] = [
  { sliceType: AXIAL, position: [0, 0, 0.5, 0.5] },
  { sliceType: CORONAL, position: [0.5, 0, 0.5, 0.5] },
  { sliceType: SAGITTAL, position: [0, 0.5, 0.5, 0.5] },
  { sliceType: RENDER, position: [0.5, 0.5, 0.5, 0.5] },
];
/** Drawing order of the outlines. On a shared border, the later colour is visible. */
const OUTLINE_ORDER = ["ed", "ncr", "et"];
const WIDE_FROM = 1.15;
const CROSSHAIR_MM = 0.4;
/** Name of the entropy colour map in NiiVue. All outputs share its colours (`domain/display.json`). */
const ENTROPY_COLOURS = "entropy";
/** Colours start at zero and are transparent below the minimum. NiiVue 0.69 documents 1 for this, but needs 2. */
const HIDDEN_BELOW_MINIMUM = 2;
const LABEL_INTENT = 1002; // NIfTI: values are labels, so do not interpolate them
/** Radiological convention: the left of the picture is the patient's right. */
const STEPS: Record<string, Millimetres> = {
  ArrowLeft: [1, 0, 0],
  ArrowRight: [-1, 0, 0],
  ArrowUp: [0, 1, 0],
  ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1],
  PageDown: [0, 0, -1],
};

/** Settings of the overlays. The rest of the page changes only this object. */
export interface Look {
  /** Show the overlays at all. */
  overlays: boolean;
  segmentation: number;
  outline: boolean;
  /** Hidden label values. */
  hidden: ReadonlySet<number>;
  entropy: number;
  threshold: number;
}

/** Drawn overlays, and what they were drawn from. */
interface Overlays {
  key: string;
  texture: WebGLTexture | null;
}

/** A distance measured on a slice. */
interface Measurement {
  plane: Plane;
  from: Millimetres;
  to: Millimetres;
}

/** A volume in memory, shown or not. */
export async function readVolume(content: ArrayBuffer, name: string): Promise<NVImage> {
  return NVImage.loadFromUrl({ url: content, name });
}

/** Stops of the entropy colours as a NiiVue colour map. The lowest is transparent, to leave certain voxels uncovered. */
export function entropyColourMap(stops: readonly string[]): { R: number[]; G: number[]; B: number[]; A: number[]; I: number[] } {
  const channel = (at: number): number[] => stops.map((stop) => Number.parseInt(stop.slice(at, at + 2), 16));
  return { R: channel(1), G: channel(3), B: channel(5), A: stops.map((_, at) => (at ? 255 : 0)), I: stops.map((_, at) => Math.round((at / (stops.length - 1)) * 255)) };
}

/** Value of a volume at a position in patient space. Null outside the volume. */
export function valueAt(volume: NVImage, mm: Millimetres): number | null {
  const voxel = volume.mm2vox([...mm, 1]) as unknown as ArrayLike<number>;
  const [x, y, z] = [voxel[0] ?? -1, voxel[1] ?? -1, voxel[2] ?? -1];
  const [, width = 0, height = 0, depth = 0] = volume.dimsRAS ?? [];
  const inside = x >= 0 && y >= 0 && z >= 0 && x < width && y < height && z < depth;
  return inside ? volume.getValue(x, y, z) : null;
}

export class Viewer {
  private entropyMax = 1;
  private pending = 0;
  private windowing = 0;
  private view: View = "all";
  private tool: Tool = "crosshair";
  private grid = new Grid([1, 1, 1], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]);
  private labels: Label[] = [];
  private segmentation: NVImage | null = null;
  private shown: Look | null = null;
  private readonly drawnOutlines = new Map<Plane, { at: number; paths: Map<number, string> }>();
  private difference: NVImage | null = null;
  /** Overlays of the render: filled labels, which the uncertainty of the whole head would hide. Null if not drawn yet. */
  private renderOverlays: Overlays | null = null;
  private sliceOverlays: Overlays | null = null;
  private hasImage = false;
  private title = "";
  private sequence: Sequence = "t1ce";
  private measurements: Measurement[] = [];
  private measuring: Measurement | null = null;
  private readonly windowed = new WeakSet<NVImage>();
  private readonly marks = new Marks();
  private readonly resized = new ResizeObserver(() => this.layOut());

  private constructor(
    private readonly niivue: Niivue,
    private readonly canvas: HTMLCanvasElement,
  ) {}

  /** Called with the position of the crosshair, or of the pointer while it is over a slice. */
  onPlace: (mm: Millimetres, how: "crosshair" | "pointer") => void = () => undefined;
  /** Called when the grey window has changed. */
  onWindow: (window: Window) => void = () => undefined;
  /** Called with the distance in millimetres when a measurement ends, and with null when all are cleared. */
  onMeasured: (mm: number | null) => void = () => undefined;
  /** Called after each drawing, to synchronise another viewer. */
  onDrawn: () => void = () => undefined;

  static async open(canvas: HTMLCanvasElement): Promise<Viewer> {
    const niivue = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [0.62, 0.7, 0.76, 0.8],
      crosshairWidth: CROSSHAIR_MM,
      crosshairWidthUnit: "mm",
      crosshairGap: 6,
      isOrientationTextVisible: false, // `Marks` writes the letters
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      dragAndDropEnabled: false,
      loadingText: "",
      logLevel: "error",
      show3Dcrosshair: true,
    });
    niivue.addColormap(ENTROPY_COLOURS, entropyColourMap(display.entropy_colours));
    await niivue.attachToCanvas(canvas, true);
    niivue.setScale(1.35); // of the render
    const viewer = new Viewer(niivue, canvas);
    niivue.onLocationChange = () => viewer.onPlace(viewer.crosshair(), "crosshair");
    niivue.onIntensityChange = () => viewer.windowChanged();
    const draw = niivue.drawScene.bind(niivue);
    niivue.drawScene = () => {
      const message = draw();
      viewer.mark();
      viewer.onDrawn();
      return message;
    };
    const drawRender = niivue.draw3D.bind(niivue);
    niivue.draw3D = (...how) => viewer.withRenderOverlays(() => drawRender(...how));
    viewer.listen();
    viewer.setTool("crosshair");
    return viewer;
  }

  /** Show a case. Without a background, segmentation and entropy are drawn on black. Set one with `setBackground`. */
  show(background: NVImage | null, segmentation: NVImage, labels: Label[], entropy: NVImage, entropyMax: number, look: Look): void {
    this.grid = gridOf(segmentation);
    this.labels = labels;
    this.segmentation = coloured(segmentation, labels);
    this.drawnOutlines.clear();
    this.niivue.volumes = [background ?? darkness(entropy), this.dressed(entropy, entropyMax), this.segmentation];
    this.set(look);
    this.layOut();
    if (!background) this.setBackground(null);
  }

  /** Show another background image, or none. */
  setBackground(image: NVImage | null, title = "", sequence: Sequence = "t1ce"): void {
    this.sequence = sequence;
    const map = this.niivue.volumes[1];
    if (!map) return;
    const background = image ?? darkness(map);
    this.dropOverlays(); // they have the grid of the image before
    this.hasImage = image !== null;
    this.title = title;
    this.niivue.volumes = [background, ...this.niivue.volumes.slice(1)];
    this.niivue.setVolume(background, 0);
    // An image that was shown before keeps its grey window.
    if (image && !this.windowed.has(image)) this.setPreset(FIRST_PRESET);
    else this.windowChanged();
    if (image) this.windowed.add(image);
    if (this.shown) this.apply(this.shown);
  }

  /** Show another entropy map from the next `look` on. */
  setEntropy(entropy: NVImage, most: number): void {
    const [background, , segmentation] = this.niivue.volumes;
    const map = this.dressed(entropy, most);
    if (!background || !segmentation || this.difference) return;
    this.dropOverlays();
    this.niivue.volumes = [background, map, segmentation];
  }

  /** Show a difference map instead of the entropy from the next `look` on. Null restores the entropy. */
  setDifference(map: NVImage | null, entropy: NVImage): void {
    const [background, , segmentation] = this.niivue.volumes;
    this.difference = map;
    this.dropOverlays();
    if (background && segmentation) this.niivue.volumes = [background, map ?? entropy, segmentation];
  }

  /** Apply at most once per frame, because sliders fire faster than a volume can be drawn. */
  look(look: Look): void {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.apply(look));
  }

  setView(view: View): void {
    this.view = view;
    if (this.shown) this.look(this.shown);
    if (this.canvas.parentElement) this.canvas.parentElement.dataset.touch = view === "3d" ? "turn" : "tap";
    this.layOut();
    this.drawn();
  }

  setTool(tool: Tool): void {
    this.tool = tool;
    const left = tool === "pan" ? DRAG_MODE.pan : DRAG_MODE.crosshair;
    this.niivue.setMouseEventConfig({ leftButton: { primary: left }, rightButton: DRAG_MODE.none, centerButton: DRAG_MODE.pan });
    // This mode makes the wheel zoom instead of scroll.
    this.niivue.opts.dragMode = tool === "pan" ? DRAG_MODE.pan : DRAG_MODE.none;
    if (this.canvas.parentElement) this.canvas.parentElement.dataset.tool = tool;
  }

  goTo(mm: Millimetres): void {
    this.niivue.scene.crosshairPos = this.fractionOf(mm);
    this.niivue.createOnLocationChange();
    this.niivue.drawScene();
  }

  /** Copy crosshair, zoom and render angle of another viewer, without calling `onPlace`. */
  follow(other: Viewer): void {
    const [own, its] = [this.niivue.scene, other.niivue.scene];
    const crosshair = this.fractionOf(other.crosshair());
    const same =
      distanceMm(this.crosshair(), other.crosshair()) < 0.01 &&
      [...own.pan2Dxyzmm].every((value, axis) => value === its.pan2Dxyzmm[axis]) &&
      own.renderAzimuth === its.renderAzimuth &&
      own.renderElevation === its.renderElevation;
    if (same) return;
    own.crosshairPos = crosshair;
    own.pan2Dxyzmm = [its.pan2Dxyzmm[0], its.pan2Dxyzmm[1], its.pan2Dxyzmm[2], its.pan2Dxyzmm[3]];
    own.renderAzimuth = its.renderAzimuth;
    own.renderElevation = its.renderElevation;
    this.niivue.drawScene();
  }

  crosshair(): Millimetres {
    return threeOf(this.niivue.frac2mm(this.niivue.scene.crosshairPos, 0, true));
  }

  /** Show or hide the crosshair lines. */
  showCrosshair(shown: boolean): void {
    this.niivue.opts.crosshairWidth = shown ? CROSSHAIR_MM : 0;
    this.niivue.opts.show3Dcrosshair = shown;
    this.niivue.drawScene();
    this.drawn();
  }

  slice(plane: Plane): SliceNumber {
    return this.grid.sliceAt(this.crosshair(), plane);
  }

  setSlice(plane: Plane, at: number): void {
    this.goTo(this.grid.onSlice(this.crosshair(), plane, at));
  }

  /** The grey window of the image. Null without an image. */
  window(): Window | null {
    const image = this.niivue.volumes[0];
    return image && this.hasImage ? { low: image.cal_min ?? 0, high: image.cal_max ?? 1 } : null;
  }

  setWindow(window: Window): void {
    const image = this.niivue.volumes[0];
    if (!image || !this.hasImage) return;
    [image.cal_min, image.cal_max] = [window.low, window.high];
    this.niivue.refreshLayers(image, 0);
    this.niivue.drawScene();
    this.windowChanged();
    this.drawn();
  }

  /** Set the grey window to one of `PRESETS`. */
  setPreset(preset: string): void {
    const image = this.niivue.volumes[0];
    if (!image?.img || !image.hdr) return;
    const [, width = 1, height = 1, depth = 1] = image.hdr.dims;
    const voxels = { stored: image.img, size: [width, height, depth], slope: image.hdr.scl_slope || 1, intercept: image.hdr.scl_inter };
    this.setWindow(presetWindow(preset, voxels, this.sequence));
  }

  /** Reset zoom and pan. */
  resetZoom(): void {
    this.niivue.scene.pan2Dxyzmm = [0, 0, 0, 1];
    this.niivue.drawScene();
    this.drawn();
  }

  clearMeasurements(): void {
    this.measurements = [];
    this.measuring = null;
    this.mark();
    this.onMeasured(null);
  }

  /** Colours of the entropy map from zero to its maximum, for a legend. */
  entropyColours(): string[] {
    const table = this.niivue.colormap(ENTROPY_COLOURS);
    return [0, 51, 102, 153, 204, 255].map((row) => `rgb(${table.slice(row * 4, row * 4 + 3).join(" ")})`);
  }

  close(): void {
    cancelAnimationFrame(this.pending);
    cancelAnimationFrame(this.windowing);
    this.resized.disconnect();
    this.niivue.onLocationChange = () => undefined;
    this.marks.element.remove();
    this.niivue.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private dressed(entropy: NVImage, most: number): NVImage {
    this.entropyMax = most;
    entropy.colormapType = HIDDEN_BELOW_MINIMUM;
    entropy.colormap = ENTROPY_COLOURS;
    return entropy;
  }

  private set(look: Look): void {
    const [background, map] = this.niivue.volumes;
    const segmentation = this.segmentation;
    if (!background || !segmentation || !map) return;
    this.shown = { ...look, hidden: new Set(look.hidden) };
    segmentation.setColormapLabel(lookUpTable(this.labels, look.hidden));
    // `Marks` draws outlines over the slices.
    segmentation.opacity = look.overlays && !look.outline ? look.segmentation : 0;
    map.opacity = look.overlays ? look.entropy : 0;
    if (map !== this.difference) {
      map.cal_min = Math.max(look.threshold, 0.001);
      map.cal_max = this.entropyMax;
    }
    // Draw labels on top: entropy is highest at borders and would hide them.
    this.niivue.volumes = [background, map, segmentation];
    this.niivue.overlays = [map, segmentation];
  }

  /** Redraw only the overlays that changed. Smoothing the background for the render takes most of the time. */
  private apply(look: Look): void {
    const render = { ...look, outline: false, entropy: this.difference ? look.entropy : 0 };
    if (this.view === "all" || this.view === "3d") this.renderOverlays = this.refreshed(render, this.renderOverlays);
    if (this.view !== "3d") this.sliceOverlays = this.refreshed(look, this.sliceOverlays);
    this.set(look);
    this.useOverlays(this.sliceOverlays);
    this.niivue.drawScene();
    this.drawn();
  }

  /** Overlays of a look: those of before if it would draw the same. */
  private refreshed(look: Look, before: Overlays | null): Overlays {
    this.set(look);
    const { niivue } = this;
    const key = JSON.stringify([...niivue.overlays.map((one) => [one.opacity, one.opacity ? [one.cal_min, one.cal_max] : null]), look.outline ? null : [...look.hidden].sort()]);
    if (before?.key === key) return before;
    const kept = [this.renderOverlays, this.sliceOverlays].filter((one) => one !== before).map((one) => one?.texture);
    for (const texture of [before?.texture, niivue.overlayTexture]) if (texture && !kept.includes(texture)) niivue.gl.deleteTexture(texture);
    niivue.refreshColormaps();
    niivue.overlays.forEach((overlay, place) => niivue.refreshLayers(overlay, place + 1));
    this.canvas.dataset.refreshed = String(Number(this.canvas.dataset.refreshed ?? 0) + 1);
    return { key, texture: niivue.overlayTexture };
  }

  private useOverlays(overlays: Overlays | null): void {
    if (!overlays) return;
    const { niivue } = this;
    niivue.overlayTexture = overlays.texture;
    niivue.gl.activeTexture(niivue.gl.TEXTURE2); // NiiVue's unit of the overlays
    niivue.gl.bindTexture(niivue.gl.TEXTURE_3D, overlays.texture);
  }

  /** Draw with the overlays of the render instead of those of the slices. */
  private withRenderOverlays<Value>(draw: () => Value): Value {
    if (!this.renderOverlays) return draw();
    this.useOverlays(this.renderOverlays);
    try {
      return draw();
    } finally {
      this.useOverlays(this.sliceOverlays);
    }
  }

  /** Forget the drawn overlays, because the image or a map changed. */
  private dropOverlays(): void {
    for (const overlays of [this.renderOverlays, this.sliceOverlays]) if (overlays) this.niivue.gl.deleteTexture(overlays.texture);
    this.renderOverlays = this.sliceOverlays = null;
  }

  /** Count the drawn frames, so that callers can wait for a change to be drawn. */
  private drawn(): void {
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
  }

  private windowChanged(): void {
    const window = this.window();
    if (window) this.onWindow(window);
    this.mark();
  }

  private layOut(): void {
    const wide = this.canvas.clientWidth > WIDE_FROM * this.canvas.clientHeight;
    const all = wide ? WIDE : SQUARE;
    this.niivue.setCustomLayout(this.view === "all" ? all : [{ sliceType: ONE[this.view], position: [0, 0, 1, 1] }]);
  }

  private scale(): number {
    return this.niivue.uiData.dpr ?? 1;
  }

  private tiles(): MarkedTile[] {
    const scale = this.scale();
    return this.niivue.screenSlices.flatMap((tile) => {
      const plane = PLANES.find((one) => PLANE_TYPES[one] === tile.axCorSag);
      if (!plane) return [];
      const [left = 0, top = 0, width = 0, height = 0] = tile.leftTopWidthHeight.map((length) => length / scale);
      const { at, of } = this.slice(plane);
      return [{ plane, left, top, width, height, pixelsPerMm: this.pixelsPerMm(plane), slice: `${at} / ${of}`, outlines: this.outlines(plane, at) }];
    });
  }

  /** Outlines of the labels on a slice, counted from 1. Null if none is visible. */
  private outlines(plane: Plane, at: number): Outlines | null {
    const look = this.shown;
    if (!look?.overlays || !look.outline || !look.segmentation) return null;
    const axis = this.grid.axisOf(plane);
    const [across = 0, down = 1] = [0, 1, 2].filter((one) => one !== axis);
    const corner = (u: number, v: number): [number, number] | null => {
      const voxel: Millimetres = [at - 1, at - 1, at - 1];
      [voxel[across], voxel[down]] = [u - 0.5, v - 0.5];
      return this.pointOf(this.grid.placeOf(voxel), plane);
    };
    const [origin, right, below] = [corner(0, 0), corner(1, 0), corner(0, 1)];
    if (!origin || !right || !below) return null;
    const paths = this.pathsOf(plane, axis, at);
    const shown = this.labels.filter((label) => !look.hidden.has(label.value) && paths.get(label.value));
    shown.sort((one, other) => OUTLINE_ORDER.indexOf(one.part ?? "") - OUTLINE_ORDER.indexOf(other.part ?? ""));
    return {
      paths: shown.map((label) => ({ data: paths.get(label.value) ?? "", colour: `rgb(${label.colour.join(" ")})` })),
      matrix: [right[0] - origin[0], right[1] - origin[1], below[0] - origin[0], below[1] - origin[1], ...origin],
      opacity: look.segmentation,
    };
  }

  private pathsOf(plane: Plane, axis: number, at: number): Map<number, string> {
    const before = this.drawnOutlines.get(plane);
    if (before?.at === at) return before.paths;
    const slice = sliceOf(this.segmentation?.img ?? [], this.grid.size, axis, at - 1);
    const paths = new Map(this.labels.map((label) => [label.value, outlinePath(slice, label.value)]));
    this.drawnOutlines.set(plane, { at, paths });
    return paths;
  }

  private mark(): void {
    const tiles = this.tiles();
    const window = this.window();
    const lines = [...this.measurements, ...(this.measuring ? [this.measuring] : [])].flatMap((one) => this.lineOf(one, tiles));
    this.marks.draw(tiles, lines, this.title, window ? windowText(window) : "");
  }

  /** A measurement in canvas coordinates, if its slice is visible. */
  private lineOf(one: Measurement, tiles: MarkedTile[]): Line[] {
    const shown = tiles.some((tile) => tile.plane === one.plane) && this.slice(one.plane).at === this.grid.sliceAt(one.from, one.plane).at;
    const [from, to] = [this.pointOf(one.from, one.plane), this.pointOf(one.to, one.plane)];
    return shown && from && to ? [{ from, to, text: `${distanceMm(one.from, one.to).toFixed(1)} mm` }] : [];
  }

  /** Canvas point of a position on a plane, also beyond its borders. Null if the plane is not laid out. */
  private pointOf(mm: Millimetres, plane: Plane): [number, number] | null {
    const tile = this.niivue.screenSlices.find((one) => one.axCorSag === PLANE_TYPES[plane]);
    if (!tile) return null;
    // NiiVue's own conversion clamps to the tile and needs points on the drawn slice, which thick slices and zoom miss.
    const drawn = this.niivue.frac2mm(this.fractionOf(mm));
    const [across, up] = { axial: [0, 1], coronal: [0, 2], sagittal: [1, 2] }[plane] as [number, number];
    const share = [across, up].map((axis, side) => ((drawn[axis] ?? 0) - (tile.leftTopMM[side] ?? 0)) / (tile.fovMM[side] ?? 1));
    const [left = 0, top = 0, width = 0, height = 0] = tile.leftTopWidthHeight;
    const point: [number, number] = [(left + (share[0] ?? 0) * width) / this.scale(), (top + (1 - (share[1] ?? 0)) * height) / this.scale()];
    return point.every(Number.isFinite) ? point : null; // a tile has no extent before it is laid out
  }

  /** Position as a share of the image's sides. NiiVue draws an oblique grid upright, and by default converts so too. */
  private fractionOf(mm: Millimetres): ReturnType<Niivue["mm2frac"]> {
    return this.niivue.mm2frac(mm, 0, true);
  }

  private pixelsPerMm(plane: Plane): number {
    const here = this.crosshair();
    const next: Millimetres = [...here];
    next[plane === "sagittal" ? 1 : 0] += 10;
    const [from, to] = [this.pointOf(here, plane), this.pointOf(next, plane)];
    return from && to ? Math.hypot(from[0] - to[0], from[1] - to[1]) / 10 : 0;
  }

  /** Position at a point of the canvas. Null outside the slices. */
  private placeAt([x, y]: readonly [number, number]): Millimetres | null {
    const fraction = this.niivue.canvasPos2frac([x * this.scale(), y * this.scale()]);
    return fraction[0] >= 0 ? threeOf(this.niivue.frac2mm(fraction, 0, true)) : null;
  }

  private planeAt([x, y]: readonly [number, number]): Plane | null {
    const inside = (tile: MarkedTile): boolean => x >= tile.left && y >= tile.top && x < tile.left + tile.width && y < tile.top + tile.height;
    return this.tiles().find(inside)?.plane ?? null;
  }

  private listen(): void {
    const around = this.canvas.parentElement;
    if (!around) return;
    around.append(this.marks.element);
    this.resized.observe(around);
    let window: Window | null = null;
    listenForGestures(around, this.canvas, {
      tool: () => this.tool,
      tap: (at) => {
        const mm = this.placeAt(at);
        if (mm) this.goTo(mm);
      },
      windowStart: () => (window = this.window()),
      windowMove: (move) => {
        const start = window;
        cancelAnimationFrame(this.windowing);
        if (start) this.windowing = requestAnimationFrame(() => this.setWindow(draggedWindow(start, move)));
      },
      measureStart: (at) => {
        const [plane, mm] = [this.planeAt(at), this.placeAt(at)];
        this.measuring = plane && mm ? { plane, from: mm, to: mm } : null;
        return this.measuring !== null;
      },
      measureMove: (at) => {
        const mm = this.placeAt(at);
        if (this.measuring && mm && this.planeAt(at) === this.measuring.plane) this.measuring = { ...this.measuring, to: mm };
        this.mark();
      },
      measureEnd: () => this.keepMeasurement(),
    });
    this.canvas.addEventListener("pointermove", (event) => {
      const mm = this.placeAt([event.offsetX, event.offsetY]);
      if (mm && event.pointerType !== "touch") this.onPlace(mm, "pointer");
    });
    this.canvas.addEventListener("pointerleave", () => this.onPlace(this.crosshair(), "crosshair"));
    // Handle keys before NiiVue, which needs the pointer over the picture.
    around.addEventListener(
      "keydown",
      (event) => {
        const step = STEPS[event.key];
        if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
        event.stopPropagation();
        event.preventDefault();
        const [x, y, z] = step.map((one) => one * (event.shiftKey ? 5 : 1)) as Millimetres;
        this.niivue.moveCrosshairInVox(x, y, z);
      },
      { capture: true },
    );
    // Pass keys to the page from the surrounding element, never to NiiVue.
    for (const kind of ["keydown", "keyup"]) this.canvas.addEventListener(kind, (event) => event.stopImmediatePropagation(), { capture: true });
  }

  private keepMeasurement(): void {
    const one = this.measuring;
    this.measuring = null;
    if (one && distanceMm(one.from, one.to) > 0.05) {
      this.measurements.push(one);
      this.onMeasured(distanceMm(one.from, one.to));
    }
    this.mark();
  }
}

/** A black volume, because NiiVue draws overlays only on a background. */
function darkness(like: NVImage): NVImage {
  const dark = like.clone();
  dark.colormap = "gray";
  dark.cal_min = 1e6;
  dark.cal_max = 2e6;
  return dark;
}

/** Voxel grid of a volume's file. */
export function gridOf(volume: NVImage): Grid {
  return new Grid(volume.hdr?.dims.slice(1, 4) ?? [1, 1, 1], volume.hdr?.affine ?? []);
}

/** Label map with the colours of its labels. */
export function coloured(segmentation: NVImage, labels: Label[]): NVImage {
  segmentation.setColormapLabel(lookUpTable(labels));
  if (segmentation.hdr) segmentation.hdr.intent_code = LABEL_INTENT;
  return segmentation;
}

function lookUpTable(labels: Label[], hidden: ReadonlySet<number> = new Set()): { R: number[]; G: number[]; B: number[]; A: number[]; I: number[]; labels: string[] } {
  const all: Label[] = [{ value: 0, name: "", colour: [0, 0, 0] }, ...labels];
  return {
    R: all.map((label) => label.colour[0]),
    G: all.map((label) => label.colour[1]),
    B: all.map((label) => label.colour[2]),
    A: all.map((label) => (label.value && !hidden.has(label.value) ? 255 : 0)),
    I: all.map((label) => label.value),
    labels: all.map((label) => label.name),
  };
}

function threeOf(values: ArrayLike<number>): Millimetres {
  return [values[0] ?? 0, values[1] ?? 0, values[2] ?? 0];
}
