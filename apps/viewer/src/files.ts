/** Sort dropped or chosen files into one case. */
import { readNames, SEQUENCE_LABELS, SEQUENCES, volumeSuffix, type FileName, type Sequence } from "./sequences";

/** A file with its folders, outermost first. */
export interface PickedFile {
  file: File;
  folders: string[];
}

/** A volume of the case with its recognised sequence, or the sequences that its name could mean, or why it is left out. */
export interface CaseFile {
  file: File;
  shown: string;
  sequence: Sequence | null;
  note: string;
  candidates?: Sequence[];
}

/** Volumes to choose from, names of other files, and the problem of the case, if any. */
export interface PickedCase {
  files: CaseFile[];
  passedOver: string[];
  archive: File | null;
  problem: string | null;
}

/** DICOM exports nest patient, study and series. */
const DEEPEST = 8;

/** Sort files into a case as the command line does: a folder's own files, else those of its subfolders. */
export function sortFiles(picked: PickedFile[]): PickedCase {
  const first = picked[0];
  if (picked.length === 1 && first && first.file.name.toLowerCase().endsWith(".zip"))
    return { files: [], passedOver: [], archive: first.file, problem: null };
  const root = sharedRoot(picked);
  const volumes = picked.filter((one) => volumeSuffix(one.file.name) !== null && !one.file.name.startsWith("."));
  const near = volumes.filter((one) => one.folders.length <= root.length);
  const chosen = recognises(near, root) ? near : volumes.filter((one) => one.folders.length <= root.length + 1);
  const passedOver = picked.filter((one) => !chosen.includes(one)).map((one) => one.file.name);
  const several = near === chosen ? 0 : countCases(chosen);
  if (several > 1) {
    const problem = `This folder holds ${several} cases, but one is needed here. Drop the folder of one of them.`;
    return { files: [], passedOver, archive: null, problem };
  }
  return { files: named(chosen, root), passedOver, archive: null, problem: chosen.length || !picked.length ? null : NOTHING };
}

/** Sequences for which more than one file is chosen. */
export function doubles(files: CaseFile[]): Sequence[] {
  const chosen = files.flatMap((one) => one.sequence ?? []);
  return [...new Set(chosen.filter((sequence, place) => chosen.indexOf(sequence) !== place))];
}

/** Sequences that a file's name could mean, and for which no file is chosen. */
export function undecided(files: CaseFile[]): Sequence[] {
  const open = files.flatMap((one) => (one.sequence === null ? (one.candidates ?? []) : []));
  return SEQUENCES.filter((sequence) => open.includes(sequence) && !files.some((one) => one.sequence === sequence));
}

function sharedRoot(picked: PickedFile[]): string[] {
  const first = picked[0]?.folders ?? [];
  const end = first.findIndex((name, place) => picked.some((one) => one.folders[place] !== name));
  return end < 0 ? first : first.slice(0, end);
}

function nameOf(one: PickedFile, root: string[]): FileName {
  return { name: one.file.name, subFolder: one.folders[root.length] ?? "" };
}

function readingsOf(files: PickedFile[], root: string[]): ReturnType<typeof readNames> {
  return readNames(
    files.map((one) => nameOf(one, root)),
    root.at(-1) ?? "",
  );
}

function recognises(files: PickedFile[], root: string[]): boolean {
  return readingsOf(files, root).some((reading) => reading.sequences.length > 0);
}

function countCases(files: PickedFile[]): number {
  const folders = new Map<string, PickedFile[]>();
  for (const one of files) {
    const place = one.folders.join("/");
    folders.set(place, [...(folders.get(place) ?? []), one]);
  }
  return [...folders.values()].filter((inside) => {
    const readings = readingsOf(inside, inside[0]?.folders ?? []);
    return new Set(readings.flatMap((reading) => (reading.sequences.length === 1 && !reading.doubt ? reading.sequences : []))).size > 1;
  }).length;
}

function named(chosen: PickedFile[], root: string[]): CaseFile[] {
  const readings = readingsOf(chosen, root);
  const originals = new Map<Sequence, string>();
  readings.forEach(({ sequences: [sequence, second], doubt, copy }, place) => {
    if (sequence && !second && !doubt && !copy) originals.set(sequence, chosen[place]?.file.name ?? "");
  });
  return chosen.map((one, place) => {
    const { sequences, reason, doubt, copy } = readings[place] ?? { sequences: [], reason: null, doubt: "", copy: "" };
    const meanings = [...sequences.map((sequence) => SEQUENCE_LABELS[sequence]), ...(doubt ? [doubt] : [])];
    const unclear = `its name matches ${meanings.join(" or ")}`;
    const sequence = meanings.length === 1 ? (sequences[0] ?? null) : null;
    const original = sequence !== null && copy ? originals.get(sequence) : undefined;
    const isCopy = original === undefined ? "" : `its name marks a copy ('${copy}') of ${original}`;
    return {
      file: one.file,
      shown: [...one.folders.slice(root.length), one.file.name].join("/"),
      sequence: original === undefined ? sequence : null,
      note: reason ?? (isCopy || (meanings.length > 1 ? unclear : "")),
      candidates: reason === null && meanings.length > 1 ? sequences : [],
    };
  });
}

const NOTHING = "There is no volume among these files. Drop .nii.gz, .nii, .nrrd or .mha files, a DICOM folder, or a zip of one case.";

/** Whether any name is that of a volume. */
export function holdVolumes(picked: PickedFile[]): boolean {
  return picked.some((one) => volumeSuffix(one.file.name) !== null);
}

/** The dropped or chosen folder, which the user recognises. Empty for single files. */
export function folderName(picked: PickedFile[]): string {
  return sharedRoot(picked)[0] ?? "";
}

/** The dropped files, including those in folders. */
export async function droppedFiles(transfer: DataTransfer): Promise<PickedFile[]> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, folders: [] }));
  return (await Promise.all(entries.map((entry) => filesBelow(entry, [])))).flat();
}

/** The files of a file or folder input. */
export function chosenFiles(list: FileList): PickedFile[] {
  return [...list].map((file) => ({ file, folders: file.webkitRelativePath.split("/").slice(0, -1) }));
}

async function filesBelow(entry: FileSystemEntry, folders: string[]): Promise<PickedFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((give, fail) => (entry as FileSystemFileEntry).file(give, fail));
    return [{ file, folders }];
  }
  if (folders.length > DEEPEST) return [];
  const children = await entriesOf((entry as FileSystemDirectoryEntry).createReader());
  return (await Promise.all(children.map((child) => filesBelow(child, [...folders, entry.name])))).flat();
}

/** All entries of a folder. Browsers return at most a hundred at a time. */
async function entriesOf(reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  const entries: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((give, fail) => reader.readEntries(give, fail));
    if (!some.length) return entries;
    entries.push(...some);
  }
}
