/** The page shows one screen, chosen by the address: `#job=ID`, or none for a new case. */
import type { Job } from "./api";
import { byId, fill, h } from "./dom";
import { follow, hasEnded, look } from "./jobs";
import { progressScreen } from "./progress";
import { announce, problemBox, type Screen } from "./screen";
import { known, startSession } from "./session";
import { startScreen } from "./start";

let current: Screen | null = null;
let leaving = new AbortController();

function put(screen: Screen): void {
  current?.close();
  current = screen;
  fill(byId("title"), ...(screen.heading ?? []));
  fill(byId("screen"), screen.element);
}

function ending(heading: string, sentence: string): Screen {
  const again = h("a", { class: "button primary", href: "#" }, "New case");
  const element = h("section", { class: "progress" }, h("h1", {}, heading), h("div", { class: "problem", role: "alert" }, h("p", {}, sentence)), again);
  return { element, close: () => undefined };
}

async function showEnded(job: Job, withId: string | null): Promise<void> {
  if (job.state === "done") {
    const { resultScreen } = await import("./result");
    put(await known(() => resultScreen(job, withId)));
    return announce("The result is ready.");
  }
  if (job.state === "failed") return put(ending(job.error?.title ?? "The job failed", job.error?.detail ?? "The service gave no reason."));
  if (job.state === "cancelled") return put(ending("Cancelled", "The job was cancelled, and its files are deleted."));
  put(ending("Expired", "The results have expired and are deleted. Submit the case again."));
}

async function showJob(id: string, withId: string | null, signal: AbortSignal): Promise<void> {
  let job = await known(() => look(id));
  byId("disclaimer").textContent = job.disclaimer;
  if (!hasEnded(job)) {
    const progress = progressScreen(job);
    const contact = (answers: boolean): void => progress.contact(answers);
    put(progress);
    const heard = (next: Job): void => {
      job = next;
      if (!hasEnded(next)) progress.update(next);
    };
    await known(() => follow(job, heard, signal, contact));
  }
  if (!signal.aborted) await showEnded(job, withId);
}

async function route(): Promise<void> {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const address = new URLSearchParams(location.hash.slice(1));
  const id = address.get("job");
  document.title = id ? "Case - BraTS-MM" : "BraTS-MM";
  if (id === null) return put(startScreen((job) => (location.hash = `job=${encodeURIComponent(job)}`)));
  try {
    await showJob(id, address.get("with"), signal);
  } catch (error) {
    if (!signal.aborted) put({ element: h("section", { class: "progress" }, problemBox(error)), close: () => undefined });
  }
}

startSession();
window.addEventListener("hashchange", () => {
  void route().then(() => byId("screen").focus());
});
// The address names the job, so the skip link must not change it.
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  byId("screen").focus();
});
// A file dropped outside the drop area must not replace the page.
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
void route();
