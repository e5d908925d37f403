/** A finished job: the images with their overlays, and everything that is known beside them. */
import type { NVImage } from "@niivue/niivue";
import { ask, askBytes, askJson, token, type Importance, type Job, type Models, type Report } from "./api";
import { choice, entropyControls, segmentationControls, viewSwitch } from "./controls";
import { fill, h } from "./dom";
import { when } from "./format";
import { addFile, cancel, filesOf } from "./jobs";
import { expectationPanel, filesPanel, importancePanel, legend, REGION_NAMES, remarksPanel, spotsPanel, volumesPanel } from "./panels";
import { sequenceChips } from "./progress";
import { Readout } from "./readout";
import { announce, problemBox, type Screen } from "./screen";
import { SEQUENCE_LABELS, SEQUENCES, type Sequence } from "./sequences";
import { known } from "./session";
import { readVolume, Viewer, type Label, type Look } from "./viewer";
import { middleOfLabels } from "./volumes";

/** Which sequence shows the tumour best, first. */
const BACKGROUNDS: Sequence[] = ["t1ce", "flair", "t2", "t1"];

interface Kept {
  name: string;
  sequence: string;
  href: string;
}

export async function resultScreen(job: Job): Promise<Screen> {
  const [report, importance, models, kept] = await Promise.all([
    askJson<Report>(resultPath(job, "report.json")),
    askJson<Importance>(resultPath(job, "importance.json")),
    askJson<Models>("/v1/models"),
    job.links.inputs ? askJson<Kept[]>(job.links.inputs) : Promise.resolve([]),
  ]);
  const screen = new ResultScreen(job, report, importance, labelsOf(models, report), kept);
  // NiiVue measures its canvas, so it is opened once the screen stands in the page.
  requestAnimationFrame(() => void screen.open());
  return screen;
}

function resultPath(job: Job, name: string): string {
  return `${job.links.results ?? ""}/${encodeURIComponent(name)}`;
}

function labelsOf(models: Models, report: Report): Label[] {
  return Object.entries(models.segments).map(([part, style]) => ({ ...style, value: report.labels[part] ?? -1 }));
}

class ResultScreen implements Screen {
  readonly element: HTMLElement;
  readonly heading: HTMLElement[];
  private readonly look: Look = { segmentation: 1, outline: true, entropy: 0.6, threshold: 0.6 };
  private readonly canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": "Images of the case", "aria-describedby": "keys" });
  private readonly picture = h("div", { class: "picture" }, this.canvas);
  private readonly below = h("div", { class: "below" });
  private readonly tools = h("div", { class: "tools" });
  private readonly overlays = h("div", { class: "overlays" });
  private readonly entropies = new Map<string, NVImage>();
  private viewer: Viewer | null = null;
  private closed = false;

  constructor(
    private readonly job: Job,
    private readonly report: Report,
    importance: Importance,
    private readonly labels: Label[],
    private readonly kept: Kept[],
  ) {
    const keys = h("p", { id: "keys", class: "unseen" }, "Arrow keys, Page Up and Page Down move the crosshair; with Shift by five.");
    this.heading = [h("h1", {}, `Case of ${when(job.created)}`), h("div", { class: "chips" }, ...sequenceChips(job))];
    const stage = h("section", { class: "stage", "aria-label": "Images" }, this.tools, this.picture, this.below, keys);
    const goTo = (mm: [number, number, number]): void => this.viewer?.goTo(mm);
    const side = h("aside", { class: "side", "aria-label": "Findings" });
    const remove = (): void => void this.remove();
    fill(
      side,
      this.overlays,
      volumesPanel(report),
      spotsPanel(report.uncertain_spots, goTo),
      importancePanel(importance),
      expectationPanel(report.what_to_expect),
      remarksPanel(job, report),
      filesPanel(job, (file) => void this.save(file), remove),
      h("p", { class: "hint model" }, `Model ${report.model.name} ${report.model.version}, on ${report.run.device}.`),
    );
    this.element = h("div", { class: "result" }, stage, side);
  }

  close(): void {
    this.closed = true;
    this.viewer?.close();
  }

  /** Read what has to be seen first, show it, then the rest. */
  async open(): Promise<void> {
    this.picture.dataset.state = "loading";
    fill(this.below, h("p", { class: "hint" }, "Reading the images …"));
    try {
      const names = this.sequencesAtHand();
      const [background, segmentation, entropy] = await Promise.all([
        names[0] ? this.image(names[0]) : null,
        this.result("segmentation.nii.gz"),
        this.result("entropy.nii.gz"),
      ]);
      if (this.closed) return;
      await this.show(background, segmentation, entropy);
    } catch (error) {
      this.picture.dataset.state = "failed";
      fill(this.below, problemBox(error));
    }
  }

