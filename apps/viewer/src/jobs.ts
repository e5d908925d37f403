/** Submit, follow and list jobs. */
import { ask, askJson, send, ServiceProblem, type Job } from "./api";
import type { BidsOptions } from "./bids";
import type { CaseFile } from "./files";
import type { Sequence } from "./sequences";

const POLL_MS = 1500;
/** The service sends a keep-alive every 15 s on a stream of events. */
const SILENT_MS = 40_000;
const ANSWER_MS = 10_000;
const ENDED = new Set(["done", "failed", "cancelled", "expired"]);

export function hasEnded(job: Job): boolean {
  return ENDED.has(job.state);
}

/** Files of a submission, kept in this tab to show its images without a download. */
const sentFiles = new Map<string, Map<Sequence, File>>();

export function filesOf(jobId: string): Map<Sequence, File> {
  return sentFiles.get(jobId) ?? new Map<Sequence, File>();
}

/** Zip of a submission and its chosen series, kept in this tab to send it again. */
const sentArchives = new Map<string, SentArchive>();

export interface SentArchive {
  archive: File;
  study: Submission["study"];
}

export function archiveOf(jobId: string): SentArchive | null {
  return sentArchives.get(jobId) ?? null;
}

/** Keep another image of a job, which the user selected again. */
export function addFile(jobId: string, sequence: Sequence, file: File): void {
  sentFiles.set(jobId, new Map([...filesOf(jobId), [sequence, file]]));
}

export interface Submission {
  files: CaseFile[];
  archive: File | null;
  keepImages: boolean;
  /** Also measure the change of the result without each sequence. */
  leaveOneOut?: boolean;
  /** Label convention. Default: that of the service. */
  labels?: string | undefined;
  /** Of a DICOM study: sequence -> series or "none", and the study. Of a BIDS dataset: its session and images. */
  study?: { series?: Record<string, string>; study?: string } & BidsOptions;
}

export async function submit(what: Submission, onSent: (share: number) => void, signal: AbortSignal): Promise<Job> {
  const form = new FormData();
  const chosen = new Map(what.files.flatMap((one) => (one.sequence ? [[one.sequence, one.file] as const] : [])));
  form.set("options", JSON.stringify({ probabilities: true, keep_upload: what.keepImages, labels: what.labels, ...(what.leaveOneOut && { leave_one_out: true }), ...what.study }));
  // Without an explicit name, browsers send the relative path of a file from a chosen folder.
  if (what.archive) form.set("case", what.archive, what.archive.name);
  for (const [sequence, file] of chosen) form.set(sequence, file, file.name);
  const job = await send<Job>("/v1/jobs", form, { "Idempotency-Key": randomKey() }, onSent, signal);
  sentFiles.set(job.id, chosen);
  if (what.archive) sentArchives.set(job.id, { archive: what.archive, study: what.study });
  return job;
}

/** `crypto.randomUUID` exists only over TLS or on localhost. */
function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function cancel(job: Job): Promise<void> {
  await ask(`/v1/jobs/${job.id}`, { method: "DELETE" });
}

export function look(jobId: string): Promise<Job> {
  return askJson<Job>(`/v1/jobs/${encodeURIComponent(jobId)}`, { signal: AbortSignal.timeout(ANSWER_MS) });
}

/**
 * Call `onJob` at each change until the job has ended. Uses server-sent events, or polling where those fail.
 *
 * @param onContact called with false when the service stops answering, and with true when it answers
 */
export async function follow(job: Job, onJob: (job: Job) => void, signal: AbortSignal, onContact: (answers: boolean) => void = () => undefined): Promise<void> {
  let last = job;
  const tell = (next: Job): void => {
    last = next;
    if (signal.aborted) return;
    onContact(true);
    onJob(next);
  };
  const over = (): boolean => signal.aborted || hasEnded(last);
  while (!over()) {
    try {
      if (last.links.events) await followEvents(last.links.events, tell, signal);
    } catch (error) {
      if (over() || (error instanceof ServiceProblem && error.status === 401)) throw error;
    }
    if (over()) return;
    await pause(POLL_MS, signal);
    if (over()) return;
    try {
      tell(await look(job.id));
    } catch (error) {
      // Wait for a service that restarts. Any response ends the wait.
      if (over() || !isSilence(error)) throw error;
      onContact(false);
    }
  }
}

/** Whether the error means no response, or the response of a proxy that cannot reach the service. */
function isSilence(error: unknown): boolean {
  return error instanceof ServiceProblem && [0, 502, 503, 504].includes(error.status);
}

/** Read the stream without `EventSource`, which cannot send a token. Ends when no event arrives. */
async function followEvents(path: string, tell: (job: Job) => void, signal: AbortSignal): Promise<void> {
  const silent = new AbortController();
  const stop = AbortSignal.any([signal, silent.signal]);
  let timer = setTimeout(() => silent.abort(), SILENT_MS);
  try {
    const response = await ask(path, { signal: stop, headers: { Accept: "text/event-stream" } });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    if (!reader) return;
    const events = new EventReader((name, data) => {
      if (name === "job") tell(JSON.parse(data) as Job);
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENT_MS);
      events.push(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Split the chunks of a `text/event-stream` into events. */
export class EventReader {
  private rest = "";

  constructor(private readonly onEvent: (name: string, data: string) => void) {}

  push(text: string): void {
    const blocks = (this.rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = blocks.pop() ?? "";
    for (const block of blocks) this.read(block);
  }

  private read(block: string): void {
    const lines = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line));
    const data = lines.flatMap((line) => (line?.[1] === "data" ? [line[2] ?? ""] : []));
    const name = lines.find((line) => line?.[1] === "event")?.[2] ?? "message";
    if (data.length) this.onEvent(name, data.join("\n"));
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((give) => {
    const timer = setTimeout(give, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      give();
    });
  });
}
