/** The session of a zipped BIDS dataset, and its images. */
import { h } from "./dom";

/** Options of a job that select from a BIDS dataset. */
export interface BidsOptions {
  participant?: string[];
  session?: string[];
  run?: string;
  acquisition?: string;
}

const FIELDS = [
  ["participant", "Participant", "01"],
  ["session", "Session", "pre"],
  ["run", "Run", "1"],
  ["acquisition", "Acquisition", "mprage"],
] as const;

/** The labels typed by the user, as options of a job. Empty fields select all. */
export function bidsOptions(typed: Record<string, string>): BidsOptions {
  const given = (name: string): string => (typed[name] ?? "").trim();
  return {
    ...(given("participant") && { participant: [given("participant")] }),
    ...(given("session") && { session: [given("session")] }),
    ...(given("run") && { run: given("run") }),
    ...(given("acquisition") && { acquisition: given("acquisition") }),
  };
}

/** A form for the labels. `changed` is called when the user asks to look again. */
export class BidsChoice {
  readonly element: HTMLElement;
  private readonly inputs = FIELDS.map(([name, , example]) => h("input", { id: `bids-${name}`, type: "text", placeholder: example, autocomplete: "off" }));

  constructor(changed: () => void) {
    const fields = FIELDS.map(([name, label], place) => h("label", { for: `bids-${name}` }, `${label} `, this.inputs[place] ?? null));
    const again = h("button", { type: "button", id: "bids-look", onclick: changed }, "Look again");
    const hint = h("p", { class: "hint" }, "Labels with or without their entity, such as 01 or sub-01. Run and acquisition select among the images of a session.");
    this.element = h("details", { class: "bids" }, h("summary", {}, "Choose from a BIDS dataset"), hint, h("div", { class: "row" }, ...fields, again));
  }

  options(): BidsOptions {
    return bidsOptions(Object.fromEntries(FIELDS.map(([name], place) => [name, this.inputs[place]?.value ?? ""])));
  }
}
