/** The images: NiiVue with one background, the segmentation and a map of entropy, and what lies at a place in them. */
import { Niivue, NVImage, SLICE_TYPE } from "@niivue/niivue";
import { bordersOf } from "./volumes";

export type Millimetres = [number, number, number];

/** How a compartment is labelled and coloured. */
export interface Label {
  value: number;
  name: string;
  colour: [number, number, number];
}

export const VIEWS = ["all", "axial", "coronal", "sagittal", "3d"] as const;
export type View = (typeof VIEWS)[number];

/** A plane (or the render) and its part of the picture: left, top, width, height, from 0 to 1. */
interface Tile {
  sliceType: SLICE_TYPE;
  position: [number, number, number, number];
}

const { AXIAL, CORONAL, SAGITTAL, RENDER } = SLICE_TYPE;
const ONE: Record<Exclude<View, "all">, SLICE_TYPE> = { axial: AXIAL, coronal: CORONAL, sagittal: SAGITTAL, "3d": RENDER };
/** A wide picture has a large axial plane and the others beside it. */
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
const WIDE_FROM = 1.15;
export const ENTROPY_COLOURS = "mako";
/** Colours from zero on, nothing below the minimum. NiiVue 0.69 lists 1 for that in its types, but draws it for 2. */
const HIDDEN_BELOW_MINIMUM = 2;
const LABEL_INTENT = 1002; // NIfTI: values are labels, so that neighbours are not mixed
/** Radiological view: the left of the picture is the patient's right. */
const STEPS: Record<string, Millimetres> = {
  ArrowLeft: [1, 0, 0],
  ArrowRight: [-1, 0, 0],
  ArrowUp: [0, 1, 0],
  ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1],
  PageDown: [0, 0, -1],
};

/** What is asked of the picture; the rest of the page only changes this. */
export interface Look {
  segmentation: number;
  outline: boolean;
  entropy: number;
  threshold: number;
}

/** A volume that is read but not necessarily shown. */
export async function readVolume(content: ArrayBuffer, name: string): Promise<NVImage> {
  return NVImage.loadFromUrl({ url: content, name });
}

