/** A finished job: images with overlays, tools, and panels with the findings. */
import type { NVImage } from "@niivue/niivue";
import { ask, token, type Job } from "./api";
import { CaseData } from "./case_data";
import { CorrectionPanel } from "./correction";
import { choice, entropyControls, segmentationControls, VIEW_NAMES, viewSwitch } from "./controls";
import { differenceMap, REGION_NAMES, REGIONS, valuesOf, type Region } from "./difference";
import { fill, h } from "./dom";
import { caseName, when } from "./format";
import { TOOLS, type Tool } from "./gestures";
import { addFile, cancel, look as lookAt } from "./jobs";
import { Pane } from "./pane";
import { areasPanel, expectationPanel, filesPanel, importancePanel, labelChoice, leftOutPanel, remarksPanel, trustPanel, volumesPanel, warningsPanel } from "./panels";
import { sequenceChips } from "./progress";
import { Readout } from "./readout";
import { announce, problemBox, type Screen } from "./screen";
import { SEQUENCE_LABELS, type Sequence } from "./sequences";
import { known } from "./session";
import { Shortcuts } from "./shortcuts";
import { SliceBar } from "./slice_bar";
import { MeasureReadout, toolSwitch, Toggle, WindowControls, type Switch } from "./toolbar";
import { coloured, gridOf, readVolume, VIEWS, type Look, type View } from "./viewer";
import { middleOfLabels } from "./volumes";
import { differenceLabels, lackingOf, WhatIfPanel, type Alternative } from "./what_if";
import { FIRST_PRESET } from "./window";

/** @param withId another job to compare with, from the address */
export async function resultScreen(job: Job, withId: string | null): Promise<Screen> {
  const screen = new ResultScreen(await CaseData.load(job));
  // NiiVue measures its canvas, so open it once the screen is in the page.
  requestAnimationFrame(() => void screen.open(withId));
  return screen;
}

class ResultScreen implements Screen {
  readonly element: HTMLElement;
  readonly heading: HTMLElement[];
  private readonly job: Job;
  private readonly look: Look & { hidden: Set<number> } = { overlays: true, segmentation: 1, outline: true, hidden: new Set(), entropy: 0.6, threshold: 0.6 };
  private readonly pictures = h("div", { class: "pictures" });
  private readonly below = h("div", { class: "below" });
  private readonly tools = h("div", { class: "tools" });
  private readonly overlays = h("div", { class: "overlays" });
  private readonly leaving = new AbortController();
  private readonly pane: Pane;
  private readonly whatIf: WhatIfPanel;
  private beside: Pane | null = null;
  /** Difference maps while two results are compared, one for each pane. */
  private differences: NVImage[] = [];
  private views: Switch<View> | null = null;
  private slices: SliceBar | null = null;
  private readout: Readout | null = null;
  private view: View = "all";
  private tool: Tool = "crosshair";
  private entropyName = "entropy";
  private crosshairShown = true;

  constructor(private readonly data: CaseData) {
    const { job, report } = data;
    this.job = job;
    this.pane = new Pane({ result: data, images: data, sequence: data.sequences()[0] ?? null, note: "" }, "Images of the case");
    this.whatIf = new WhatIfPanel(
      data,
      {
        show: (other) => this.attempt(() => this.compareWith(other)),
        showDifference: (shown) => this.showDifference(shown),
      },
      this.leaving.signal,
    );
    const keys = h("p", { id: "keys", class: "unseen" }, "Arrow keys, Page Up and Page Down move the crosshair, with Shift by five voxels. The question mark lists all keys.");
    this.heading = [h("h1", { title: caseName(job.files) }, caseName(job.files) || "Case"), h("small", {}, when(job.created)), h("div", { class: "chips" }, ...sequenceChips(job))];
    fill(this.pictures, this.pane.element);
    const stage = h("section", { class: "stage", "aria-label": "Images" }, this.tools, this.pictures, this.below, keys);
    const side = h("aside", { class: "side", "aria-label": "Findings" });
    fill(
      side,
      this.overlays,
      warningsPanel(report),
      trustPanel(report),
      volumesPanel(report, (region) => this.goToRegion(region)),
      areasPanel(report.uncertain_regions, (mm) => this.pane.isOpen && this.pane.viewer.goTo(mm)),
      this.whatIf.element,
      importancePanel(data.importance),
      leftOutPanel(data.importance.leave_one_out),
      expectationPanel(report.expected_performance),
      remarksPanel(job, report),
      new CorrectionPanel(data, this.leaving.signal).element,
      filesPanel(job, (file) => void this.save(file), () => void this.remove()),
      h("p", { class: "hint model" }, `Model ${report.model.name} ${report.model.version}, on ${report.run.device}.`),
    );
    this.element = h("div", { class: "result" }, stage, side);
  }

