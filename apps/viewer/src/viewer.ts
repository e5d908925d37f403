/** The images: NiiVue with one background, the segmentation and a map of entropy, and what lies at a place in them. */
import { MULTIPLANAR_TYPE, Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } from "@niivue/niivue";

export type Millimetres = [number, number, number];

/** How a compartment is labelled and coloured. */
export interface Label {
  value: number;
  name: string;
  colour: [number, number, number];
}

export const VIEWS = ["all", "axial", "coronal", "sagittal", "3d"] as const;
export type View = (typeof VIEWS)[number];

const SLICES: Record<View, SLICE_TYPE> = {
  all: SLICE_TYPE.MULTIPLANAR,
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
  "3d": SLICE_TYPE.RENDER,
};
export const ENTROPY_COLOURS = "plasma";
const HIDDEN_BELOW_MINIMUM = 1; // NiiVue's ZERO_TO_MAX_TRANSPARENT_BELOW_MIN
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

  private constructor(
    private readonly niivue: Niivue,
    private readonly canvas: HTMLCanvasElement,
  ) {}

  /** Called with the place of the crosshair, and while the pointer is over a slice, with that under the pointer. */
  onPlace: (mm: Millimetres, how: "crosshair" | "pointer") => void = () => undefined;

  static async open(canvas: HTMLCanvasElement): Promise<Viewer> {
    const niivue = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [0.55, 0.8, 1, 0.9],
      crosshairWidth: 1,
      crosshairWidthUnit: "mm",
      crosshairGap: 6,
      fontColor: [0.78, 0.82, 0.86, 1],
      fontMinPx: 14,
      fontSizeScaling: 0.3,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      multiplanarShowRender: SHOW_RENDER.ALWAYS,
      multiplanarLayout: MULTIPLANAR_TYPE.GRID,
      multiplanarPadPixels: 4,
      dragAndDropEnabled: false,
      loadingText: "",
      logLevel: "error",
      show3Dcrosshair: true,
    });
    await niivue.attachToCanvas(canvas, true);
    const viewer = new Viewer(niivue, canvas);
    niivue.onLocationChange = () => viewer.onPlace(viewer.crosshair(), "crosshair");
    viewer.listen();
    return viewer;
  }

  /** Show a case. Without a background, the segmentation and the entropy stand on black. */
  show(background: NVImage | null, segmentation: NVImage, labels: Label[], entropy: NVImage, entropyMax: number): void {
    segmentation.setColormapLabel(lookUpTable(labels));
    if (segmentation.hdr) segmentation.hdr.intent_code = LABEL_INTENT;
    this.niivue.addVolume(background ?? darkness(entropy));
    this.niivue.addVolume(segmentation);
    this.niivue.addVolume(this.dressed(entropy, entropyMax));
  }

  setBackground(background: NVImage): void {
    this.replace(0, background);
  }

  setEntropy(entropy: NVImage, most: number): void {
    this.replace(2, this.dressed(entropy, most));
  }

  /** Apply, at most once a frame: sliders fire faster than a volume can be drawn. */
  look(look: Look): void {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.apply(look));
  }

  setView(view: View): void {
    this.niivue.setSliceType(SLICES[view]);
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
    this.niivue.onLocationChange = () => undefined;
    this.niivue.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private dressed(entropy: NVImage, most: number): NVImage {
    this.entropyMax = most;
    entropy.colormapType = HIDDEN_BELOW_MINIMUM;
    entropy.colormap = ENTROPY_COLOURS;
    return entropy;
  }

  private apply(look: Look): void {
    const [, segmentation, entropy] = this.niivue.volumes;
    if (!segmentation || !entropy) return;
    segmentation.opacity = look.segmentation;
    entropy.opacity = look.entropy;
    entropy.cal_min = Math.max(look.threshold, 0.001);
    entropy.cal_max = this.entropyMax;
    this.niivue.opts.atlasOutline = look.outline ? 1 : 0;
    this.niivue.updateGLVolume();
  }

  private replace(place: number, volume: NVImage): void {
    const old = this.niivue.volumes[place];
    if (old === volume) return;
    if (old && place > 0) volume.opacity = old.opacity;
    if (old && place > 0) [volume.cal_min, volume.cal_max] = [old.cal_min, this.entropyMax];
    const volumes = [...this.niivue.volumes];
    volumes[place] = volume;
    this.niivue.volumes = volumes;
    this.niivue.setVolume(volume, place);
  }

  private listen(): void {
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
