/** Send a corrected segmentation of a job back to the service, which scores the prediction against it. */
import { ask, askJson, send, type Report } from "./api";
import type { CaseData } from "./case_data";
import { REGION_NAMES, REGIONS } from "./difference";
import { fill, h } from "./dom";
import { percent } from "./format";
import { announce, problemBox } from "./screen";
import { known } from "./session";

const AUTHOR = "brats-mm-author";

/** A stored label, as the service describes it. */
export interface StoredLabel {
  version: number;
  author: string;
  trainable: boolean;
  scores: Record<string, { dice: number | null }>;
}

/** Names of the values in the file. The service stores its own values. */
export function labelInfo(labels: Report["labels"]): { name: string; idx: number }[] {
  return Object.entries(labels).map(([name, idx]) => ({ name, idx }));
}

/** One sentence on what was stored, and how well the prediction agrees with it. */
export function outcomeText(label: StoredLabel): string {
  const scores = REGIONS.flatMap((region) => {
    const dice = label.scores[region]?.dice;
    return typeof dice === "number" ? [`${REGION_NAMES[region].toLowerCase()} ${percent(dice)}`] : [];
  });
  const author = label.author ? ` by ${label.author}` : "";
  return `Version ${label.version}${author} is stored.${scores.length ? ` Dice of the result against it: ${scores.join(", ")}.` : ""}`;
}

/** Why a label is not trained on. Empty if it is. */
export function untrainedText(label: StoredLabel, raw: boolean): string {
  if (label.trainable) return "";
  return `The model is not trained on it, because ${raw ? "these are raw scans" : "the images were not kept"}.`;
}

export class CorrectionPanel {
  readonly element = h("section", { class: "panel", "aria-labelledby": "correction" });
  private readonly file = h("input", { type: "file", id: "correction-file", accept: ".nii,.gz,.nrrd,.mha" });
  private readonly author = h("input", { type: "text", id: "correction-author", maxlength: "120", autocomplete: "name", value: sessionStorage.getItem(AUTHOR) ?? "" });
  private readonly confirmed = h("input", { type: "checkbox", id: "correction-confirmed" });
  private readonly button = h("button", { type: "submit", class: "primary", id: "correction-send", disabled: true }, "Submit the correction");
  private readonly outcome = h("div", { id: "correction-outcome" });

  constructor(
    private readonly data: CaseData,
    private readonly signal: AbortSignal,
  ) {
    const submit = (event: Event): void => {
      event.preventDefault();
      void this.attempt(() => this.submit());
    };
    const form = h(
      "form",
      { onsubmit: submit, oninput: () => this.update() },
      h("div", { class: "field stacked" }, h("label", { for: "correction-file" }, "Corrected label file"), this.file),
      h("div", { class: "field stacked" }, h("label", { for: "correction-author" }, "Author"), this.author),
      h("div", { class: "check" }, this.confirmed, h("label", { for: "correction-confirmed" }, "I checked all outlines. Keep this label and a copy of the images until I delete it.")),
      this.button,
    );
    fill(
      this.element,
      h("h2", { id: "correction" }, "Correct this result"),
      h("p", { class: "hint" }, `Correct segmentation.nii.gz in an editor, such as 3D Slicer, and send the file back. ${valuesText(data)}`),
      form,
      this.outcome,
    );
    void this.attempt(() => this.showStored());
  }

  private update(): void {
    this.button.disabled = !(this.file.files?.length && this.author.value.trim() && this.confirmed.checked);
  }

  private async submit(): Promise<void> {
    const file = this.file.files?.[0];
    const author = this.author.value.trim();
    if (!file) return;
    sessionStorage.setItem(AUTHOR, author);
    const form = new FormData();
    form.set("params", JSON.stringify({ author, label_info: labelInfo(this.data.report.labels) }));
    form.set("label", file);
    const share = h("progress", { max: "1", value: "0", "aria-label": "Upload of the correction" });
    fill(this.outcome, share);
    this.button.disabled = true;
    const path = `/datastore/label?image=${this.id()}`;
    await known(() => send(path, form, {}, (sent) => (share.value = sent), this.signal, "PUT"));
    this.file.value = "";
    this.confirmed.checked = false;
    await this.show();
    announce("The correction is stored.");
  }

  /** Labels of earlier visits. The history of scores also answers where there are none. */
  private async showStored(): Promise<void> {
    const { history } = await known(() => askJson<{ history: { image: string }[] }>("/scoring/"));
    if (!this.signal.aborted && history.some((one) => one.image === this.data.job.id)) await this.show();
  }

  private async show(): Promise<void> {
    const label = await known(() => askJson<StoredLabel>(`/datastore/label/info?label=${this.id()}`));
    const remove = (): void => void this.attempt(() => this.remove());
    fill(
      this.outcome,
      h("p", { class: "strong" }, outcomeText(label)),
      h("p", { class: "hint" }, untrainedText(label, this.data.report.preparation?.kind === "raw"), " ", h("button", { type: "button", class: "link", id: "correction-delete", onclick: remove }, "Delete the label")),
    );
  }

  private async remove(): Promise<void> {
    if (!confirm("Delete all versions of this label?")) return;
    await known(() => ask(`/datastore/label?id=${this.id()}`, { method: "DELETE" }));
    fill(this.outcome, h("p", { class: "hint" }, "The label was deleted."));
  }

  private id(): string {
    return encodeURIComponent(this.data.job.id);
  }

  private async attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!this.signal.aborted) fill(this.outcome, problemBox(error));
    }
    this.update();
  }
}

function valuesText(data: CaseData): string {
  return `Values: ${data.labels.map((label) => `${label.value} ${label.name.toLowerCase()}`).join(", ")}.`;
}