  close(): void {
    this.leaving.abort();
    this.pane.close();
    this.beside?.close();
  }

  /** Read and show the essential volumes first, then the others. */
  async open(withId: string | null): Promise<void> {
    fill(this.below, h("p", { class: "hint" }, "Reading the images …"));
    try {
      await this.pane.open(this.look);
      if (this.leaving.signal.aborted) return;
      await this.show();
      if (withId) await this.attempt(async () => this.compareWith(await known(() => lookAt(withId))));
    } catch (error) {
      fill(this.below, problemBox(error));
    }
  }

  private async show(): Promise<void> {
    const { viewer, segmentation, entropy } = this.pane;
    const readout = new Readout(segmentation, entropy, this.data.labels);
    this.readout = readout;
    this.slices = new SliceBar(viewer);
    this.fillTools();
    this.fillOverlays();
    fill(this.below, this.slices.element, readout.element);
    viewer.onPlace = (mm, how) => {
      readout.show(mm, how);
      this.slices?.update();
    };
    viewer.onDrawn = () => this.beside?.isOpen && this.beside.viewer.follow(viewer);
    viewer.goTo(middleOf(segmentation) ?? viewer.crosshair());
    announce("The images are shown.");
    for (const region of REGIONS) {
      const name = `probability_${region}.nii.gz`;
      if (this.data.has(name)) readout.probabilities.set(region, await this.data.result(name));
    }
    if (!this.leaving.signal.aborted) readout.show(viewer.crosshair(), "crosshair");
  }

  private panes(): Pane[] {
    return [this.pane, ...(this.beside?.isOpen ? [this.beside] : [])];
  }

  private fillTools(): void {
    const { viewer } = this.pane;
    const names = this.data.sequences();
    const sequences = names.map((name): [string, string] => [name, SEQUENCE_LABELS[name]]);
    const image = choice("background", "Image", sequences, (name) => void this.attempt(() => this.setSequence(name as Sequence)));
    const beside = choice("beside", "Beside", [["", "nothing"], ...sequences], (name) => void this.attempt(() => this.showBeside(name as Sequence | "")));
    const views = viewSwitch((view) => this.setView(view));
    this.views = views;
    const tools = toolSwitch((tool) => this.setTool(tool));
    const window = new WindowControls(
      (preset) => this.setPreset(preset),
      () => this.reset(),
    );
    const measured = new MeasureReadout(() => this.clearMeasurements());
    const overlays = new Toggle("overlays-shown", "Overlays", true, (on) => this.change({ overlays: on }));
    const crosshair = new Toggle("crosshair-shown", "Crosshair", true, (on) => {
      this.crosshairShown = on;
      for (const pane of this.panes()) pane.viewer.showCrosshair(on);
    });
    viewer.onWindow = (values) => {
      window.show(values, this.preset);
      this.preset = null;
    };
    viewer.onMeasured = (mm) => measured.show(mm);
    this.setPreset(FIRST_PRESET);
    const outline = (): void => (document.getElementById("outline") as HTMLInputElement | null)?.click();
    const nextImage = (): void => {
      const select = document.getElementById("background") as HTMLSelectElement | null;
      if (!select?.options.length) return;
      select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
      select.dispatchEvent(new Event("change"));
    };
    const pick = (tool: Tool) => () => {
      tools.press(tool);
      this.setTool(tool);
    };
    const shortcuts = new Shortcuts(
      [
        { key: "o", what: "show or hide all overlays", run: () => overlays.toggle() },
        { key: "l", what: "outlines or filled labels", run: outline },
        { key: "x", what: "show or hide the crosshair's lines", run: () => crosshair.toggle() },
        { key: "i", what: "next image", run: nextImage },
        { key: "c", what: "tool: navigate", run: pick("crosshair") },
        { key: "w", what: "tool: grey window", run: pick("window") },
        { key: "m", what: "tool: measure", run: pick("measure") },
        { key: "p", what: "tool: pan and zoom", run: pick("pan") },
        { key: "r", what: "reset window and zoom", run: () => this.reset() },
        { key: "Escape", what: "clear measurements", run: () => this.clearMeasurements() },
        ...VIEWS.map((view, at) => ({
          key: String(at + 1),
          what: `view: ${VIEW_NAMES[view]}`,
          run: () => {
            views.press(view);
            this.setView(view);
          },
        })),
        { key: "?", what: "this list", run: () => shortcuts.help.showModal() },
      ],
      this.leaving.signal,
    );
    const help = h("button", { type: "button", id: "show-help", "aria-label": "Keys and mouse", onclick: () => shortcuts.help.showModal() }, "?");
    fill(
      this.tools,
      views.element,
      names.length ? image : this.imageAsker(),
      names.length > 1 && beside,
      overlays.element,
      crosshair.element,
      help,
      tools.element,
      names.length > 0 && window.element,
      measured.element,
      shortcuts.help,
    );
  }

