/** The tools above the images: drag tool, grey window and visible parts. */
import { fill, h } from "./dom";
import { TOOLS, type Tool } from "./gestures";
import { PRESETS, windowText, type Window } from "./window";

const TOOL_NAMES: Record<Tool, string> = { crosshair: "Navigate", window: "Window", measure: "Measure", pan: "Pan" };

/** A group of buttons, one of which is pressed. */
export class Switch<Value extends string> {
  readonly element: HTMLElement;
  private readonly buttons: Map<Value, HTMLButtonElement>;

  constructor(label: string, names: Record<Value, string>, first: Value, choose: (value: Value) => void) {
    const values = Object.keys(names) as Value[];
    this.buttons = new Map(
      values.map((value) => {
        const press = (): void => {
          this.press(value);
          choose(value);
        };
        return [value, h("button", { type: "button", "aria-pressed": String(value === first), onclick: press }, names[value])];
      }),
    );
    this.element = h("div", { class: "switch", role: "group", "aria-label": label }, ...this.buttons.values());
  }

  /** Mark a value as chosen. */
  press(value: Value): void {
    for (const [one, button] of this.buttons) button.setAttribute("aria-pressed", String(one === value));
  }
}

export function toolSwitch(choose: (tool: Tool) => void): Switch<Tool> {
  return new Switch("Tool", TOOL_NAMES, TOOLS[0], choose);
}

/** A toggle button. */
export class Toggle {
  readonly element: HTMLButtonElement;

  constructor(
    id: string,
    name: string,
    private on: boolean,
    private readonly change: (on: boolean) => void,
  ) {
    this.element = h("button", { type: "button", id, class: "toggle", "aria-pressed": String(on), onclick: () => this.toggle() }, name);
  }

  toggle(): void {
    this.on = !this.on;
    this.element.setAttribute("aria-pressed", String(this.on));
    this.change(this.on);
  }
}

/** Presets of the grey window, its width and level, and a button to reset window and zoom. */
export class WindowControls {
  readonly element: HTMLElement;
  private readonly select: HTMLSelectElement;
  private readonly values = h("output", { id: "window-values", for: "window-preset" });

  constructor(preset: (name: string) => void, reset: () => void) {
    const change = (): void => preset(this.select.value);
    const options = Object.entries(PRESETS).map(([value, { name }]) => h("option", { value }, name));
    this.select = h("select", { id: "window-preset", onchange: change }, ...options, h("option", { value: "own", disabled: true, hidden: true }, "By hand"));
    const button = h("button", { type: "button", id: "reset", onclick: reset }, "Reset");
    this.element = h("div", { class: "field" }, h("label", { for: "window-preset" }, "Window"), this.select, this.values, button);
  }

  /** Show a grey window. `preset` is its preset, or null for a manual window. */
  show(window: Window, preset: string | null): void {
    this.select.value = preset ?? "own";
    this.values.textContent = windowText(window);
  }
}

/** The latest distance, and a button to clear all measurements. */
export class MeasureReadout {
  readonly element = h("div", { class: "field measured", hidden: true });

  constructor(private readonly clear: () => void) {}

  show(mm: number | null): void {
    this.element.hidden = mm === null;
    if (mm !== null) fill(this.element, h("output", { id: "distance" }, `${mm.toFixed(1)} mm`), h("button", { type: "button", id: "clear-measurements", onclick: this.clear }, "Clear"));
  }
}
