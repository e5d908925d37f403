/** Which file is which sequence, by name: the rules of the library's `domain/sequence_names.py`, before anything is sent. */
import words from "./sequence_words.json";

export const SEQUENCES = ["t1", "t1ce", "t2", "flair"] as const;
export type Sequence = (typeof SEQUENCES)[number];
export const SEQUENCE_LABELS: Record<Sequence, string> = { t1: "T1", t1ce: "T1ce", t2: "T2", flair: "FLAIR" };

/** A file's name, and the name of the sub-folder that it lies in, if any. */
export interface FileName {
  name: string;
  subFolder: string;
}

/** What a name says: one sequence where it is clear, several where it is not, and why it is none. */
export interface Reading {
  sequences: Sequence[];
  reason: string | null;
}

const LABELS = new Set(words.labels);
const OTHERS = new Set(words.other_images);
const CONTRAST = new Set(words.contrast);
const NATIVE = new Set(words.native);
const ALIASES = new Map<string, Sequence>(
  SEQUENCES.flatMap((sequence) => words.aliases[sequence].map((word): [string, Sequence] => [word, sequence])),
);
const CHANNELS = new Map(words.channels.map((sequence, number) => [`000${number}`, sequence as Sequence]));

/** Lower-case alphanumeric runs of a name. */
export function tokensOf(name: string): string[] {
  return name.toLowerCase().match(/[a-z0-9]+/g) ?? [];
}

/** The suffix of a volume file, or null for any other file. */
export function volumeSuffix(name: string): string | null {
  return words.suffixes.find((suffix) => name.toLowerCase().endsWith(suffix)) ?? null;
}

function stemOf(name: string): string {
  return name.slice(0, name.length - (volumeSuffix(name)?.length ?? 0));
}

/** The sequences that a name speaks of: one where it is clear. */
export function sequencesIn(stem: string): Set<Sequence> {
  const tokens = tokensOf(stem);
  const named = new Set(tokens.flatMap((token) => ALIASES.get(token) ?? []));
  if (named.has("flair")) named.delete("t2");
  const plusC = tokens.some((token, place) => token === "t1" && tokens[place + 1] === "c");
  const contrast = plusC || tokens.some((token) => CONTRAST.has(token));
  if (named.has("t1") && contrast && !tokens.some((token) => NATIVE.has(token))) {
    named.delete("t1");
    named.add("t1ce");
  }
  return named;
}

/** Read the names of one case's volumes together; what all of them begin with is the case's name and does not count. */
export function readNames(names: FileName[], folder: string): Reading[] {
  const stems = names.map((one) => stemOf(one.name));
  const tails = tailsOf(stems.map(tokensOf), tokensOf(folder));
  const numbers = channelNumbers(stems, tails);
  return names.map((one, place) => {
    const tail = tails[place] ?? [];
    const channel = CHANNELS.get(numbers[place] ?? "");
    const reason = notASequence(tail);
    if (reason !== null) return { sequences: [], reason };
    if (channel !== undefined) return { sequences: [channel], reason: null };
    const sequences = firstNamed([tail.join(" "), stems[place] ?? "", one.subFolder]);
    return { sequences, reason: sequences.length ? null : "its name does not say a sequence" };
  });
}

function firstNamed(places: string[]): Sequence[] {
  for (const words of places) {
    const found = sequencesIn(words);
    if (found.size) return SEQUENCES.filter((sequence) => found.has(sequence));
  }
  return [];
}

function notASequence(tail: string[]): string | null {
  if (tail.some((token) => LABELS.has(token))) return "its name says that it holds labels";
  if (tail.some((token) => OTHERS.has(token))) return "its name says that it is another kind of image or a result";
  return null;
}

function tailsOf(names: string[][], folder: string[]): string[][] {
  const tails = names.map((tokens) => {
    const inFolder = folder.every((token, place) => tokens[place] === token);
    const tail = inFolder ? tokens.slice(folder.length) : tokens;
    return tail.length ? tail : tokens;
  });
  if (tails.length < 2) return tails;
  const shared = commonPrefix(tails);
  return tails.map((tail) => tail.slice(shared));
}

function commonPrefix(names: string[][]): number {
  const first = names[0] ?? [];
  const differs = first.findIndex((token, place) => names.some((name) => name[place] !== token));
  return differs < 0 ? Math.min(first.length, ...names.map((name) => name.length)) : differs;
}

/** The channel number of each file named `_0000` to `_0003`, where their names say no sequence in words. */
function channelNumbers(stems: string[], tails: string[][]): (string | null)[] {
  const numbers = stems.map((stem) => tokensOf(stem).at(-1) ?? "").map((last) => (CHANNELS.has(last) ? last : null));
  const numbered = stems.filter((_, place) => numbers[place] !== null);
  const inWords = numbered.some((stem) => sequencesIn(stem).size > 0);
  const onlyNumbers =
    numbered.length === stems.length && stems.length === CHANNELS.size && tails.every((tail) => tail.length <= 1);
  return !inWords || onlyNumbers ? numbers : numbers.map(() => null);
}