  /** The preset behind the next change of the window. Null for a manual change. */
  private preset: string | null = null;

  private setPreset(name: string): void {
    for (const pane of this.panes()) {
      if (pane === this.pane) this.preset = name;
      pane.viewer.setPreset(name);
    }
  }

  private reset(): void {
    this.setPreset(FIRST_PRESET);
    this.pane.viewer.resetZoom();
  }

  private clearMeasurements(): void {
    for (const pane of this.panes()) pane.viewer.clearMeasurements();
  }

  private setTool(tool: Tool): void {
    this.tool = TOOLS.includes(tool) ? tool : "crosshair";
    for (const pane of this.panes()) pane.viewer.setTool(this.tool);
  }

  private setView(view: View): void {
    this.view = view;
    for (const pane of this.panes()) pane.viewer.setView(view);
    this.slices?.setView(view);
  }

  private async setSequence(name: Sequence): Promise<void> {
    this.preset = FIRST_PRESET;
    await this.pane.setSequence(name);
    // Compare two results on the same image.
    if (this.beside?.isOpen && this.beside.content.result !== this.data) await this.beside.setSequence(name);
  }

  /** Show another sequence of this case beside the first. */
  private async showBeside(sequence: Sequence | ""): Promise<void> {
    this.endComparison();
    if (sequence) await this.openBeside(new Pane({ result: this.data, images: this.data, sequence, note: "" }, `Images of the case, ${SEQUENCE_LABELS[sequence]}`));
  }

  private async openBeside(pane: Pane): Promise<void> {
    this.beside?.close();
    this.beside = pane;
    this.pictures.append(pane.element);
    this.pictures.classList.add("two");
    // Eight small views are hard to read.
    if (this.view === "all") {
      this.views?.press("axial");
      this.setView("axial");
    }
    await pane.open(this.look);
    if (this.beside !== pane) return;
    pane.viewer.setView(this.view);
    pane.viewer.setTool(this.tool);
    pane.viewer.showCrosshair(this.crosshairShown);
    if (this.entropyName !== "entropy" && pane.content.result.has(`${this.entropyName}.nii.gz`)) await pane.setEntropy(this.entropyName);
    pane.viewer.follow(this.pane.viewer);
    pane.viewer.onPlace = (mm, how) => {
      if (how === "crosshair") this.pane.viewer.follow(pane.viewer);
      this.readout?.show(mm, how);
      this.slices?.update();
    };
    pane.viewer.onDrawn = () => this.pane.viewer.follow(pane.viewer);
    pane.viewer.onMeasured = (mm) => this.pane.viewer.onMeasured(mm);
    pane.viewer.look(this.look);
  }

  private endComparison(): void {
    const compared = this.beside?.content.result !== this.data;
    this.beside?.close();
    this.beside = null;
    this.pictures.classList.remove("two");
    if (!compared || !this.pane.isOpen) return;
    this.differences = [];
    this.whatIf.compare(null, [], null);
    if (this.readout) {
      this.readout.other = null;
      this.readout.show(this.pane.viewer.crosshair(), "crosshair");
    }
    this.pane.viewer.setDifference(null, this.pane.entropy);
    this.pane.viewer.look(this.look);
    history.replaceState(null, "", `#job=${encodeURIComponent(this.job.id)}`);
  }

