/** The first screen: choose a case, check the recognised sequences, run it, and list jobs. */
import { BidsChoice } from "./bids";
import { holdsDicom, zipped } from "./dicom_zip";
import { fill, h } from "./dom";
import { chosenFiles, doubles, droppedFiles, folderName, holdVolumes, sortFiles, undecided, type CaseFile, type PickedCase, type PickedFile } from "./files";
import { bytes, listed } from "./format";
import { jobList } from "./job_list";
import { submit } from "./jobs";
import { scoreHistory } from "./scores";
import { announce, problemBox, type Screen } from "./screen";
import { SEQUENCE_LABELS, SEQUENCES, type Sequence } from "./sequences";
import { known } from "./session";
import { inspectZip, SeriesChoice } from "./study";

const WITHOUT: Partial<Record<Sequence, string>> = { t1ce: "The enhancing tumour is unreliable without it." };

export function startScreen(open: (jobId: string) => void): Screen {
  const form = new CaseForm(open);
  const jobs = jobList();
  const scores = scoreHistory();
  const element = h("div", { class: "start" }, form.element, h("div", {}, jobs.element, scores.element));
  return {
    element,
    close: () => {
      form.close();
      jobs.close();
      scores.close();
    },
  };
}

class CaseForm {
  private case: PickedCase = { files: [], passedOver: [], archive: null, problem: null };
  private readonly stop = new AbortController();
  private taken = new AbortController();
  /** The series of a zip, once the service has inspected it. */
  private series: SeriesChoice | null = null;
  private bids = new BidsChoice(() => undefined);
  private readonly selection = h("div", { class: "found" });
  private readonly status = h("div");
  private readonly keep = h("input", { type: "checkbox", id: "keep", checked: true });
  private readonly leaveOut = h("input", { type: "checkbox", id: "leave-out" });
  readonly element: HTMLElement;

  constructor(private readonly open: (jobId: string) => void) {
    this.element = h("section", { class: "case", "aria-labelledby": "case-title" });
    fill(this.element, h("h1", { id: "case-title" }, "Segment a case"), this.dropPlace(), this.selection, this.status);
    this.draw();
  }

  close(): void {
    this.stop.abort();
    this.taken.abort();
  }

