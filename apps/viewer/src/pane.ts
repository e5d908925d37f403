/** A canvas with its viewer: the overlays of a case on one of its sequences. */
import type { NVImage } from "@niivue/niivue";
import type { CaseData } from "./case_data";
import { h } from "./dom";
import { SEQUENCE_LABELS, type Sequence } from "./sequences";
import { gridOf, Viewer, type Look } from "./viewer";

export interface PaneContent {
  /** Case of the segmentation and entropy. */
  result: CaseData;
  /** Case of the background images. For a rerun, that of the first job. */
  images: CaseData;
  sequence: Sequence | null;
  /** Text of the title after the sequence. */
  note: string;
}

export class Pane {
  readonly canvas: HTMLCanvasElement;
  readonly element: HTMLElement;
  private readonly images = new Map<Sequence, Promise<NVImage>>();
  private readonly entropies = new Map<string, Promise<NVImage>>();
  private opened: { viewer: Viewer; segmentation: NVImage; entropy: NVImage } | null = null;
  private closed = false;

  constructor(
    readonly content: PaneContent,
    label: string,
  ) {
    this.canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": label, "aria-describedby": "keys" });
    this.element = h("div", { class: "picture" }, this.canvas);
  }

  get viewer(): Viewer {
    return this.parts().viewer;
  }

  get segmentation(): NVImage {
    return this.parts().segmentation;
  }

  get entropy(): NVImage {
    return this.parts().entropy;
  }

  get isOpen(): boolean {
    return this.opened !== null;
  }

  /** Read and show the case. NiiVue measures its canvas, so the element must be in the page. */
  async open(look: Look): Promise<void> {
    const { result, sequence } = this.content;
    this.element.dataset.state = "loading";
    try {
      const [image, segmentation, entropy] = await Promise.all([
        sequence ? this.image(sequence) : null,
        result.result("segmentation.nii.gz"),
        this.entropyMap("entropy"),
      ]);
      if (this.closed) return;
      const viewer = await Viewer.open(this.canvas);
      this.opened = { viewer, segmentation, entropy };
      viewer.show(image, segmentation, result.labels, entropy, result.report.entropy_range_nats.combined, look);
      if (sequence) this.setTitle(sequence, image);
      this.element.dataset.state = "ready";
    } catch (error) {
      this.element.dataset.state = "failed";
      throw error;
    }
  }

  async setSequence(sequence: Sequence): Promise<void> {
    const image = await this.image(sequence);
    if (this.closed) return;
    this.content.sequence = sequence;
    this.setTitle(sequence, image);
  }

  /** Show an image that the user selected again. */
  setImage(sequence: Sequence, image: NVImage): void {
    this.images.set(sequence, Promise.resolve(image));
    this.content.sequence = sequence;
    this.setTitle(sequence, image);
  }

  async setEntropy(name: string): Promise<void> {
    const ranges = this.content.result.report.entropy_range_nats;
    const entropy = await this.entropyMap(name);
    if (this.opened) this.opened.entropy = entropy;
    if (!this.closed) this.viewer.setEntropy(entropy, name === "entropy" ? ranges.combined : ranges.region);
  }

  close(): void {
    this.closed = true;
    this.opened?.viewer.close();
    this.element.remove();
  }

  private parts(): { viewer: Viewer; segmentation: NVImage; entropy: NVImage } {
    if (!this.opened) throw new Error("The images have not been read yet.");
    return this.opened;
  }

  private setTitle(sequence: Sequence, image: NVImage | null): void {
    const aligned = !image || gridOf(image).matches(gridOf(this.segmentation));
    const how = this.content.images.isRegistered(sequence) ? "registered" : aligned ? "" : "not registered";
    this.element.dataset.aligned = String(aligned);
    const title = [SEQUENCE_LABELS[sequence], how, this.content.note].filter(Boolean).join(", ");
    this.canvas.setAttribute("aria-label", `Images of the case: ${title}`);
    this.viewer.setBackground(image, title, sequence);
  }

  private image(sequence: Sequence): Promise<NVImage> {
    return remembered(this.images, sequence, () => this.content.images.image(sequence));
  }

  private entropyMap(name: string): Promise<NVImage> {
    return remembered(this.entropies, name, () => this.content.result.result(`${name}.nii.gz`));
  }
}

/** Cache a promise of a map. A failed one is tried again the next time. */
function remembered<Key, Value>(map: Map<Key, Promise<Value>>, key: Key, make: () => Promise<Value>): Promise<Value> {
  const value = map.get(key) ?? make();
  map.set(key, value);
  value.catch(() => map.delete(key));
  return value;
}
