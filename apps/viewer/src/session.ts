/** Token of the session, if the service needs one, and theme of the page. */
import { ServiceProblem, token } from "./api";
import { byId, fill, h } from "./dom";

let asking: Promise<void> | null = null;

/** Run an action. If the service refuses it without a token, ask for one and try again. */
export async function known<Value>(action: () => Promise<Value>): Promise<Value> {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ServiceProblem) || error.status !== 401) throw error;
      asking ??= askForToken(error).finally(() => (asking = null));
      await asking;
    }
  }
}

function askForToken(problem: ServiceProblem): Promise<void> {
  const dialog = byId("token") as HTMLDialogElement;
  const field = h("input", { type: "password", id: "token-text", autocomplete: "off", required: true, spellcheck: "false" });
  const refused = token.get() !== null;
  token.forget();
  return new Promise((give, fail) => {
    const form = h(
      "form",
      {
        onsubmit: (event: Event) => {
          event.preventDefault();
          token.set(field.value.trim());
          dialog.close("given");
        },
      },
      h("h2", { id: "token-title" }, "This service needs a token"),
      h("p", {}, refused ? problem.message : "Ask the person who runs the service for one. It is kept until this tab is closed."),
      h("label", { for: "token-text" }, "Token"),
      field,
      h("div", { class: "row end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Not now"), h("button", { class: "primary" }, "Continue")),
    );
    fill(dialog, form);
    dialog.returnValue = "";
    dialog.onclose = () => {
      byId("forget").hidden = token.get() === null;
      if (dialog.returnValue === "given") give();
      else fail(new ServiceProblem(403, problem.heading, problem.message));
    };
    dialog.showModal();
  });
}

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const THEME_NAMES: Record<Theme, string> = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

/** Set up the two buttons of the header. */
export function startSession(): void {
  byId("forget").hidden = token.get() === null;
  byId("forget").addEventListener("click", () => {
    token.forget();
    location.reload();
  });
  const stored = localStorage.getItem("brats-mm-theme") as Theme | null;
  let theme: Theme = stored && THEMES.includes(stored) ? stored : "auto";
  const apply = (): void => {
    document.documentElement.dataset.theme = theme;
    fill(byId("theme"), h("span", { class: "long" }, THEME_NAMES[theme]), h("span", { class: "short", "aria-hidden": "true" }, "◐"));
    byId("theme").setAttribute("aria-label", THEME_NAMES[theme]);
  };
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
    localStorage.setItem("brats-mm-theme", theme);
    apply();
  });
  apply();
}