  /** Show the result of another job of this case next to this one, and their difference. Null ends the comparison. */
  private async compareWith(job: Job | null): Promise<void> {
    this.endComparison();
    const beside = document.getElementById("beside") as HTMLSelectElement | null;
    if (beside) beside.value = "";
    if (!job) return;
    const other: Alternative = { result: await CaseData.load(job), lacking: lackingOf(this.job, job) };
    const name = `without ${other.lacking}`;
    const pane = new Pane({ result: other.result, images: this.data, sequence: this.pane.content.sequence, note: name }, `Images of the case, ${name}`);
    await this.openBeside(pane);
    const [first, second] = [this.pane.segmentation, pane.segmentation];
    const oneGrid = gridOf(first).matches(gridOf(second));
    if (oneGrid && first.img && second.img) {
      const map = differenceMap(first.img, second.img);
      this.differences = this.panes().map((one) => {
        const volume = coloured(one.segmentation.clone(), differenceLabels(other.lacking));
        volume.img = map;
        return volume;
      });
      this.showDifference(true);
    }
    this.whatIf.remember(job);
    this.whatIf.compare(other, first.img ?? [], oneGrid ? (second.img ?? null) : null);
    if (this.readout) this.readout.other = { name, segmentation: second };
    this.readout?.show(this.pane.viewer.crosshair(), "crosshair");
    history.replaceState(null, "", `#job=${encodeURIComponent(this.job.id)}&with=${encodeURIComponent(job.id)}`);
    announce(`The result ${name} is shown next to the first.`);
  }

  private showDifference(shown: boolean): void {
    this.panes().forEach((pane, at) => {
      pane.viewer.setDifference((shown && this.differences[at]) || null, pane.entropy);
      pane.viewer.look(this.look);
    });
  }

  private goToRegion(region: Region): void {
    if (!this.pane.isOpen) return;
    const place = middleOf(this.pane.segmentation, valuesOf(region, this.data.report.labels));
    if (place) this.pane.viewer.goTo(place);
  }

  /** The user can select the images again if neither the service nor this tab has them. */
  private imageAsker(): HTMLElement {
    const change = async (event: Event): Promise<void> => {
      const file = (event.target as HTMLInputElement).files?.[0];
      const sequence = this.job.sequences_found[0] as Sequence | undefined;
      if (!file || !sequence) return;
      const image = await readVolume(await file.arrayBuffer(), file.name);
      addFile(this.job.id, sequence, file);
      this.pane.setImage(sequence, image);
    };
    const input = h("input", { type: "file", id: "add-image", class: "unseen", onchange: (event: Event) => void this.attempt(() => change(event)) });
    const label = h("label", { for: "add-image", class: "button" }, "Show on an image");
    return h("div", { class: "field" }, h("span", { class: "hint" }, "The images were not kept."), input, label);
  }

  private change(changes: Partial<Look>): void {
    Object.assign(this.look, changes);
    for (const pane of this.panes()) pane.viewer.look(this.look);
  }

  private fillOverlays(): void {
    const change = (): void => this.change({});
    const ranges = this.data.report.entropy_range_nats;
    const maps = REGIONS.map((region): [string, string] => [`entropy_${region}`, REGION_NAMES[region].toLowerCase()]).filter(([name]) => this.data.has(`${name}.nii.gz`));
    const choose = async (name: string): Promise<void> => {
      this.entropyName = name;
      for (const pane of this.panes()) await pane.setEntropy(name);
      change();
    };
    const entropy = {
      maps: [["entropy", "all labels"] as [string, string], ...maps],
      most: (map: string) => (map === "entropy" ? ranges.combined : ranges.region),
      colours: this.pane.viewer.entropyColours(),
      choose: (name: string) => void this.attempt(() => choose(name)),
    };
    const labels = labelChoice(this.data.labels, (value, shown) => {
      if (shown) this.look.hidden.delete(value);
      else this.look.hidden.add(value);
      change();
    });
    fill(this.overlays, segmentationControls(this.look, labels, change), entropyControls(this.look, entropy, change));
  }

  /** A link cannot send a token, so fetch the file first. */
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

/** A position inside the given labels, or inside any label, near their centre. */
function middleOf(segmentation: NVImage, values?: ReadonlySet<number>): [number, number, number] | null {
  if (!segmentation.img || !segmentation.hdr) return null;
  return middleOfLabels(segmentation.img, segmentation.hdr.dims.slice(1), segmentation.hdr.affine, values);
}
