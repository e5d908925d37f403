/** A slice slider for each visible plane, with the slice number. */
import { fill, h } from "./dom";
import { PLANES, type Plane } from "./grid";
import { announce } from "./screen";
import type { View, Viewer } from "./viewer";

const NAMES: Record<Plane, string> = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };

export class SliceBar {
  readonly element = h("div", { class: "slices", role: "group", "aria-label": "Slices" });
  private readonly rows = new Map<Plane, { row: HTMLElement; input: HTMLInputElement; output: HTMLOutputElement }>();

  constructor(private readonly viewer: Viewer) {
    for (const plane of PLANES) this.rows.set(plane, this.row(plane));
    fill(this.element, ...[...this.rows.values()].map((one) => one.row));
    this.update();
  }

  /** Show the sliders of the planes of a view. */
  setView(view: View): void {
    for (const [plane, { row }] of this.rows) row.hidden = view !== "all" && view !== plane;
    this.element.hidden = view === "3d";
  }

  update(): void {
    for (const [plane, { input, output }] of this.rows) {
      const { at, of } = this.viewer.slice(plane);
      input.max = String(of);
      input.valueAsNumber = at;
      output.textContent = `${at} / ${of}`;
      input.setAttribute("aria-valuetext", `slice ${at} of ${of}`);
    }
  }

  private row(plane: Plane): { row: HTMLElement; input: HTMLInputElement; output: HTMLOutputElement } {
    const id = `slice-${plane}`;
    const output = h("output", { for: id });
    const input = h("input", { type: "range", id, min: "1", step: "1" });
    input.addEventListener("input", () => this.viewer.setSlice(plane, input.valueAsNumber));
    input.addEventListener("change", () => announce(`${NAMES[plane]} slice ${output.value}`));
    return { row: h("div", { class: "slice-row" }, h("label", { for: id }, NAMES[plane]), input, output), input, output };
  }
}
