/** A running job: queue position, stages, one progress bar, and Cancel. */
import type { Job } from "./api";
import { fill, h } from "./dom";
import { caseName } from "./format";
import { cancel } from "./jobs";
import { announce, chip, problemBox, type Screen } from "./screen";
import { SEQUENCE_LABELS, type Sequence } from "./sequences";
import { known } from "./session";

const STAGES = ["waiting", "reading", "preprocessing", "segmenting", "writing"] as const;
const STAGE_NAMES: Record<string, string> = {
  waiting: "Waiting",
  reading: "Reading",
  preprocessing: "Preprocessing",
  segmenting: "Segmenting",
  writing: "Writing",
};

/** The stage of a job. */
export function stageOf(job: Job): string {
  return job.state === "queued" ? "waiting" : job.progress.stage;
}

/** Details of the stage: jobs ahead in the queue, the step, or progress of the model. */
export function detailOf(job: Job): string {
  if (job.state === "queued" && job.queue_position !== null)
    return job.queue_position === 0 ? "next in the queue" : `${job.queue_position} ${job.queue_position === 1 ? "job" : "jobs"} ahead`;
  const { stage, step, windows_done: done, windows_total: total } = job.progress;
  return stage === "segmenting" && total ? `part ${done} of ${total}` : step;
}

/** Progress of a job over all stages, 0 to 1. Only a finished job is at 1. */
export function shareOf(job: Job): number {
  if (job.state === "done") return 1;
  return job.state === "queued" ? 0 : Math.min(0.99, job.progress.fraction ?? 0);
}

/** Format seconds as minutes and seconds: "1:05". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export interface ProgressScreen extends Screen {
  update(job: Job): void;
  /** Show or hide the message that the service does not respond. */
  contact(answers: boolean): void;
}

export function progressScreen(first: Job): ProgressScreen {
  const stages = h("ol", { class: "stages" });
  const bar = h("progress", { max: "1", value: "0", "aria-label": "Progress" });
  const share = h("span", { class: "number" });
  const elapsed = h("span", { class: "hint" });
  const status = h("div");
  const silence = h("div", { id: "silence" });
  const stop = h("button", { type: "button", id: "cancel" }, "Cancel");
  stop.addEventListener("click", () => {
    stop.disabled = true;
    known(() => cancel(first)).catch((error: unknown) => {
      stop.disabled = false;
      fill(status, problemBox(error));
    });
  });
  const update = (job: Job): void => {
    const now = stageOf(job);
    const at = (STAGES as readonly string[]).indexOf(now);
    fill(stages, ...STAGES.map((stage, place) => step(stage, place, at, detailOf(job))));
    // The bar never moves back, not even if the job restarts.
    bar.value = Math.max(bar.value, shareOf(job));
    share.textContent = `${Math.floor(bar.value * 100)} %`;
    announce([STAGE_NAMES[now] ?? now, detailOf(job)].filter(Boolean).join(", "));
  };
  const tick = (): void => void (elapsed.textContent = `${clock((Date.now() - Date.parse(first.created)) / 1000)} since it was submitted`);
  const timer = setInterval(tick, 1000);
  tick();
  update(first);
  const contact = (answers: boolean): void => {
    if (answers) fill(silence);
    else if (!silence.firstChild) fill(silence, silent());
  };
  const element = h(
    "section",
    { class: "progress", "aria-labelledby": "progress-title" },
    h("h1", { id: "progress-title" }, `Segmenting ${caseName(first.files) || "the case"}`),
    h("div", { class: "chips" }, ...sequenceChips(first)),
    stages,
    h("div", { class: "row" }, bar, share),
    elapsed,
    silence,
    h("div", { class: "row" }, stop),
    status,
    h("p", { class: "hint" }, "You can close this page. The job continues, and this address shows it again."),
  );
  return { element, update, contact, close: () => clearInterval(timer) };
}

/** A message that the service does not respond. */
export function silent(): HTMLElement {
  const since = new Date().toLocaleTimeString();
  const sentence = "The page keeps trying. If the service has stopped, start it again. It continues the job.";
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, `No response from the service since ${since}`), h("p", {}, sentence));
}

function step(stage: string, place: number, at: number, detail: string): HTMLElement {
  const state = place < at ? "over" : place === at ? "now" : "ahead";
  return h("li", { class: state, "aria-current": state === "now" ? "step" : null }, STAGE_NAMES[stage], state === "now" && detail && h("small", {}, detail));
}

/** The sequences of a job: available, then missing. */
export function sequenceChips(job: Job): HTMLElement[] {
  const label = (name: string): string => SEQUENCE_LABELS[name as Sequence];
  return [
    ...job.sequences_found.map((name) => chip(label(name), "there")),
    ...job.sequences_missing.map((name) => chip(label(name), "missing", h("span", { class: "word" }, " missing"))),
  ];
}
