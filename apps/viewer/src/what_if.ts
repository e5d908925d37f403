/** Run the case again without a sequence, and compare the two results. */
import { ServiceProblem, type Job } from "./api";
import type { CaseData } from "./case_data";
import { diceOf, ONLY_FIRST, ONLY_SECOND, OTHER_LABEL, REGION_NAMES, REGIONS, valuesOf } from "./difference";
import { fill, h } from "./dom";
import { millilitres, percent } from "./format";
import { follow, submit } from "./jobs";
import { legend } from "./panels";
import { detailOf, shareOf, silent } from "./progress";
import { announce, problemBox } from "./screen";
import { SEQUENCE_LABELS, type Sequence } from "./sequences";
import { known } from "./session";
import type { Label } from "./viewer";

/** Names and colours of the difference map, different from those of the labels. */
export function differenceLabels(lacking: string): Label[] {
  return [
    { value: ONLY_FIRST, name: `Only with ${lacking}`, colour: [64, 156, 255] },
    { value: ONLY_SECOND, name: `Only without ${lacking}`, colour: [232, 93, 224] },
    { value: OTHER_LABEL, name: "Another label", colour: [214, 214, 214] },
  ];
}

/** Another result of the same case, and the sequences it lacks. */
export interface Alternative {
  result: CaseData;
  lacking: string;
}

/** Sequences of the first job that the second lacks, such as "T1, FLAIR". */
export function lackingOf(first: Job, second: Job): string {
  const lacking = first.sequences_found.filter((name) => !second.sequences_found.includes(name));
  return lacking.map((name) => SEQUENCE_LABELS[name as Sequence]).join(", ");
}

/** Callbacks to the page. */
export interface Comparison {
  /** Show a finished job next to the first. Null ends the comparison. */
  show(job: Job | null): Promise<void>;
  showDifference(shown: boolean): void;
}

export class WhatIfPanel {
  readonly element = h("section", { class: "panel", "aria-labelledby": "what-if" });
  private readonly body = h("div");
  private readonly outcome = h("div", { id: "what-if-outcome" });
  private readonly finished = new Map<Sequence, Job>();

  constructor(
    private readonly first: CaseData,
    private readonly page: Comparison,
    private readonly signal: AbortSignal,
  ) {
    fill(this.element, h("h2", { id: "what-if" }, "Compare without a sequence"), this.body, this.outcome);
    this.list();
  }

  /** Mark a compared job as the one without a sequence. */
  remember(job: Job): void {
    const lacking = this.first.job.sequences_found.filter((name) => !job.sequences_found.includes(name));
    if (lacking.length === 1) this.finished.set(lacking[0] as Sequence, job);
    this.list();
  }

