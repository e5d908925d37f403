/** Numbers as people read them. */

/** Millilitres with one digit after the point, halves rounded up: 0.35 is 0.4, which binary fractions would make 0.3. */
export function inMl(value: number): string {
  return (Math.floor(Number((value * 10).toFixed(6)) + 0.5) / 10).toFixed(1);
}

/** Millilitres with their unit. */
export function millilitres(value: number): string {
  return `${inMl(value)} mL`;
}

/** Millilitres with a sign, for changes. */
export function signedMl(change: number): string {
  const size = inMl(Math.abs(change));
  return Number(size) === 0 ? size : `${change < 0 ? "−" : "+"}${size}`;
}

/** A share as per cent. */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** Bytes, in the unit that suits. */
export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  const power = Math.min(3, Math.floor(Math.log2(size) / 10));
  return `${(size / 1024 ** power).toFixed(power > 1 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

/** A place in patient space (millimetres towards right, anterior, superior as positive), in words of anatomy. */
export function place(mm: readonly number[]): string {
  const sides = ["RL", "AP", "SI"] as const;
  return sides.map((side, axis) => `${(mm[axis] ?? 0) >= 0 ? side[0] : side[1]} ${Math.abs(mm[axis] ?? 0).toFixed(0)}`).join("  ");
}

/** What the files of a case have in common in their names; the zip's name for a zip. */
export function caseName(files: Record<string, string>): string {
  const names = [...new Set(Object.values(files))].map((name) => name.replace(/\.(nii\.gz|nii|nrrd|mha|zip)$/i, ""));
  const [first = "", ...others] = names;
  let length = first.length;
  while (length && !others.every((name) => name.startsWith(first.slice(0, length)))) length -= 1;
  const shared = first.slice(0, length);
  // Not in the middle of a word: "t1ce" and "t1" share no name.
  const whole = others.length ? shared.slice(0, Math.max(shared.lastIndexOf("_"), shared.lastIndexOf("-"), shared.lastIndexOf("."), shared.lastIndexOf(" "), 0)) : shared;
  return whole || names.join(", ");
}

/** When something was, in the reader's own way of writing. */
export function when(time: string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** The better chance of a choice between two whose entropy (nats) is this: 0.5 to 1; null above ln 2. */
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
