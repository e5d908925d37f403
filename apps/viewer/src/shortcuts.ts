/** Keyboard shortcuts and their help window. Users of speech input can turn them off. */
import { fill, h } from "./dom";

export interface Shortcut {
  key: string;
  what: string;
  run: () => void;
}

const STORED = "brats-mm-shortcuts";
/** Keys and mouse actions that are not shortcuts of this page. */
const OTHERS: [string, string][] = [
  ["Arrow keys", "move the crosshair in the axial plane, with the images focused"],
  ["Page Up, Page Down", "move the crosshair up and down"],
  ["Shift", "with these keys: five voxels at a time"],
  ["Mouse wheel", "scroll through the slices under the pointer, zoom with Pan and zoom"],
  ["Drag with the right button", "grey window: to the side for the width, up and down for the level"],
  ["Double click", "reset the grey window"],
];
const TYPING = "input:not([type=range]):not([type=checkbox]):not([type=radio]), select, textarea, [contenteditable]";

export class Shortcuts {
  readonly help: HTMLDialogElement;
  private on = localStorage.getItem(STORED) !== "off";

  constructor(
    private readonly all: Shortcut[],
    signal: AbortSignal,
  ) {
    this.help = this.dialog();
    // Handle the key before the images do.
    document.addEventListener("keydown", (event) => this.pressed(event), { capture: true, signal });
  }

  private pressed(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.altKey || event.metaKey || target.matches(TYPING) || document.querySelector("dialog[open]")) return;
    const shortcut = this.all.find((one) => one.key.toLowerCase() === event.key.toLowerCase());
    if (!shortcut || (!this.on && shortcut.key.length === 1)) return;
    event.preventDefault();
    shortcut.run();
  }

  private dialog(): HTMLDialogElement {
    const active = h("input", { type: "checkbox", id: "shortcuts-on", checked: this.on });
    active.addEventListener("change", () => {
      this.on = active.checked;
      localStorage.setItem(STORED, this.on ? "on" : "off");
    });
    const row = ([key, what]: [string, string]): HTMLElement => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, what));
    const dialog = h("dialog", { id: "help", "aria-labelledby": "help-title" });
    const keys = this.all.map((one): [string, string] => [one.key.length === 1 ? one.key.toUpperCase() : one.key, one.what]);
    fill(
      dialog,
      h("h2", { id: "help-title", tabindex: "-1", autofocus: true }, "Keys and mouse"),
      h("table", { class: "keys" }, h("tbody", {}, ...[...keys, ...OTHERS].map(row))),
      h("div", { class: "check" }, active, h("label", { for: "shortcuts-on" }, "Use single-key shortcuts")),
      h("div", { class: "row end" }, h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close")),
    );
    return dialog;
  }
}