  /** Show the volumes of both results, their difference and their overlap. Null clears the panel. */
  compare(other: Alternative | null, first: ArrayLike<number>, second: ArrayLike<number> | null): void {
    if (!other) return fill(this.outcome);
    const { labels } = this.first.report;
    const rows = REGIONS.map((region) => {
      const before = this.first.report.regions[region]?.volume_ml ?? 0;
      const after = other.result.report.regions[region]?.volume_ml ?? 0;
      const dice = second && diceOf(first, second, valuesOf(region, labels));
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, REGION_NAMES[region]),
        h("td", { class: "number" }, millilitres(before)),
        h("td", { class: "number strong" }, millilitres(after)),
        h("td", { class: "number" }, `${after < before ? "−" : "+"}${millilitres(Math.abs(after - before))}`),
        h("td", { class: "number" }, dice === null ? "none" : percent(dice)),
      );
    });
    const columns = ["Region", "with", "without", "change", "Dice"].map((name, at) => h("th", { scope: "col", class: at ? "number" : null }, name));
    const box = h("input", { type: "checkbox", id: "difference-shown", checked: true });
    box.addEventListener("change", () => this.page.showDifference(box.checked));
    const difference = h("div", { class: "check" }, box, h("label", { for: "difference-shown" }, "Show the difference instead of the uncertainty"));
    const grids = second ? null : h("p", { class: "hint" }, "The two results are on different grids, so only their volumes are compared.");
    fill(
      this.outcome,
      h("p", { class: "strong" }, `Compared with the result without ${other.lacking}`),
      h("table", {}, h("thead", {}, h("tr", {}, ...columns)), h("tbody", {}, ...rows)),
      second && difference,
      second ? legend(differenceLabels(other.lacking), "Colours of the difference") : grids,
      h("p", { class: "hint" }, "Dice: overlap of the two results, not their accuracy."),
      h("button", { type: "button", id: "end-comparison", onclick: () => void this.page.show(null) }, "End the comparison"),
    );
  }

  private list(): void {
    const sequences = this.first.job.sequences_found as Sequence[];
    if (sequences.length < 2) return fill(this.body, h("p", { class: "hint" }, "This case has one sequence, so none can be left out."));
    if (!this.first.canBeSentAgain() && !this.finished.size)
      return fill(this.body, h("p", { class: "hint" }, 'The images were not kept, so the case cannot be run again. Submit it again with "Keep the images" selected.'));
    const buttons = sequences.map((sequence) => {
      const job = this.finished.get(sequence);
      const press = (): void => void (job ? this.page.show(job) : this.run(sequence));
      return h("button", { type: "button", onclick: press }, `Without ${SEQUENCE_LABELS[sequence]}`);
    });
    fill(this.body, h("p", { class: "hint" }, "Run the case again without one of its sequences."), h("div", { class: "row wrap" }, ...buttons));
  }

  private async run(sequence: Sequence): Promise<void> {
    const label = SEQUENCE_LABELS[sequence];
    const bar = h("progress", { max: "1", value: "0", "aria-label": `Segmenting without ${label}` });
    const detail = h("span", { class: "hint" }, "Sending");
    fill(this.body, h("p", {}, `Segmenting without ${label}`), h("div", { class: "row" }, bar, detail));
    fill(this.outcome);
    announce(`Segmenting without ${label}.`);
    try {
      let job = await this.send(sequence);
      const update = (next: Job): void => {
        job = next;
        bar.value = shareOf(next);
        detail.textContent = detailOf(next);
      };
      const contact = (answers: boolean): void => {
        if (answers) fill(this.outcome);
        else if (!this.outcome.firstChild) fill(this.outcome, silent());
      };
      await known(() => follow(job, update, this.signal, contact));
      if (this.signal.aborted) return;
      if (job.state !== "done") throw new ServiceProblem(0, job.error?.title ?? `The run without ${label} failed`, job.error?.detail ?? `The job is ${job.state}.`);
      this.finished.set(sequence, job);
      this.list();
      await this.page.show(job);
    } catch (error) {
      if (this.signal.aborted) return;
      this.list();
      fill(this.outcome, problemBox(error));
    }
  }

  /** Sequences that the first run did not use remain unused. */
  private leftOut(): Record<string, string> {
    return Object.fromEntries(this.first.job.sequences_missing.map((name) => [name, "none"]));
  }

  private async send(sequence: Sequence): Promise<Job> {
    const options = { keepImages: this.first.job.links.inputs !== undefined, labels: this.first.job.options.labels };
    const sent = await this.first.archive();
    if (sent) {
      const study = { ...sent.study, series: { ...sent.study?.series, ...this.leftOut(), [sequence]: "none" } };
      return known(() => submit({ files: [], archive: sent.archive, study, ...options }, () => undefined, this.signal));
    }
    const rest = (this.first.job.sequences_found as Sequence[]).filter((name) => name !== sequence);
    const files = await Promise.all(
      rest.map(async (name) => {
        const { name: fileName, content } = await this.first.sent(name);
        return { file: new File([content], fileName), shown: fileName, sequence: name, note: "" };
      }),
    );
    return known(() => submit({ files, archive: null, ...options }, () => undefined, this.signal));
  }
}
