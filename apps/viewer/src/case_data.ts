/** One finished job: its report, its results, and the images to show them on. */
import { NVImage } from "@niivue/niivue";
import { askBytes, askJson, type Importance, type Job, type Models, type Report } from "./api";
import { archiveOf, filesOf, type SentArchive } from "./jobs";
import { SEQUENCES, type Sequence } from "./sequences";
import { readVolume, type Label } from "./viewer";

/** Sequences in the order of how well they show the tumour, best first. */
const BACKGROUNDS: Sequence[] = ["t1ce", "flair", "t2", "t1"];

interface Kept {
  name: string;
  sequence: string;
  href: string;
}

export class CaseData {
  private readonly content = new Map<string, Promise<ArrayBuffer>>();

  private constructor(
    readonly job: Job,
    readonly report: Report,
    readonly importance: Importance,
    readonly labels: Label[],
    private readonly kept: Kept[],
  ) {}

  static async load(job: Job): Promise<CaseData> {
    const [report, importance, models, kept] = await Promise.all([
      askJson<Report>(resultPath(job, "report.json")),
      askJson<Importance>(resultPath(job, "importance.json")),
      askJson<Models>("/v1/models"),
      job.links.inputs ? askJson<Kept[]>(job.links.inputs) : Promise.resolve([]),
    ]);
    const labels = Object.entries(models.segments).map(([part, style]) => ({ ...style, part, value: report.labels[part] ?? -1 }));
    return new CaseData(job, report, importance, labels, kept);
  }

  /** Sequences that can be shown, best for a tumour first. */
  sequences(): Sequence[] {
    const available = new Set([...filesOf(this.job.id).keys(), ...this.kept.map((one) => one.sequence)]);
    return BACKGROUNDS.filter((sequence) => SEQUENCES.includes(sequence) && (available.has(sequence) || this.isRegistered(sequence) || this.has(volumeName(sequence))));
  }

  /** Whether the service resampled the sequence to the grid of the results. */
  isRegistered(sequence: Sequence): boolean {
    return this.has(registeredName(sequence));
  }

  /** The image of a sequence on the grid of the results if it exists, else as sent. */
  async image(sequence: Sequence): Promise<NVImage> {
    if (this.isRegistered(sequence)) return this.result(registeredName(sequence));
    if (this.has(volumeName(sequence))) return this.result(volumeName(sequence));
    const { name, content } = await this.sent(sequence);
    return readVolume(content, name);
  }

  /** A sequence as sent, from this tab or from the service. */
  async sent(sequence: Sequence): Promise<{ name: string; content: ArrayBuffer }> {
    const file = filesOf(this.job.id).get(sequence);
    if (file) return { name: file.name, content: await file.arrayBuffer() };
    const kept = this.kept.find((one) => one.sequence === sequence);
    if (!kept) throw new Error("The service did not keep this image.");
    return { name: kept.name, content: await this.fetched(kept.href) };
  }

  /** Whether every sequence of the job can be sent again. */
  canBeSentAgain(): boolean {
    const files = filesOf(this.job.id);
    if (archiveOf(this.job.id) || this.job.links.study) return true;
    return this.job.sequences_found.every((name) => files.has(name as Sequence) || this.kept.some((one) => one.sequence === name));
  }

  /** The zip of the case from this tab, or the DICOM study that the service kept. Null for single files. */
  async archive(): Promise<SentArchive | null> {
    const sent = archiveOf(this.job.id);
    const kept = this.job.links.study;
    if (sent || !kept) return sent;
    const { series = {}, study } = this.job.options;
    const archive = new File([await this.fetched(kept)], "study.zip", { type: "application/zip" });
    return { archive, study: { series, ...(study && { study }) } };
  }

  has(name: string): boolean {
    return this.job.results.some((file) => file.name === name);
  }

  /** A separate volume of a result, so that two viewers can show it differently. */
  async result(name: string): Promise<NVImage> {
    return readVolume(await this.fetched(resultPath(this.job, name)), name);
  }

  private fetched(path: string): Promise<ArrayBuffer> {
    const content = this.content.get(path) ?? askBytes(path);
    this.content.set(path, content);
    content.catch(() => this.content.delete(path));
    return content;
  }
}

function registeredName(sequence: Sequence): string {
  return `registered_${sequence}.nii.gz`;
}

/** A DICOM series as a volume, because the page cannot draw DICOM files. */
function volumeName(sequence: Sequence): string {
  return `image_${sequence}.nii.gz`;
}

function resultPath(job: Job, name: string): string {
  return `${job.links.results ?? ""}/${encodeURIComponent(name)}`;
}
