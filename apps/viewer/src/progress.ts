/** A job on its way: its place in the queue, its stages, and Cancel. */
import type { Job } from "./api";
import { fill, h } from "./dom";
import { cancel } from "./jobs";
import { announce, chip, problemBox, type Screen } from "./screen";
import { SEQUENCE_LABELS, type Sequence } from "./sequences";
import { known } from "./session";

const STAGES = ["waiting", "reading", "segmenting", "writing"] as const;
const STAGE_NAMES: Record<string, string> = { waiting: "Waiting", reading: "Reading", segmenting: "Segmenting", writing: "Writing" };

/** What a job does at this moment, in a few words. */
export function stageOf(job: Job): string {
  return job.state === "queued" ? "waiting" : job.progress.stage;
}

/** The words beside a stage: how many are before this job, or how far the model is. */
export function detailOf(job: Job): string {
  if (job.state === "queued" && job.queue_position !== null)
    return job.queue_position === 0 ? "next in the queue" : `${job.queue_position} ${job.queue_position === 1 ? "job" : "jobs"} before it`;
  const { stage, windows_done: done, windows_total: total } = job.progress;
  return stage === "segmenting" && total ? `part ${done} of ${total}` : "";
}

export interface ProgressScreen extends Screen {
  update(job: Job): void;
}

export function progressScreen(first: Job): ProgressScreen {
  const stages = h("ol", { class: "stages" });
  const bar = h("progress", { max: "1", "aria-label": "Progress" });
  const trouble = h("div");
  const stop = h("button", { type: "button", id: "cancel" }, "Cancel");
  stop.addEventListener("click", () => {
    stop.disabled = true;
    known(() => cancel(first)).catch((error: unknown) => {
      stop.disabled = false;
      fill(trouble, problemBox(error));
    });
  });
  const update = (job: Job): void => {
    const now = stageOf(job);
    const at = (STAGES as readonly string[]).indexOf(now);
    fill(stages, ...STAGES.map((stage, place) => step(stage, place, at, detailOf(job))));
    const share = now === "segmenting" && job.progress.windows_total ? job.progress.windows_done / job.progress.windows_total : null;
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
    announce([STAGE_NAMES[now] ?? now, detailOf(job)].filter(Boolean).join(", "));
  };
  update(first);
  const element = h(
    "section",
    { class: "progress", "aria-labelledby": "progress-title" },
    h("h1", { id: "progress-title" }, "Segmenting the case"),
    h("div", { class: "chips" }, ...sequenceChips(first)),
    stages,
    bar,
    h("div", { class: "row" }, stop),
    trouble,
    h("p", { class: "hint" }, "You may close this page: the job goes on, and its address brings you back."),
  );
  return { element, update, close: () => undefined };
}

function step(stage: string, place: number, at: number, detail: string): HTMLElement {
  const state = place < at ? "over" : place === at ? "now" : "ahead";
  return h("li", { class: state, "aria-current": state === "now" ? "step" : null }, STAGE_NAMES[stage], state === "now" && detail && h("small", {}, detail));
}

/** The sequences of a job: those that are there, then those that are missing. */
export function sequenceChips(job: Job): HTMLElement[] {
  const label = (name: string): string => SEQUENCE_LABELS[name as Sequence];
  return [
    ...job.sequences_found.map((name) => chip(label(name), "there")),
    ...job.sequences_missing.map((name) => chip(`${label(name)} missing`, "missing")),
  ];
}
