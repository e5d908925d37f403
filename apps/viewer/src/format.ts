/** Format numbers for people. */

/** Format millilitres with one decimal, halves rounded up: 0.35 becomes 0.4 in spite of its binary fraction. */
export function inMl(value: number): string {
  return (Math.floor(Number((value * 10).toFixed(6)) + 0.5) / 10).toFixed(1);
}

/** Format millilitres with their unit. */
export function millilitres(value: number): string {
  return `${inMl(value)} mL`;
}

/** Format a change in millilitres with its sign. */
export function signedMl(change: number): string {
  const size = inMl(Math.abs(change));
  return Number(size) === 0 ? size : `${change < 0 ? "−" : "+"}${size}`;
}

/** A share as a whole percentage, halves rounded up as in the other outputs: 0.285 becomes 29. */
export function wholePercent(share: number): number {
  return Math.floor(Number((Number(share.toFixed(4)) * 100).toFixed(6)) + 0.5);
}

/** Format a share as a percentage. */
export function percent(share: number): string {
  return `${wholePercent(share)} %`;
}

/** Format an interval of a volume in millilitres. Far limits mean that the volume is practically unknown. */
export function interval([low, high]: readonly [number, number]): string {
  return `${inMl(low)} to ${inMl(high)}${high > 100 * low ? ", not known" : ""}`;
}

/** Format bytes in a suitable unit. */
export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  const power = Math.min(3, Math.floor(Math.log2(size) / 10));
  return `${(size / 1024 ** power).toFixed(power > 1 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

/** Describe a position in anatomical terms. RAS millimetres: right, anterior and superior are positive. */
export function place(mm: readonly number[]): string {
  const sides = ["RL", "AP", "SI"] as const;
  return sides.map((side, axis) => `${(mm[axis] ?? 0) >= 0 ? side[0] : side[1]} ${Math.abs(mm[axis] ?? 0).toFixed(0)}`).join("  ");
}

/** The common part of a case's file names, or the name of its zip. */
export function caseName(files: Record<string, string>): string {
  const names = [...new Set(Object.values(files))].map((name) => name.replace(/\.(nii\.gz|nii|nrrd|mha|zip)$/i, ""));
  const [first = "", ...others] = names;
  let length = first.length;
  while (length && !others.every((name) => name.startsWith(first.slice(0, length)))) length -= 1;
  const shared = first.slice(0, length);
  // Do not cut within a word: "t1ce" and "t1" share no name.
  const whole = others.length ? shared.slice(0, Math.max(shared.lastIndexOf("_"), shared.lastIndexOf("-"), shared.lastIndexOf("."), shared.lastIndexOf(" "), 0)) : shared;
  return whole || names.join(", ");
}

/** Join words as in a sentence: "T1, T2 and FLAIR". */
export function listed(words: string[]): string {
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}` : (words[0] ?? "");
}

/** The text with a capital letter and a full stop. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Format a time in the user's locale. */
export function when(time: string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** The larger probability of a binary choice with this entropy in nats, 0.5 to 1. Null above ln 2. */
export function certaintyOf(nats: number): number | null {
  if (nats > Math.LN2) return null;
  let [low, high] = [0.5, 1];
  for (let step = 0; step < 40; step += 1) {
    const middle = (low + high) / 2;
    const entropy = middle === 1 ? 0 : -middle * Math.log(middle) - (1 - middle) * Math.log(1 - middle);
    if (entropy > nats) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
