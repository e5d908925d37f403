/** What lies at a place: position, label, the probability of each region, entropy. */
import type { NVImage } from "@niivue/niivue";
import { fill, h } from "./dom";
import { percent, place } from "./format";
import { REGION_NAMES } from "./panels";
import { announce } from "./screen";
import { valueAt, type Label, type Millimetres } from "./viewer";

const SAY_AFTER_MS = 700;

export class Readout {
  readonly element = h("dl", { class: "readout", "aria-label": "At this place" });
  readonly probabilities = new Map<string, NVImage>();
  private saying = 0;

  constructor(
    private readonly segmentation: NVImage,
    private readonly entropy: NVImage,
    private readonly labels: Label[],
  ) {}

  /** Show a place; that of the crosshair is also said, once it rests. */
  show(mm: Millimetres, how: "crosshair" | "pointer"): void {
    const label = this.labels.find((one) => one.value === valueAt(this.segmentation, mm));
    const entropy = valueAt(this.entropy, mm);
    const regions = [...this.probabilities].map(([region, volume]): [string, string] => {
      const value = valueAt(volume, mm);
      return [REGION_NAMES[region] ?? region, value === null ? "none" : percent(value)];
    });
    const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
    if (label) swatch.style.backgroundColor = `rgb(${label.colour.join(" ")})`;
    const name = label?.name ?? "No tumour";
    fill(
      this.element,
      pair(how === "pointer" ? "Pointer" : "Crosshair", place(mm), "position"),
      h("div", { class: "label" }, h("dt", {}, "Label"), h("dd", {}, swatch, name)),
      ...regions.map(([region, value]) => pair(region, value)),
      pair("Entropy", entropy === null ? "none" : `${entropy.toFixed(2)} nats`),
    );
    clearTimeout(this.saying);
    if (how === "crosshair") this.saying = window.setTimeout(() => announce(`${place(mm)}: ${name}, entropy ${entropy?.toFixed(2) ?? "none"}`), SAY_AFTER_MS);
  }
}

function pair(name: string, value: string, kind = ""): HTMLElement {
  return h("div", { class: kind || null }, h("dt", {}, name), h("dd", {}, value));
}
