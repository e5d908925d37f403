/**
 * Recognise sequences by file name, with the rules of the library's `domain/name_rules.py` and the same vocabulary.
 * `tests/names` tests both implementations.
 */
import vocabulary from "../../../brats_mm/domain/sequence_words.json";

export const SEQUENCES = ["t1", "t1ce", "t2", "flair"] as const;
export type Sequence = (typeof SEQUENCES)[number];
export const SEQUENCE_LABELS: Record<Sequence, string> = { t1: "T1", t1ce: "T1ce", t2: "T2", flair: "FLAIR" };

/** A file's name and that of its subfolder, if any. */
export interface FileName {
  name: string;
  subFolder: string;
}

/** Meaning of a name: one sequence if it is clear, several if it is ambiguous, or the reason why there is none. */
export interface Reading {
  sequences: Sequence[];
  reason: string | null;
  /** What the name may mean other than a sequence, such as `a real part`. */
  doubt: string;
  /** The word that marks a worse copy, such as `annotated`. */
  copy: string;
}

interface Word {
  text: string;
  sign: "" | "+" | "-";
  dashed: boolean;
}

interface NameReading {
  sequences: Sequence[];
  contrast: boolean | null;
  isWeak: boolean;
  label: string;
  kind: string;
  kindWord: string;
  doubt: string;
  copy: string;
}

const listed = (words: string): string[] => words.split(" ");
const setOf = (words: string): Set<string> => new Set(listed(words));

const WEIGHTING = new Map(
  SEQUENCES.flatMap((name) => listed(vocabulary.weighting[name]).map((word): [string, Sequence] => [word, name])),
);
const CHANNELS = new Map(listed(vocabulary.decathlon).map((name, number) => [`000${number}`, name as Sequence]));
const LABELS = setOf(vocabulary.labels);
const CONTRAST = setOf(vocabulary.contrast);
const NATIVE = setOf(vocabulary.native);
const AFTER = setOf(vocabulary.after);
const BEFORE = setOf(vocabulary.before);
const NEGATION = setOf(vocabulary.negation);
const TIME_WORDS = setOf(vocabulary.time_words);
const NOT_A_TIME = setOf(vocabulary.not_a_time);
const TIME_UNITS = setOf(vocabulary.time_units);
const TIME_PREFIXES = new Set([...AFTER, ...BEFORE, ...listed(vocabulary.time_before)]);
const SIGN_WORDS = setOf(vocabulary.sign_words);
const PLUS_WORDS = new Set([...SIGN_WORDS, ...listed(vocabulary.plus_words)]);
const CONNECTORS = setOf(vocabulary.connectors);
const COPIES = setOf(vocabulary.copies);
const MPR_OF = setOf(vocabulary.mpr_of);
const ALONE = new Map(Object.entries(vocabulary.alone) as [string, Sequence][]);
const HARMLESS = new Map(Object.entries(vocabulary.harmless_beside).map(([word, others]) => [word, listed(others)]));
const REWRITES = vocabulary.rewrites.map(([pattern = "", text = ""]): [RegExp, string] => [new RegExp(pattern, "g"), text]);
interface Kind {
  name: string;
  words: Set<string>;
  patterns: RegExp[];
  asPrefix: boolean;
}