  private dropPlace(): HTMLElement {
    const files = this.input("choose-files", { multiple: true, accept: ".nii,.gz,.nrrd,.mha,.zip" });
    const folder = this.input("choose-folder", { webkitdirectory: true });
    const place = h(
      "div",
      { class: "drop" },
      h("p", { class: "lead" }, "Drop the files or the folder of one case here"),
      h("div", { class: "row centre" }, ...files, ...folder),
      h("p", { class: "hint" }, "Any of T1, T1ce, T2 and FLAIR. Raw scans are registered and skull-stripped automatically. NIfTI, NRRD, MetaImage, a DICOM folder, or a zip."),
    );
    place.addEventListener("dragover", (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
    place.addEventListener("dragleave", () => place.classList.remove("over"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      place.classList.remove("over");
      if (event.dataTransfer) void droppedFiles(event.dataTransfer).then((picked) => this.take(picked));
    });
    return place;
  }

  private input(id: string, attributes: Record<string, string | boolean>): HTMLElement[] {
    const change = (event: Event): void => {
      const input = event.target as HTMLInputElement;
      if (input.files?.length) void this.take(chosenFiles(input.files));
      input.value = "";
    };
    const name = id === "choose-files" ? "Choose files" : "Choose a folder";
    return [h("input", { type: "file", id, class: "unseen", onchange: change, ...attributes }), h("label", { for: id, class: "button" }, name)];
  }

  private async take(picked: PickedFile[]): Promise<void> {
    this.taken.abort();
    this.taken = new AbortController();
    const { signal } = this.taken;
    fill(this.status);
    const dicom = !holdVolumes(picked) && (await holdsDicom(picked));
    const sorted = dicom ? await this.study(picked, signal) : sortFiles(picked);
    if (signal.aborted) return;
    this.case = sorted;
    this.series = null;
    const { archive } = sorted;
    this.bids = new BidsChoice(() => archive && void this.inspect(archive, signal));
    this.draw();
    if (archive) return this.inspect(archive, signal);
    const labels = this.chosen().map((sequence) => SEQUENCE_LABELS[sequence]);
    announce(this.case.problem ?? (labels.length ? `Recognised: ${labels.join(", ")}.` : "No sequence was recognised."));
  }

  /** A DICOM folder as a zip, packed in this page. */
  private async study(picked: PickedFile[], signal: AbortSignal): Promise<PickedCase> {
    const share = h("progress", { max: "1", value: "0", "aria-label": "Zipping" });
    fill(this.status, h("div", { class: "row sending" }, h("span", {}, `Zipping ${picked.length} DICOM files`), share));
    try {
      const archive = await zipped(picked, `${folderName(picked) || "study"}.zip`, (packed) => (share.value = packed), signal);
      return { files: [], passedOver: [], archive, problem: null };
    } catch (error) {
      return { files: [], passedOver: [], archive: null, problem: signal.aborted ? null : `The folder cannot be zipped: ${String(error)}` };
    } finally {
      fill(this.status);
    }
  }

  /** Show what the service finds in a zip. A service without inspection runs the zip as it is. */
  private async inspect(archive: File, signal: AbortSignal): Promise<void> {
    const share = h("progress", { max: "1", value: "0", "aria-label": "Upload" });
    fill(this.status, h("div", { class: "row sending" }, h("span", {}, "Looking for sequences"), share));
    try {
      const inspection = await known(() => inspectZip(archive, this.bids.options(), (sent) => (share.value = sent), signal));
      if (signal.aborted) return;
      this.series = new SeriesChoice(inspection, () => this.draw());
      fill(this.status);
      this.draw();
      const labels = this.series.sequences().map((sequence) => SEQUENCE_LABELS[sequence]);
      announce(labels.length ? `Recognised: ${labels.join(", ")}.` : "No sequence was recognised.");
    } catch (error) {
      if (!signal.aborted) fill(this.status, problemBox(error));
    }
  }

  private chosen(): Sequence[] {
    if (this.series) return this.series.sequences();
    return SEQUENCES.filter((sequence) => this.case.files.some((one) => one.sequence === sequence));
  }

  private draw(): void {
    const { files, archive, problem, passedOver } = this.case;
    const any = files.length > 0 || archive !== null;
    fill(
      this.selection,
      problem !== null && h("div", { class: "problem", role: "alert" }, h("strong", {}, "This is not one case"), h("p", {}, problem)),
      archive && h("p", { class: "archive" }, h("strong", {}, archive.name), ` (${bytes(archive.size)})`),
      (files.length > 0 || this.series) && this.slots(),
      this.series?.element,
      archive && !this.series?.isDicom() && this.bids.element,
      files.length > 0 && this.table(),
      passedOver.length > 0 && h("p", { class: "hint" }, `Not used: ${passedOver.slice(0, 8).join(", ")}${passedOver.length > 8 ? ` and ${passedOver.length - 8} more` : ""}.`),
      any && this.actions(),
    );
  }

  /** Sequences that need the user's choice, because several files or series match. */
  private undecided(): Sequence[] {
    return this.series ? this.series.undecided() : undecided(this.case.files);
  }

  /** Whether each of the four sequences is found, ambiguous or missing. */
  private slots(): HTMLElement {
    const chosen = this.chosen();
    const open = this.undecided();
    const slots = SEQUENCES.map((sequence) => {
      const state = chosen.includes(sequence) ? "found" : open.includes(sequence) ? "ambiguous" : "missing";
      const note = state === "ambiguous" ? "Choose below." : state === "missing" && WITHOUT[sequence];
      return h("li", { class: `slot ${state === "found" ? "there" : state}` }, h("strong", {}, SEQUENCE_LABELS[sequence]), " ", h("span", {}, state), note && h("small", {}, note));
    });
    return h("ul", { class: "slots", "aria-label": "Sequences" }, ...slots);
  }

  private table(): HTMLElement {
    const rows = this.case.files.map((one, place) =>
      h(
        "tr",
        {},
        h("td", {}, h("label", { for: `sequence-${place}`, class: "file" }, one.shown), one.note && h("small", {}, one.note)),
        h("td", { class: "number" }, bytes(one.file.size)),
        h("td", {}, this.select(one, place)),
      ),
    );
    const head = h("tr", {}, h("th", { scope: "col" }, "File"), h("th", { scope: "col", class: "number" }, "Size"), h("th", { scope: "col" }, "Used as"));
    return h("table", { class: "files" }, h("thead", {}, head), h("tbody", {}, ...rows));
  }

  private select(one: CaseFile, place: number): HTMLElement {
    const options = SEQUENCES.map((sequence) => h("option", { value: sequence, selected: one.sequence === sequence }, SEQUENCE_LABELS[sequence]));
    const change = (event: Event): void => {
      one.sequence = ((event.target as HTMLSelectElement).value || null) as Sequence | null;
      one.note = "";
      this.draw();
      document.getElementById(`sequence-${place}`)?.focus();
    };
    return h("select", { id: `sequence-${place}`, onchange: change }, h("option", { value: "" }, "not used"), ...options);
  }

  private actions(): HTMLElement {
    const twice = doubles(this.case.files).map((sequence) => SEQUENCE_LABELS[sequence]);
    const problem = this.series ? this.series.problem() : null;
    const ready = this.case.archive !== null ? !problem : this.chosen().length > 0 && !twice.length;
    const why = problem ?? (twice.length
      ? `${twice.join(" and ")}: more than one file is chosen. Set all but one to "not used".`
      : "Choose the sequence of at least one file.");
    const open = this.undecided().map((sequence) => SEQUENCE_LABELS[sequence]);
    return h(
      "div",
      { class: "actions" },
      h("div", { class: "check" }, this.keep, h("label", { for: "keep" }, "Keep the images on the service as long as the results, to show them again later")),
      h("div", { class: "check" }, this.leaveOut, h("label", { for: "leave-out" }, "Measure what changes when each sequence is left out (takes longer)")),
      !ready && h("p", { class: "notice", id: "why" }, why),
      ready && open.length > 0 && h("p", { class: "notice", id: "undecided" }, `${listed(open)}: choose in the table, or segment without ${open.length > 1 ? "them" : "it"}.`),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", class: "primary", id: "run", disabled: !ready, onclick: () => void this.run() }, "Segment"),
        h("button", { type: "button", onclick: () => void this.take([]) }, "Clear"),
      ),
    );
  }

  private async run(): Promise<void> {
    const share = h("progress", { max: "1", value: "0", "aria-label": "Upload" });
    const stop = h("button", { type: "button", onclick: () => this.stop.abort() }, "Cancel");
    fill(this.status, h("div", { class: "row sending" }, h("span", {}, "Sending"), share, stop));
    this.selection.inert = true;
    announce("Sending the case.");
    const { files, archive } = this.case;
    try {
      const what = { files, archive, keepImages: this.keep.checked, leaveOneOut: this.leaveOut.checked, study: { ...this.series?.options(), ...this.bids.options() } };
      const job = await known(() => submit(what, (sent) => (share.value = sent), this.stop.signal));
      this.open(job.id);
    } catch (error) {
      const stopped = error instanceof DOMException && error.name === "AbortError";
      fill(this.status, stopped ? null : problemBox(error));
    } finally {
      this.selection.inert = false;
    }
  }
}
