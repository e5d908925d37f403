/** The series of a zipped study: which ones the service would use, why, and how to change it. */
import { send } from "./api";
import type { BidsOptions } from "./bids";
import { h } from "./dom";
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

/** Response of the service about a zip. Volumes in a zip have no series. */
export interface Inspection {
  kind: string;
  studies?: { study: string; series: Series[]; missing: string[] }[];
  files?: Partial<Record<Sequence, string>>;
  missing?: string[];
  problems: string[];
}

/** Ask the service to inspect a zip, without computing or keeping anything. */
export function inspectZip(archive: File, bids: BidsOptions, onSent: (share: number) => void, signal: AbortSignal): Promise<Inspection> {
  const form = new FormData();
  form.set("options", JSON.stringify(bids));
  form.set("case", archive);
  return send<Inspection>("/v1/inspect", form, {}, onSent, signal);
}

/** Series by sequence, as the service chose them. */
export class SeriesChoice {
  readonly element: HTMLElement;
  private readonly chosen = new Map<string, Sequence>();

  constructor(
    private readonly inspection: Inspection,
    private readonly changed: () => void,
  ) {
    for (const one of this.series()) if (one.used_as) this.chosen.set(one.series, one.used_as);
    this.element = h("div", { class: "study" }, ...this.table());
  }

  /** Options of the job: a series or none for each sequence, and the study. */
  options(): { series?: Record<string, string>; study?: string } {
    const [study] = this.inspection.studies ?? [];
    if (!study) return {};
    const series = Object.fromEntries(SEQUENCES.map((sequence) => [sequence, [...this.chosen].find(([, used]) => used === sequence)?.[0] ?? "none"]));
    return { series, ...((this.inspection.studies?.length ?? 0) > 1 ? { study: study.study } : {}) };
  }

  /** The chosen sequences. */
  sequences(): Sequence[] {
    const used = this.inspection.files ? (Object.keys(this.inspection.files) as Sequence[]) : [...this.chosen.values()];
    return SEQUENCES.filter((sequence) => used.includes(sequence));
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

  private series(): Series[] {
    return this.inspection.studies?.[0]?.series ?? [];
  }

  private table(): HTMLElement[] {
    const rows = this.series().map((one, place) => {
      const id = `series-${place}`;
      const options = SEQUENCES.map((sequence) => h("option", { value: sequence, selected: one.used_as === sequence }, SEQUENCE_LABELS[sequence]));
      const select = h("select", { id }, h("option", { value: "" }, "not used"), ...options);
      select.addEventListener("change", () => {
        if (select.value) this.chosen.set(one.series, select.value as Sequence);
        else this.chosen.delete(one.series);
        this.changed();
      });
      const name = one.description || `Series ${one.number ?? one.series}`;
      return h(
        "tr",
        {},
        h("td", {}, h("label", { for: id, class: "file" }, name), h("small", {}, one.why || one.kind)),
        h("td", { class: "number" }, `${one.slices} slices`, h("small", {}, `${one.spacing_mm.map((mm) => mm.toFixed(1)).join(" × ")} mm`)),
        h("td", {}, select),
      );
    });
    const files = Object.entries(this.inspection.files ?? {}).map(([sequence, name]) =>
      h("tr", {}, h("td", {}, name), h("td"), h("td", {}, SEQUENCE_LABELS[sequence as Sequence])),
    );
    const head = h("tr", {}, h("th", { scope: "col" }, this.inspection.files ? "File" : "Series"), h("th", { scope: "col", class: "number" }, "Size"), h("th", { scope: "col" }, "Used as"));
    const several = this.inspection.studies && this.inspection.studies.length > 1;
    return [
      ...(several ? [h("p", { class: "notice" }, `The zip holds ${this.inspection.studies?.length ?? 0} studies. The first one is used.`)] : []),
      h("table", { class: "files" }, h("thead", {}, head), h("tbody", {}, ...rows, ...files)),
    ];
  }
}