const kindOf = (one: { name: string; words: string; patterns: string[]; as_prefix?: boolean }): Kind => ({
  name: one.name,
  words: setOf(one.words),
  patterns: one.patterns.map((pattern) => new RegExp(pattern)),
  asPrefix: one.as_prefix ?? false,
});
const KINDS = vocabulary.kinds.map(kindOf);
const DOUBTS = vocabulary.doubts.map(kindOf);
const PREFIX_KINDS = new Set(KINDS.filter((kind) => kind.asPrefix).map((kind) => kind.name));
const PIECES = new Set([
  ...WEIGHTING.keys(), ...CONTRAST, ...NATIVE, ...AFTER, ...BEFORE, ...TIME_WORDS, ...listed(vocabulary.neutral), ...ALONE.keys(),
]);
const KNOWN = new Set([
  ...PIECES, ...LABELS, ...NEGATION, ...COPIES, ...listed(vocabulary.fat_saturated), ...[...KINDS, ...DOUBTS].flatMap((kind) => [...kind.words]),
  ...listed(vocabulary.time_before),
]);
const BIDS_MARKER = new RegExp(`(?:^|_)(?:${listed(vocabulary.bids.marker).join("|")})-[a-z0-9]+(?:_|$)`);
const BIDS_DROPPED = setOf(vocabulary.bids.dropped);
const BIDS_CONTRAST = setOf(vocabulary.bids.contrast);
const BIDS_NO_CONTRAST = setOf(vocabulary.bids.no_contrast);
const BIDS_KEPT = new Set(["acq", "rec", "desc"]);
const OPENS = new Set(["", " ", "_", ".", "(", "[", "{", ","]);
const CLOSES = new Set(["", " ", "_", ".", ")", "]", "}", ","]);

/** The suffix of a volume file, or null. */
export function volumeSuffix(name: string): string | null {
  return listed(vocabulary.suffixes).find((suffix) => name.toLowerCase().endsWith(suffix)) ?? null;
}

/** The sequences in a name. One if the name is clear. */
export function sequencesIn(stem: string): Set<Sequence> {
  return new Set(readName(stem).sequences);
}

/** Read a single name, as the library does. */
export function readName(stem: string): NameReading {
  return read(withoutIdentifier(wordsOf(withoutEntities(stem))));
}

/** Read the names of one case's volumes together. Their common prefix is the case's name and does not count. */
export function readNames(names: FileName[], folder: string): Reading[] {
  const stems = names.map((one) => wordsOf(withoutEntities(stemOf(one.name))));
  const { tails, shared } = tailsOf(stems, wordsOf(folder));
  const numbers = channelNumbers(stems, tails);
  const readings = names.map((one, place) => firstReading(tails[place] ?? [], stems[place] ?? [], wordsOf(one.subFolder)));
  return compared(readings, readShared(startsWithIdentifier(shared) ? [] : shared)).map((one, place) => {
    const channel = CHANNELS.get(numbers[place] ?? "");
    const reason = notASequence(one);
    if (reason !== null) return { sequences: [], reason, doubt: "", copy: "" };
    if (channel !== undefined) return { sequences: [channel], reason: null, doubt: "", copy: one.copy };
    if (!one.sequences.length) return { sequences: [], reason: "its name contains no sequence", doubt: "", copy: one.copy };
    return { sequences: one.sequences, reason: null, doubt: one.doubt, copy: one.copy };
  });
}

/** Read a common prefix. A prefix with a number identifies a case, so it names no kind of image. */
function readShared(words: Word[]): NameReading {
  const reading = read(words);
  return words.some((word) => /^[0-9]+$/.test(word.text)) ? { ...reading, kind: "" } : reading;
}

function stemOf(name: string): string {
  return name.slice(0, name.length - (volumeSuffix(name)?.length ?? 0));
}

function notASequence(one: NameReading): string | null {
  if (one.label) return "its name marks a label map";
  if (one.kind) return `its name marks another kind of image or a result (${one.kind}: '${one.kindWord}')`;
  return null;
}

/** Lower case, without accents. */
function plain(text: string): string {
  return text.toLowerCase().replaceAll("ß", "ss").normalize("NFKD").replace(/\p{M}/gu, "").replaceAll("ı", "i").normalize("NFC");
}

function wordsOf(text: string): Word[] {
  const folded = REWRITES.reduce((current, [pattern, instead]) => current.replace(pattern, instead), plain(text));
  return [...folded.matchAll(/[a-z0-9]+/g)].map((match) => wordAt(folded, match.index, match.index + match[0].length));
}

