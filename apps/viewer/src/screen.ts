/** What the middle of the page shows, and what it says to people who do not see it. */
import { byId, h } from "./dom";
import { ServiceProblem } from "./api";

/** A part of the page that takes its place until it is closed. */
export interface Screen {
  element: HTMLElement;
  /** What stands in the page's header, if the screen has no heading of its own. */
  heading?: HTMLElement[];
  close(): void;
}

/** Say something in the live region. */
export function announce(text: string): void {
  const region = byId("announce");
  if (region.textContent !== text) region.textContent = text;
}

/** A problem as its sentence; anything else than a problem of the service as an error of the page. */
export function problemBox(error: unknown): HTMLElement {
  const known = error instanceof ServiceProblem;
  const heading = known ? error.heading : "The page met an error of its own";
  const sentence = error instanceof Error ? error.message : String(error);
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, heading), h("p", {}, sentence));
}

/** A name before its value, as a tag in a line of them. */
export function chip(text: string, kind: "there" | "missing" | "plain" = "plain"): HTMLElement {
  return h("span", { class: `chip ${kind}` }, text);
}