  private async show(background: NVImage | null, segmentation: NVImage, entropy: NVImage): Promise<void> {
    const viewer = await Viewer.open(this.canvas);
    this.viewer = viewer;
    viewer.show(background, segmentation, this.labels, entropy, this.report.entropy_range_nats.combined, this.look);
    this.entropies.set("entropy", entropy);
    const readout = new Readout(segmentation, entropy, this.labels);
    viewer.onPlace = (mm, how) => readout.show(mm, how);
    fill(this.below, readout.element);
    this.fillTools(viewer, background !== null);
    this.fillOverlays(viewer);
    const middle = segmentation.img && segmentation.hdr ? middleOfLabels(segmentation.img, segmentation.hdr.dims.slice(1), segmentation.hdr.affine) : null;
    viewer.goTo(middle ?? viewer.crosshair());
    this.picture.dataset.state = "ready";
    announce("The images are shown.");
    for (const region of Object.keys(REGION_NAMES)) {
      const name = `probability_${region}.nii.gz`;
      if (this.job.results.some((file) => file.name === name)) readout.probabilities.set(region, await this.result(name));
    }
    if (!this.closed) readout.show(viewer.crosshair(), "crosshair");
  }

  private fillTools(viewer: Viewer, hasImage: boolean): void {
    const names = this.sequencesAtHand();
    const options = names.map((name): [string, string] => [name, SEQUENCE_LABELS[name]]);
    const show = async (name: Sequence): Promise<void> => viewer.setBackground(await this.image(name));
    const select = choice("background", "Image", options, (name) => void this.attempt(() => show(name as Sequence)));
    fill(
      this.tools,
      viewSwitch((view) => viewer.setView(view)),
      hasImage ? select : this.imageAsker(viewer),
    );
  }

  /** Where the service did not keep the images and this tab never had them, their owner can show them again. */
  private imageAsker(viewer: Viewer): HTMLElement {
    const change = async (event: Event): Promise<void> => {
      const file = (event.target as HTMLInputElement).files?.[0];
      const sequence = this.job.sequences_found[0] as Sequence | undefined;
      if (!file || !sequence) return;
      const image = await readVolume(await file.arrayBuffer(), file.name);
      addFile(this.job.id, sequence, file);
      viewer.setBackground(image);
    };
    const input = h("input", { type: "file", id: "add-image", class: "unseen", onchange: (event: Event) => void this.attempt(() => change(event)) });
    const label = h("label", { for: "add-image", class: "button" }, "Show on an image");
    return h("div", { class: "field" }, h("span", { class: "hint" }, "The images were not kept."), input, label);
  }

  private fillOverlays(viewer: Viewer): void {
    const change = (): void => viewer.look(this.look);
    const maps = Object.entries(REGION_NAMES)
      .map(([region, name]): [string, string] => [`entropy_${region}`, name.toLowerCase()])
      .filter(([name]) => this.job.results.some((file) => file.name === `${name}.nii.gz`));
    const choose = async (name: string): Promise<void> => {
      const volume = this.entropies.get(name) ?? (await this.result(`${name}.nii.gz`));
      this.entropies.set(name, volume);
      viewer.setEntropy(volume, this.report.entropy_range_nats[name === "entropy" ? "combined" : "region"]);
      change();
    };
    const entropy = {
      maps: [["entropy", "all labels"] as [string, string], ...maps],
      most: this.report.entropy_range_nats.combined,
      colours: viewer.entropyColours(),
      choose: (name: string) => void this.attempt(() => choose(name)),
    };
    fill(this.overlays, segmentationControls(this.look, legend(this.labels), change), entropyControls(this.look, entropy, change));
  }

  private sequencesAtHand(): Sequence[] {
    const there = new Set([...filesOf(this.job.id).keys(), ...this.kept.map((one) => one.sequence)]);
    return BACKGROUNDS.filter((sequence) => SEQUENCES.includes(sequence) && there.has(sequence));
  }

  private async image(sequence: Sequence): Promise<NVImage> {
    const file = filesOf(this.job.id).get(sequence);
    if (file) return readVolume(await file.arrayBuffer(), file.name);
    const kept = this.kept.find((one) => one.sequence === sequence);
    return readVolume(await askBytes(kept?.href ?? ""), kept?.name ?? "");
  }

  private async result(name: string): Promise<NVImage> {
    return readVolume(await askBytes(resultPath(this.job, name)), name);
  }

  /** A link can carry no token, so a caller who has one fetches the file first. */
  private async save(file: { name: string; href: string }): Promise<void> {
    const direct = token.get() === null;
    await this.attempt(async () => {
      const href = direct ? file.href : URL.createObjectURL(await (await ask(file.href)).blob());
      h("a", { href, download: file.name }).click();
      if (!direct) setTimeout(() => URL.revokeObjectURL(href), 60_000);
    });
  }

  private async remove(): Promise<void> {
    if (!confirm("Delete this job and all its files?")) return;
    await this.attempt(async () => {
      await known(() => cancel(this.job));
      location.hash = "";
    });
  }

  private async attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.below.querySelector(".problem")?.remove();
      this.below.append(problemBox(error));
    }
  }
}