function wordAt(text: string, start: number, end: number): Word {
  const word = text.slice(start, end);
  const before = text.slice(0, start);
  const after = text.slice(end);
  const next = after.slice(1, 2);
  const dashed = before.endsWith("-");
  let sign: Word["sign"] = "";
  const plusBefore = SIGN_WORDS.has(word) && before.replace(/ +$/, "").endsWith("+");
  const plusAfter = PLUS_WORDS.has(word) && after.startsWith("+") && !/^[\p{L}\p{N}]/u.test(next);
  if (plusBefore || plusAfter) sign = "+";
  else if (SIGN_WORDS.has(word)) {
    const minusBefore = dashed && OPENS.has(before.slice(-2, -1));
    const minusAfter = after.startsWith("-") && CLOSES.has(next);
    if (minusBefore || minusAfter) sign = "-";
  }
  return { text: word, sign, dashed };
}

/** Remove the entities of a BIDS name. Other names are unchanged. */
function withoutEntities(stem: string): string {
  const folded = stem.toLowerCase();
  if (!BIDS_MARKER.test(folded)) return stem;
  const kept: string[] = [];
  for (const part of folded.split("_")) {
    const dash = part.indexOf("-");
    const key = dash < 0 ? "" : part.slice(0, dash);
    const value = part.slice(dash + 1);
    if (BIDS_CONTRAST.has(key)) kept.push(BIDS_NO_CONTRAST.has(value) ? "native" : "contrast");
    else if (!BIDS_DROPPED.has(key)) kept.push(BIDS_KEPT.has(key) ? value : part);
  }
  return kept.join("_");
}

/** Remove a first word that is part of an identifier, as in `GD_001_t1`. */
function withoutIdentifier(words: Word[]): Word[] {
  return words.length > 2 && startsWithIdentifier(words) ? words.slice(2) : words;
}

function startsWithIdentifier([first, second]: Word[]): boolean {
  return /^[0-9]+$/.test(second?.text ?? "") && (CONTRAST.has(first?.text ?? "") || first?.text === "sub");
}

/** Whether a name connects two T1, as in `t1ce_to_t1`. */
function joinsTwoT1(texts: string[]): boolean {
  const isT1 = (text: string): boolean => ["t1", "t1ce"].includes(WEIGHTING.get(text) ?? "");
  return texts.slice(Math.max(texts.findIndex(isT1), 0), texts.findLastIndex(isT1) + 1).some((text) => CONNECTORS.has(text));
}

function firstReading(tail: Word[], stem: Word[], sub: Word[]): NameReading {
  const first = read(tail.length === stem.length ? withoutIdentifier(tail) : tail);
  for (const words of [tail, stem, sub]) {
    const reading = read(withoutIdentifier(words));
    if (reading.sequences.length) {
      const { label, kind, kindWord, doubt, copy } = first;
      return { ...reading, label, kind, kindWord, doubt, copy };
    }
  }
  return first;
}

/** `T1_post` with `FLAIR_post` may be a time point. `gd_T1` with `gd_FLAIR` may be after contrast. */
function compared(readings: NameReading[], shared: NameReading): NameReading[] {
  const is = (one: NameReading, name: Sequence): boolean => one.sequences.length === 1 && one.sequences[0] === name;
  const named = (name: Sequence): boolean => readings.some((one) => is(one, name));
  const othersPost = readings.some((one) => one.contrast === true && one.isWeak && (is(one, "t2") || is(one, "flair")));
  const vaguePost = othersPost && !named("t1");
  const vagueNative = shared.contrast === true && !named("t1ce");
  const marked = PREFIX_KINDS.has(shared.kind) ? shared.kind : "";
  return readings.map((plainOne) => {
    const one = { ...plainOne, doubt: plainOne.doubt || marked };
    const isVague = (is(one, "t1ce") && one.isWeak && vaguePost) || (is(one, "t1") && one.contrast === null && vagueNative);
    return isVague ? { ...one, sequences: ["t1", "t1ce"] } : one;
  });
}

