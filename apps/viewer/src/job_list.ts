/** The caller's jobs, newest first. */
import { askJson, type Job } from "./api";
import { fill, h } from "./dom";
import { caseName, when } from "./format";
import { chip, problemBox, type Screen } from "./screen";
import { SEQUENCE_LABELS, type Sequence } from "./sequences";
import { known } from "./session";

interface Page {
  jobs: Job[];
  next: string | null;
}

export function jobList(): Screen {
  const list = h("ul", { class: "jobs" });
  const below = h("div");
  const load = async (path: string): Promise<void> => {
    try {
      const page = await known(() => askJson<Page>(path));
      list.append(...page.jobs.filter((job) => job.kind !== "training").map(entry));
      const next = page.next;
      fill(
        below,
        !list.children.length && h("p", { class: "hint" }, "None yet. Results are deleted after a day."),
        next && h("button", { type: "button", onclick: () => void load(next) }, "Show older jobs"),
      );
    } catch (error) {
      fill(below, problemBox(error));
    }
  };
  void load("/v1/jobs?limit=12");
  const element = h("section", { class: "own", "aria-labelledby": "own-title" }, h("h2", { id: "own-title" }, "Your jobs"), list, below);
  return { element, close: () => undefined };
}

function entry(job: Job): HTMLElement {
  const sequences = job.sequences_found.map((name) => chip(SEQUENCE_LABELS[name as Sequence], "there"));
  return h(
    "li",
    {},
    h("a", { href: `#job=${encodeURIComponent(job.id)}` }, h("span", { class: "name" }, caseName(job.files) || "Case"), h("span", { class: `state ${job.state}` }, job.state)),
    h("small", {}, when(job.created)),
    h("div", { class: "chips" }, ...sequences),
  );
}
