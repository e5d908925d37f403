/** Recognise a dropped DICOM folder by its content and zip it, because the service takes a study as one file. */
import { Zip, ZipPassThrough } from "fflate";
import type { PickedFile } from "./files";

const MAGIC_AT = 128;
const MAGIC = "DICM";
/** Number of files to check before a folder counts as not DICOM. */
const MOST_LOOKED_AT = 40;

/** Whether a file starts with the DICOM Part 10 preamble. */
export async function isDicom(file: File): Promise<boolean> {
  if (file.size < MAGIC_AT + MAGIC.length) return false;
  return (await file.slice(MAGIC_AT, MAGIC_AT + MAGIC.length).text()) === MAGIC;
}

/** Whether any file is DICOM. Scanners often write names without a suffix. */
export async function holdsDicom(picked: PickedFile[]): Promise<boolean> {
  for (const { file } of picked.slice(0, MOST_LOOKED_AT)) if (await isDicom(file)) return true;
  return false;
}

/**
 * Pack the files into one zip with their folders. DICOM is not compressed, which would take minutes and save little.
 *
 * @param onPacked called with the share of the files that are packed, 0 to 1
 */
export async function zipped(picked: PickedFile[], name: string, onPacked: (share: number) => void, signal: AbortSignal): Promise<File> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    parts.push(new Uint8Array(chunk));
  });
  for (const [at, { file, folders }] of picked.entries()) {
    signal.throwIfAborted();
    const entry = new ZipPassThrough([...folders, file.name].join("/"));
    zip.add(entry);
    entry.push(new Uint8Array(await file.arrayBuffer()), true);
    onPacked((at + 1) / picked.length);
  }
  zip.end();
  return new File(parts, name, { type: "application/zip" });
}