function read(words: Word[]): NameReading {
  const whole = expanded(words);
  const timeless = withoutTimePoints(whole);
  const texts = timeless.map((word) => word.text);
  const named = weighting(texts);
  const contrast = contrastIn(timeless);
  const isVague = contrast.after.length > 0 && (contrast.before.length > 0 || (contrast.isWeak && contrast.isTimePoint));
  const isSaid = contrast.after.length > 0 || contrast.before.length > 0;
  if (named.has("t1") && contrast.after.length) {
    named.add("t1ce");
    if (!isVague && !joinsTwoT1(texts)) named.delete("t1");
  }
  const kind = kindIn(texts);
  return {
    sequences: SEQUENCES.filter((name) => named.has(name)),
    contrast: isVague || !isSaid ? null : contrast.after.length > 0,
    isWeak: contrast.isWeak,
    label: whole.find((word) => LABELS.has(word.text))?.text ?? "",
    ...kind,
    doubt: kind.kind ? "" : (DOUBTS.find((one) => wordOf(one, texts))?.name ?? ""),
    copy: copyIn(texts),
  };
}

function expanded(words: Word[]): Word[] {
  return words.flatMap((word) => {
    const pieces = KNOWN.has(word.text) ? [] : piecesOf(word.text);
    if (!pieces.some((piece) => WEIGHTING.has(piece))) return [word];
    return pieces.map((text, place): Word => ({ text, sign: place === pieces.length - 1 ? word.sign : "", dashed: false }));
  });
}

/** Split a text into known words, longest first. */
function piecesOf(text: string): string[] {
  for (let length = text.length; length > 1; length--) {
    if (!PIECES.has(text.slice(0, length))) continue;
    const rest = piecesOf(text.slice(length));
    if (rest.length || length === text.length) return [text.slice(0, length), ...rest];
  }
  return [];
}

function withoutTimePoints(words: Word[]): Word[] {
  const kept: Word[] = [];
  let place = 0;
  for (let word = words[place]; word !== undefined; word = words[place]) {
    const length = timePoint(word.text, words.slice(place + 1, place + 3).map((one) => one.text));
    if (length === 0) kept.push(word);
    place += Math.max(length, 1);
  }
  return kept;
}

/** Whether a word such as `post` may mean a time point: an unknown word follows, or a span such as `6mo` precedes. */
function mayBeTimePoint(words: Word[], place: number): boolean {
  const following = words[place + 1]?.text ?? "";
  const isUnknown = /^[a-z]{3,}$/.test(following) && !KNOWN.has(following) && !NOT_A_TIME.has(following);
  const unit = /^[0-9]+([a-z]+)$/.exec(words[place - 1]?.text ?? "")?.[1];
  return isUnknown || (unit !== undefined && unit !== "d" && TIME_UNITS.has(unit));
}

/** Number of words of a time point that starts here. 0 if none starts. */
function timePoint(text: string, [first, second]: string[]): number {
  if ([...TIME_PREFIXES].some((prefix) => text.startsWith(prefix) && TIME_WORDS.has(text.slice(prefix.length)))) return 1;
  if (!TIME_PREFIXES.has(text) || first === undefined) return 0;
  if (TIME_WORDS.has(first)) return 2;
  const digits = /^[0-9]+/.exec(first);
  if (digits === null) return 0;
  const unit = first.slice(digits[0].length);
  if (TIME_UNITS.has(unit)) return 2;
  return !unit && second !== undefined && TIME_UNITS.has(second) ? 3 : 0;
}

function weighting(texts: string[]): Set<Sequence> {
  const sequences = new Set<Sequence>();
  for (const text of texts) {
    const name = WEIGHTING.get(text);
    if (name !== undefined) sequences.add(name === "t1ce" ? "t1" : name);
  }
  const joined = ` ${texts.join(" ")} `;
  if (vocabulary.phrases.flair.some((phrase) => joined.includes(` ${phrase} `))) sequences.add("flair");
  if (sequences.has("flair")) sequences.delete("t2");
  for (const text of texts) {
    const name = ALONE.get(text);
    if (name !== undefined && (!sequences.size || (name === "flair" && sequences.size === 1 && sequences.has("t2")))) sequences.add(name);
  }
  return sequences;
}

