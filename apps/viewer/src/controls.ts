/** Controls of the overlays: labels, opacity, uncertainty, threshold. */
import { fill, h } from "./dom";
import { certaintyOf, percent } from "./format";
import { Switch } from "./toolbar";
import { type Look, type View } from "./viewer";

export const VIEW_NAMES: Record<View, string> = { all: "All", axial: "Axial", coronal: "Coronal", sagittal: "Sagittal", "3d": "3D" };

export function viewSwitch(choose: (view: View) => void): Switch<View> {
  return new Switch("View", VIEW_NAMES, "all", choose);
}

/** A list to choose from. Calls `choose` with the value. */
export function choice(id: string, label: string, options: [string, string][], choose: (value: string) => void): HTMLElement {
  const change = (event: Event): void => choose((event.target as HTMLSelectElement).value);
  const select = h("select", { id, onchange: change }, ...options.map(([value, text]) => h("option", { value }, text)));
  return h("div", { class: "field" }, h("label", { for: id }, label), select);
}

interface Range {
  id: string;
  label: string;
  max: number;
  value: number;
  shown: (value: number) => string;
}

function slider(range: Range, change: (value: number) => void): HTMLElement {
  const output = h("output", { for: range.id }, range.shown(range.value));
  const input = h("input", { type: "range", id: range.id, min: "0", max: String(range.max), step: "any", value: String(range.value) });
  input.step = String(range.max > 1 ? 0.01 : range.max / 50);
  input.setAttribute("aria-valuetext", range.shown(range.value));
  input.addEventListener("input", () => {
    output.textContent = range.shown(input.valueAsNumber);
    input.setAttribute("aria-valuetext", range.shown(input.valueAsNumber));
    change(input.valueAsNumber);
  });
  return h("div", { class: "slider" }, h("label", { for: range.id }, range.label), output, input);
}

/** The meaning of an entropy threshold: the model's confidence at a voxel with this entropy. */
export function thresholdText(nats: number): string {
  if (nats < 0.005) return "nothing hidden";
  const certainty = certaintyOf(nats);
  return `${nats.toFixed(2)} nats${certainty === null ? "" : `, ${percent(certainty)} certain`}`;
}

export function segmentationControls(look: Look, legend: HTMLElement, change: () => void): HTMLElement {
  const opacity = slider({ id: "segmentation-opacity", label: "Opacity", max: 1, value: look.segmentation, shown: percent }, (value) => {
    look.segmentation = value;
    change();
  });
  const outline = h("input", { type: "checkbox", id: "outline", checked: look.outline });
  outline.addEventListener("change", () => {
    look.outline = outline.checked;
    change();
  });
  const check = h("div", { class: "check" }, outline, h("label", { for: "outline" }, "Outlines"));
  return h("section", { class: "panel", "aria-labelledby": "overlay-labels" }, h("h2", { id: "overlay-labels" }, "Segmentation", check), legend, opacity);
}

export interface EntropyChoice {
  maps: [string, string][];
  /** Largest value of a map, in nats. */
  most: (map: string) => number;
  colours: string[];
  choose: (map: string) => void;
}

export function entropyControls(look: Look, entropy: EntropyChoice, change: () => void): HTMLElement {
  const opacity = slider({ id: "entropy-opacity", label: "Opacity", max: 1, value: look.entropy, shown: percent }, (value) => {
    look.entropy = value;
    change();
  });
  const threshold = slider({ id: "threshold", label: "Hide below", max: Math.floor(entropy.most("entropy") * 100) / 100, value: look.threshold, shown: thresholdText }, (value) => {
    look.threshold = value;
    change();
  });
  const undecided = (map: string): string => `undecided, ${entropy.most(map).toFixed(2)} nats`;
  const end = h("span", {}, undecided("entropy"));
  const scale = h("span", { class: "scale", "aria-hidden": "true" });
  scale.style.background = `linear-gradient(to right, ${entropy.colours.join(", ")})`;
  const ends = h("div", { class: "ends" }, h("span", {}, "certain, 0"), scale, end);
  const choose = (map: string): void => {
    end.textContent = undecided(map);
    entropy.choose(map);
  };
  const maps = choice("entropy-map", "Of", entropy.maps, choose);
  const panel = h("section", { class: "panel", "aria-labelledby": "overlay-entropy" });
  fill(panel, h("h2", { id: "overlay-entropy" }, "Uncertainty", maps), ends, opacity, threshold);
  return panel;
}