/** A volume's value at a place in patient space; null beyond its borders. */
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
  private view: View = "all";
  private filled: NVImage | null = null;
  private outlined: NVImage | null = null;
  private readonly resized = new ResizeObserver(() => this.layOut());

  private constructor(
    private readonly niivue: Niivue,
    private readonly canvas: HTMLCanvasElement,
  ) {}

  /** Called with the place of the crosshair, and while the pointer is over a slice, with that under the pointer. */
  onPlace: (mm: Millimetres, how: "crosshair" | "pointer") => void = () => undefined;

  static async open(canvas: HTMLCanvasElement): Promise<Viewer> {
    const niivue = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [0.62, 0.7, 0.76, 0.8],
      crosshairWidth: 0.4,
      crosshairWidthUnit: "mm",
      crosshairGap: 6,
      fontColor: [0.78, 0.82, 0.86, 1],
      fontMinPx: 14,
      fontSizeScaling: 0.3,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      dragAndDropEnabled: false,
      loadingText: "",
      logLevel: "error",
      show3Dcrosshair: true,
    });
    await niivue.attachToCanvas(canvas, true);
    niivue.setScale(1.35); // of the render
    const viewer = new Viewer(niivue, canvas);
    niivue.onLocationChange = () => viewer.onPlace(viewer.crosshair(), "crosshair");
    viewer.listen();
    return viewer;
  }

  /** Show a case. Without a background, the segmentation and the entropy stand on black. */
  show(background: NVImage | null, segmentation: NVImage, labels: Label[], entropy: NVImage, entropyMax: number, look: Look): void {
    this.filled = coloured(segmentation, labels);
    this.outlined = coloured(outlineOf(segmentation), labels);
    this.niivue.volumes = [background ?? darkness(entropy), this.dressed(entropy, entropyMax), this.filled];
    this.set(look);
    this.layOut();
    this.setBackground(this.niivue.volumes[0] ?? entropy);
  }

  setBackground(background: NVImage): void {
    this.niivue.volumes = [background, ...this.niivue.volumes.slice(1)];
    this.niivue.setVolume(background, 0);
    this.drawn();
  }

  /** Show another map of entropy, from the next `look` on. */
  setEntropy(entropy: NVImage, most: number): void {
    const [background, , segmentation] = this.niivue.volumes;
    if (background && segmentation) this.niivue.volumes = [background, this.dressed(entropy, most), segmentation];
  }

  /** Apply, at most once a frame: sliders fire faster than a volume can be drawn. */
  look(look: Look): void {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.apply(look));
  }

  setView(view: View): void {
    this.view = view;
    this.layOut();
    this.drawn();
  }

  goTo(mm: Millimetres): void {
    this.niivue.scene.crosshairPos = this.niivue.mm2frac(mm);
    this.niivue.createOnLocationChange();
    this.niivue.drawScene();
  }

  crosshair(): Millimetres {
    return threeOf(this.niivue.frac2mm(this.niivue.scene.crosshairPos, 0, true));
  }

  /** The colours of the entropy map from zero to its most, for a legend. */
  entropyColours(): string[] {
    const table = this.niivue.colormap(ENTROPY_COLOURS);
    return [0, 51, 102, 153, 204, 255].map((row) => `rgb(${table.slice(row * 4, row * 4 + 3).join(" ")})`);
  }

  close(): void {
    cancelAnimationFrame(this.pending);
    this.resized.disconnect();
    this.niivue.onLocationChange = () => undefined;
    this.niivue.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private dressed(entropy: NVImage, most: number): NVImage {
    this.entropyMax = most;
    entropy.colormapType = HIDDEN_BELOW_MINIMUM;
    entropy.colormap = ENTROPY_COLOURS;
    return entropy;
  }

  private set(look: Look): void {
    const [background, entropy] = this.niivue.volumes;
    const segmentation = look.outline ? this.outlined : this.filled;
    if (!background || !segmentation || !entropy) return;
    segmentation.opacity = look.segmentation;
    entropy.opacity = look.entropy;
    entropy.cal_min = Math.max(look.threshold, 0.001);
    entropy.cal_max = this.entropyMax;
    // Labels above: a border is where the model is least sure, and would be hidden.
    this.niivue.volumes = [background, entropy, segmentation];
    this.niivue.overlays = [entropy, segmentation];
  }

  /** Draw the overlays anew, and not the background, whose smoothing for the render takes most of the time. */
  private apply(look: Look): void {
    this.set(look);
    this.niivue.refreshColormaps();
    this.niivue.overlays.forEach((overlay, place) => this.niivue.refreshLayers(overlay, place + 1));
    this.niivue.drawScene();
    this.drawn();
  }

  /** Count the pictures, so that whoever changed something knows when it is drawn. */
  private drawn(): void {
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
  }

  private layOut(): void {
    const wide = this.canvas.clientWidth > WIDE_FROM * this.canvas.clientHeight;
    const all = wide ? WIDE : SQUARE;
    this.niivue.setCustomLayout(this.view === "all" ? all : [{ sliceType: ONE[this.view], position: [0, 0, 1, 1] }]);
  }

  private listen(): void {
    if (this.canvas.parentElement) this.resized.observe(this.canvas.parentElement);
    this.canvas.addEventListener("pointermove", (event) => {
      const scale = this.niivue.uiData.dpr ?? 1;
      const fraction = this.niivue.canvasPos2frac([event.offsetX * scale, event.offsetY * scale]);
      if (fraction[0] >= 0) this.onPlace(threeOf(this.niivue.frac2mm(fraction, 0, true)), "pointer");
    });
    this.canvas.addEventListener("pointerleave", () => this.onPlace(this.crosshair(), "crosshair"));
    // Ahead of NiiVue's own keys, which work only while the pointer is over the picture.
    this.canvas.parentElement?.addEventListener(
      "keydown",
      (event) => {
        event.stopPropagation();
        const step = STEPS[event.key];
        if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        const [x, y, z] = step.map((one) => one * (event.shiftKey ? 5 : 1)) as Millimetres;
        this.niivue.moveCrosshairInVox(x, y, z);
      },
      { capture: true },
    );
    this.canvas.parentElement?.addEventListener("keyup", (event) => event.stopPropagation(), { capture: true });
  }
}

/** A volume that shows as black: where there is no image, the maps need something to lie on. */
function darkness(like: NVImage): NVImage {
  const dark = like.clone();
  dark.colormap = "gray";
  dark.cal_min = 1e6;
  dark.cal_max = 2e6;
  return dark;
}

function coloured(segmentation: NVImage, labels: Label[]): NVImage {
  segmentation.setColormapLabel(lookUpTable(labels));
  if (segmentation.hdr) segmentation.hdr.intent_code = LABEL_INTENT;
  return segmentation;
}

/** The same labels, but only where another label is next to them. */
function outlineOf(segmentation: NVImage): NVImage {
  const outline = segmentation.clone();
  if (segmentation.img && segmentation.hdr) outline.img = bordersOf(segmentation.img, segmentation.hdr.dims.slice(1));
  return outline;
}

function lookUpTable(labels: Label[]): { R: number[]; G: number[]; B: number[]; A: number[]; I: number[]; labels: string[] } {
  const all: Label[] = [{ value: 0, name: "", colour: [0, 0, 0] }, ...labels];
  return {
    R: all.map((label) => label.colour[0]),
    G: all.map((label) => label.colour[1]),
    B: all.map((label) => label.colour[2]),
    A: all.map((label) => (label.value ? 255 : 0)),
    I: all.map((label) => label.value),
    labels: all.map((label) => label.name),
  };
}

function threeOf(values: ArrayLike<number>): Millimetres {
  return [values[0] ?? 0, values[1] ?? 0, values[2] ?? 0];
}