function contrastIn(words: Word[]): { after: string[]; before: string[]; isWeak: boolean; isTimePoint: boolean } {
  const after: string[] = [];
  const before: string[] = [];
  let isWeak = true;
  let isTimePoint = false;
  for (let place = 0; place < words.length; place++) {
    const { text, sign, dashed } = words[place] ?? { text: "", sign: "", dashed: false };
    if (sign) {
      (sign === "+" ? after : before).push(text);
      isWeak = false;
    } else if (NEGATION.has(text) || BEFORE.has(text)) {
      const target = negated(words, place);
      if (target || BEFORE.has(text) || place === words.length - 1) before.push(text);
      place = target || place;
    } else if (NATIVE.has(text)) before.push(text);
    else if (CONTRAST.has(text) || WEIGHTING.get(text) === "t1ce") {
      after.push(text);
      isWeak = false;
    } else if (AFTER.has(text)) {
      after.push(text);
      isTimePoint ||= mayBeTimePoint(words, place);
    } else if (text === "c") {
      const beside = WEIGHTING.get(words[place - 1]?.text ?? "") === "t1";
      after.push(text);
      if (!beside || dashed) before.push(text);
    }
  }
  return { after, before, isWeak: isWeak && after.length > 0 && !after.includes("c"), isTimePoint };
}

/** Index of the last word for contrast that a negation covers. 0 if there is none. */
function negated(words: Word[], start: number): number {
  let last = 0;
  for (let place = start + 1; place < Math.min(start + 1 + vocabulary.negation_reach, words.length); place++) {
    const text = words[place]?.text ?? "";
    if (AFTER.has(text)) break;
    if (CONTRAST.has(text) || text === "c") last = place;
  }
  return last;
}

/** The words that name a kind of image, or an empty string. */
function wordOf(kind: Kind, texts: string[]): string {
  const joined = ` ${texts.join(" ")} `;
  const whole = texts.find((text) => kind.words.has(text));
  return whole ?? kind.patterns.map((pattern) => pattern.exec(joined)?.[0].trim()).find((match) => match) ?? "";
}

function kindIn(texts: string[]): { kind: string; kindWord: string } {
  for (const kind of KINDS) {
    const word = wordOf(kind, texts);
    if (word && !(HARMLESS.get(word) ?? []).some((other) => texts.includes(other))) return { kind: kind.name, kindWord: word };
  }
  return { kind: "", kindWord: "" };
}

function copyIn(texts: string[]): string {
  const word = texts.find((text) => COPIES.has(text));
  if (word !== undefined) return word;
  const isReformat = texts.filter((text) => text === "mpr").length > 1 || texts.some((text) => MPR_OF.has(text));
  return texts.includes("mpr") && isReformat ? "mpr" : "";
}

function tailsOf(names: Word[][], folder: Word[]): { tails: Word[][]; shared: Word[] } {
  const tails = names.map((words) => {
    const inFolder = folder.length > 0 && folder.every((one, place) => words[place]?.text === one.text);
    const tail = inFolder ? words.slice(folder.length) : words;
    return tail.length ? tail : words;
  });
  if (tails.length < 2) return { tails, shared: [] };
  const length = commonPrefix(tails.map((tail) => tail.map((word) => word.text)));
  return { tails: tails.map((tail) => tail.slice(length)), shared: (tails[0] ?? []).slice(0, length) };
}

function commonPrefix(names: string[][]): number {
  const first = names[0] ?? [];
  const differs = first.findIndex((text, place) => names.some((name) => name[place] !== text));
  return differs < 0 ? Math.min(first.length, ...names.map((name) => name.length)) : differs;
}

/** Channel number of each file named `_0000` to `_0003`, if no name contains a sequence. */
function channelNumbers(stems: Word[][], tails: Word[][]): (string | null)[] {
  const numbers = stems.map((words) => words.at(-1)?.text ?? "").map((last) => (CHANNELS.has(last) ? last : null));
  const numbered = stems.filter((_, place) => numbers[place] !== null);
  const inWords = numbered.some((words) => read(words).sequences.length > 0);
  const onlyNumbers =
    numbered.length === stems.length && stems.length === CHANNELS.size && tails.every((tail) => tail.length <= 1);
  return !inWords || onlyNumbers ? numbers : numbers.map(() => null);
}
