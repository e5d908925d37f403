/** Difference of two segmentations on one grid. */

export const REGIONS = ["wt", "tc", "et"] as const;
export type Region = (typeof REGIONS)[number];
export const REGION_NAMES: Record<Region, string> = { wt: "Whole tumour", tc: "Tumour core", et: "Enhancing tumour" };
/** Compartments that make up each region. */
const PARTS: Record<Region, readonly string[]> = { wt: ["ncr", "ed", "et"], tc: ["ncr", "et"], et: ["et"] };

/** Values of the difference map. */
export const ONLY_FIRST = 1;
export const ONLY_SECOND = 2;
export const OTHER_LABEL = 3;

/** Label values of a region, from the value of each compartment. */
export function valuesOf(region: Region, labels: Record<string, number>): Set<number> {
  return new Set(PARTS[region].flatMap((part) => labels[part] ?? []));
}

/** Map the voxels that are tumour in the first only, in the second only, or in both with different labels. */
export function differenceMap(first: ArrayLike<number>, second: ArrayLike<number>): Uint8Array {
  const map = new Uint8Array(first.length);
  for (let index = 0; index < first.length; index += 1) {
    const [a, b] = [first[index] ?? 0, second[index] ?? 0];
    if (a !== b) map[index] = b === 0 ? ONLY_FIRST : a === 0 ? ONLY_SECOND : OTHER_LABEL;
  }
  return map;
}

/** Dice of a region in two segmentations. Null if neither contains it. */
export function diceOf(first: ArrayLike<number>, second: ArrayLike<number>, values: ReadonlySet<number>): number | null {
  let [both, sum] = [0, 0];
  for (let index = 0; index < first.length; index += 1) {
    const a = values.has(first[index] ?? 0);
    const b = values.has(second[index] ?? 0);
    if (a && b) both += 1;
    sum += Number(a) + Number(b);
  }
  return sum ? (2 * both) / sum : null;
}
