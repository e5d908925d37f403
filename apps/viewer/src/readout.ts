/** Values at a position: coordinates, label, probability of each region, entropy. */
import type { NVImage } from "@niivue/niivue";
import { fill, h } from "./dom";
import { percent, place } from "./format";
import { REGION_NAMES, type Region } from "./difference";
import { announce } from "./screen";
import type { Millimetres } from "./grid";
import { valueAt, type Label } from "./viewer";

const SAY_AFTER_MS = 700;

export class Readout {
  readonly element = h("dl", { class: "readout", "aria-label": "At this position" });
  readonly probabilities = new Map<Region, NVImage>();
  /** Another result to compare with, and its name. */
  other: { name: string; segmentation: NVImage } | null = null;
  private saying = 0;

  constructor(
    private readonly segmentation: NVImage,
    private readonly entropy: NVImage,
    private readonly labels: Label[],
  ) {}

  /** Show a position. The crosshair's position is announced once it stops. */
  show(mm: Millimetres, how: "crosshair" | "pointer"): void {
    const label = this.labelAt(this.segmentation, mm);
    const entropy = valueAt(this.entropy, mm);
    const regions = [...this.probabilities].map(([region, volume]): [string, string] => {
      const value = valueAt(volume, mm);
      return [REGION_NAMES[region], value === null ? "none" : percent(value)];
    });
    const name = label?.name ?? "No tumour";
    fill(
      this.element,
      pair(how === "pointer" ? "Pointer" : "Crosshair", place(mm), "position"),
      labelled("Label", label),
      this.other && labelled(capital(this.other.name), this.labelAt(this.other.segmentation, mm)),
      ...regions.map(([region, value]) => pair(region, value)),
      pair("Entropy", entropy === null ? "none" : `${entropy.toFixed(2)} nats`),
    );
    clearTimeout(this.saying);
    if (how === "crosshair") this.saying = window.setTimeout(() => announce(`${place(mm)}: ${name}, entropy ${entropy?.toFixed(2) ?? "none"}`), SAY_AFTER_MS);
  }

  private labelAt(segmentation: NVImage, mm: Millimetres): Label | undefined {
    return this.labels.find((one) => one.value === valueAt(segmentation, mm));
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function labelled(heading: string, label: Label | undefined): HTMLElement {
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  if (label) swatch.style.backgroundColor = `rgb(${label.colour.join(" ")})`;
  return h("div", { class: "label" }, h("dt", {}, heading), h("dd", {}, swatch, label?.name ?? "No tumour"));
}

function pair(name: string, value: string, kind = ""): HTMLElement {
  return h("div", { class: kind || null }, h("dt", {}, name), h("dd", {}, value));
}
