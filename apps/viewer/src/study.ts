/** The series of a zipped study: which ones the service would use, why, and how to change it. */
import { send } from "./api";
import type { BidsOptions } from "./bids";
import { fill, h } from "./dom";
import { listed, sentence } from "./format";
import { SEQUENCE_LABELS, SEQUENCES, type Sequence } from "./sequences";

/** A series as `brats-mm inspect` describes it. */
export interface Series {
  series: string;
  number: number | null;
  description: string;
  used_as: Sequence | null;
  why: string;
  kind: string;
  slices: number;
  spacing_mm: number[];
}

/** A study of the zip. `ambiguous` lists equally good series by sequence. */
export interface Study {
  study: string;
  series: Series[];
  ambiguous?: Partial<Record<Sequence, string[]>>;
}

/** Response of the service about a zip. Volumes in a zip have no series. */
export interface Inspection {
  kind: string;
  studies?: Study[];
  files?: Partial<Record<Sequence, string>>;
  missing?: string[];
  problems: string[];
}

/** Ask the service to inspect a zip, without computing or keeping anything. */
export function inspectZip(archive: File, bids: BidsOptions, onSent: (share: number) => void, signal: AbortSignal): Promise<Inspection> {
  const form = new FormData();
  form.set("options", JSON.stringify(bids));
  form.set("case", archive, archive.name);
  return send<Inspection>("/v1/inspect", form, {}, onSent, signal);
}

/** Series by sequence: as the service chose them, then as the user corrects them. */
export class SeriesChoice {
  readonly element = h("div", { class: "study" });
  private readonly chosen = new Map<string, Sequence>();
  private study: Study | null;

  constructor(
    private readonly inspection: Inspection,
    private readonly changed: () => void,
  ) {
    this.study = inspection.studies?.[0] ?? null;
    this.show();
  }

  /** Options of the job: a series or none for each sequence, and the study. */
  options(): { series?: Record<string, string>; study?: string } {
    if (!this.study) return {};
    const series = Object.fromEntries(SEQUENCES.map((sequence) => [sequence, [...this.chosen].find(([, used]) => used === sequence)?.[0] ?? "none"]));
    return { series, ...(this.studies().length > 1 ? { study: this.study.study } : {}) };
  }

  /** The chosen sequences. */
  sequences(): Sequence[] {
    const used = this.inspection.files ? (Object.keys(this.inspection.files) as Sequence[]) : [...this.chosen.values()];
    return SEQUENCES.filter((sequence) => used.includes(sequence));
  }

  /** Sequences that several series fit equally well, and of which none is chosen. */
  undecided(): Sequence[] {
    return SEQUENCES.filter((sequence) => this.study?.ambiguous?.[sequence] && !this.sequences().includes(sequence));
  }

  /** The reason why the case cannot run, or null. */
  problem(): string | null {
    const used = [...this.chosen.values()];
    const twice = SEQUENCES.find((sequence) => used.filter((one) => one === sequence).length > 1);
    if (twice) return `${SEQUENCE_LABELS[twice]}: more than one series is chosen. Set all but one to "not used".`;
    return this.sequences().length ? null : "Choose the sequence of at least one series.";
  }

  /** Whether the zip holds DICOM series, and so no BIDS dataset. */
  isDicom(): boolean {
    return this.series().length > 0;
  }

  private studies(): Study[] {
    return this.inspection.studies ?? [];
  }

  private series(): Series[] {
    return this.study?.series ?? [];
  }

  /** List the series of the study, used as the service recommends. */
  private show(): void {
    this.chosen.clear();
    for (const one of this.series()) if (one.used_as) this.chosen.set(one.series, one.used_as);
    const files = Object.entries(this.inspection.files ?? {}).map(([sequence, name]) =>
      h("tr", {}, h("td", {}, name), h("td"), h("td", {}, SEQUENCE_LABELS[sequence as Sequence])),
    );
    const head = h("tr", {}, h("th", { scope: "col" }, this.inspection.files ? "File" : "Series"), h("th", { scope: "col", class: "number" }, "Size"), h("th", { scope: "col" }, "Used as"));
    const rows = this.series().map((one, place) => this.row(one, `series-${place}`));
    fill(this.element, this.studies().length > 1 && this.studyChoice(), h("table", { class: "files" }, h("thead", {}, head), h("tbody", {}, ...rows, ...files)));
  }

  private studyChoice(): HTMLElement {
    const options = this.studies().map((one) => h("option", { value: one.study, selected: one === this.study }, `…${one.study}: ${contentOf(one)}`));
    const select = h("select", { id: "study" }, ...options);
    select.addEventListener("change", () => {
      this.study = this.studies().find((one) => one.study === select.value) ?? null;
      this.show();
      this.changed();
      document.getElementById("study")?.focus();
    });
    const hint = `The zip holds ${this.studies().length} studies, oldest first. A case is one study.`;
    return h("div", { class: "studies" }, h("p", { class: "notice" }, hint), h("div", { class: "field" }, h("label", { for: "study" }, "Study"), select));
  }

  private row(one: Series, id: string): HTMLElement {
    const options = SEQUENCES.map((sequence) => h("option", { value: sequence, selected: one.used_as === sequence }, SEQUENCE_LABELS[sequence]));
    const select = h("select", { id }, h("option", { value: "" }, "not used"), ...options);
    const reason = h("small", {}, sentence(one.why || one.kind));
    select.addEventListener("change", () => {
      const sequence = (select.value || null) as Sequence | null;
      if (sequence) this.chosen.set(one.series, sequence);
      else this.chosen.delete(one.series);
      reason.textContent = sequence === one.used_as ? sentence(one.why || one.kind) : `Your choice. ${sentence(one.why || one.kind)}`;
      this.changed();
    });
    const number = one.number === null ? "" : `${one.number}  `;
    const label = h("label", { for: id, class: "file" }, number && h("span", { class: "rank" }, number), one.description || `Series …${one.series}`);
    return h(
      "tr",
      {},
      h("td", {}, label, reason),
      h("td", { class: "number" }, `${one.slices} slices`, h("small", {}, `${one.spacing_mm.map((mm) => mm.toFixed(1)).join(" × ")} mm`)),
      h("td", {}, select),
    );
  }
}

/** Number and recognised sequences of a study's series, such as "5 series, T1 and FLAIR". */
function contentOf(study: Study): string {
  const used = SEQUENCES.filter((sequence) => study.series.some((one) => one.used_as === sequence) || study.ambiguous?.[sequence]);
  return `${study.series.length} series, ${listed(used.map((sequence) => SEQUENCE_LABELS[sequence])) || "no sequence recognised"}`;
}
