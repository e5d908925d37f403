/** Requests to the service, with a token where it needs one, and its problems as errors to show. */
import type { Region } from "./difference";

/** Problem details of the service (RFC 9457), written for users. */
export class ServiceProblem extends Error {
  constructor(
    readonly status: number,
    readonly heading: string,
    sentence: string,
  ) {
    super(sentence);
  }
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled" | "expired";

export interface ResultFile {
  name: string;
  size: number;
  href: string;
}

export interface Job {
  id: string;
  /** `segmentation` or `training`. Absent in responses of older services. */
  kind?: string;
  state: JobState;
  sequences_found: string[];
  sequences_missing: string[];
  /** Name of the uploaded file for each sequence. */
  files: Record<string, string>;
  ignored: Record<string, string>;
  options: { labels: string; series?: Record<string, string>; study?: string | null };
  notes: string[];
  /** `fraction` covers all stages, 0 to 1. It is null for a training job. */
  progress: { stage: string; step: string; fraction: number | null; windows_done: number; windows_total: number };
  queue_position: number | null;
  created: string;
  expires: string | null;
  error: { title: string; detail: string } | null;
  results: ResultFile[];
  links: Record<string, string>;
  disclaimer: string;
}

/** Fields of `report.json` that the page shows. Fields that older services do not write are optional. */
export interface Report {
  regions: Record<string, RegionReport>;
  labels: Record<string, number>;
  entropy_range_nats: { region: number; combined: number };
  model: { name: string; version: string };
  run: { device: string; seconds: Record<string, number> };
  warnings: string[];
  preparation?: Preparation | null;
  uncertain_regions?: UncertainRegion[];
  expected_performance?: Expectation | null;
  trust?: Trust;
}

/** How the scans were made ready for the model. */
export interface Preparation {
  kind: string;
  /** Raw scans only: the sequence that defines the grid of the results. */
  reference?: string;
  steps?: { name: string }[];
}

/** Coverage of expected Dice and intervals, and the expected gain of each absent sequence. */
export interface Trust {
  calibrated: boolean;
  nominal_coverage: number | null;
  statement: string;
  advice: string | null;
}

/** Mean Dice by region on other cases with the same sequences, and with all four. */
export interface Expectation {
  meaning: string;
  /** Available sequences, such as "t1ce+flair". */
  sequences?: string;
  cases: number;
  dice: Record<string, { mean: number }>;
  dice_of_all_four: Record<string, { mean: number }> | null;
}

export interface RegionReport {
  name: string;
  volume_ml: number;
  volume_range_ml?: [number, number] | null;
  volume_interval_ml?: [number, number] | null;
  expected_dice?: number | null;
  expected_dice_interval?: [number, number] | null;
  reliability?: "reliable" | "review" | "unreliable" | null;
  reliability_advice?: string | null;
  mean_entropy_inside_nats: number | null;
}

export interface UncertainRegion {
  rank: number;
  region: Region;
  position_mm_ras: [number, number, number];
  volume_ml: number;
  mean_entropy_nats: number;
  peak_entropy_nats: number;
}

export interface Importance {
  meaning: string;
  weights: Record<string, Record<string, number>>;
  leave_one_out?: LeaveOneOut;
}

/** How each region changes when a sequence is left out, by sequence and region. */
export interface LeaveOneOut {
  meaning: string;
  changes: Record<string, Record<string, { volume_change_ml: number; dice: number }>>;
}

/** Names and colours, from the library. */
export interface Models {
  segments: Record<string, { name: string; colour: [number, number, number] }>;
}

const TOKEN = "brats-mm-token";
const UNREACHABLE = "The service does not respond. Check that it is running, and try again.";

/** The token of this tab. Closing the tab deletes it. */
export const token = {
  get: (): string | null => sessionStorage.getItem(TOKEN),
  set: (text: string): void => sessionStorage.setItem(TOKEN, text),
  forget: (): void => sessionStorage.removeItem(TOKEN),
};

/** Headers that identify the caller. */
export function identity(): Record<string, string> {
  const text = token.get();
  return text === null ? {} : { Authorization: `Bearer ${text}` };
}

/** Send a request. Throws a `ServiceProblem` unless it succeeds. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers: { ...identity(), ...(init.headers as Record<string, string>) } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServiceProblem(0, "No answer", UNREACHABLE);
  }
  if (!response.ok) throw problemOf(response.status, await response.text());
  return response;
}

export async function askJson<Body>(path: string, init?: RequestInit): Promise<Body> {
  return (await (await ask(path, init)).json()) as Body;
}

export async function askBytes(path: string): Promise<ArrayBuffer> {
  return (await ask(path)).arrayBuffer();
}

/** Create a problem from the body of any error response. */
export function problemOf(status: number, body: string): ServiceProblem {
  try {
    const { title, detail } = JSON.parse(body) as { title?: unknown; detail?: unknown };
    if (typeof detail === "string") return new ServiceProblem(status, typeof title === "string" ? title : "Refused", detail);
  } catch {
    // not JSON: the response comes from a proxy
  }
  return new ServiceProblem(status, "Refused", `The service responded with status ${status}. Try again, or contact the operator of the service.`);
}

/** Send a form and report the sent share, 0 to 1, to `onSent`. */
export function send<Body>(path: string, form: FormData, headers: Record<string, string>, onSent: (share: number) => void, signal: AbortSignal, method: "POST" | "PUT" = "POST"): Promise<Body> {
  return new Promise((give, fail) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    for (const [name, value] of Object.entries({ ...identity(), ...headers })) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onSent(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) give(JSON.parse(request.responseText) as Body);
      else fail(problemOf(request.status, request.responseText));
    };
    request.onerror = () => fail(new ServiceProblem(0, "No answer", UNREACHABLE));
    request.onabort = () => fail(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
