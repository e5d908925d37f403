/** The main area of the page, and its announcements to screen readers. */
import { byId, h } from "./dom";
import { ServiceProblem } from "./api";

/** A part of the main area, shown until it is closed. */
export interface Screen {
  element: HTMLElement;
  /** Text of the page header if the screen has no heading. */
  heading?: HTMLElement[];
  close(): void;
}

/** Announce a text in the live region. */
export function announce(text: string): void {
  const region = byId("announce");
  if (region.textContent !== text) region.textContent = text;
}

/** Describe a problem of the service, or any other error as an error of the page. */
export function problemBox(error: unknown): HTMLElement {
  const known = error instanceof ServiceProblem;
  const heading = known ? error.heading : "Error in this page";
  const sentence = error instanceof Error ? error.message : String(error);
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, heading), h("p", {}, sentence));
}

/** A name and a value as a tag. */
export function chip(text: string, kind: "there" | "missing" | "plain" = "plain", ...more: HTMLElement[]): HTMLElement {
  return h("span", { class: `chip ${kind}` }, text, ...more);
}
