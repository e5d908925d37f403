/**
 * Background voxels of an image, by the same rules as `brats_mm/domain/background.py`, so that all outputs draw an image
 * in the same greys. The constants are shared.
 */
import display from "../../../brats_mm/domain/display.json";

const RULES = display.background;

/** Voxels of a volume as stored in its file, the first axis fastest, and their scale. */
export interface Voxels {
  stored: ArrayLike<number>;
  size: readonly number[];
  slope: number;
  intercept: number;
}

export interface Background {
  value: number;
  /** Voxels within this distance of `value` are background. 0 for an exact background. */
  tolerance: number;
  /** Share of the foreground that is darker than `value`. */
  below: number;
}

/** Values of the voxels of a box, every `step` voxels along each axis. */
export function sampled(voxels: Voxels, low: readonly number[], high: readonly number[], step: readonly number[]): Float32Array {
  const counts = [0, 1, 2].map((axis) => Math.max(0, Math.ceil(((high[axis] ?? 1) - (low[axis] ?? 0)) / (step[axis] ?? 1))));
  const values = new Float32Array(counts.reduce((product, count) => product * count, 1));
  const [width = 1, height = 1] = voxels.size;
  const [x0 = 0, y0 = 0, z0 = 0] = low;
  const [dx = 1, dy = 1, dz = 1] = step;
  let at = 0;
  for (let z = z0; z < (high[2] ?? 1); z += dz) {
    for (let y = y0; y < (high[1] ?? 1); y += dy) {
      const row = (z * height + y) * width;
      for (let x = x0; x < (high[0] ?? 1); x += dx) values[at++] = (voxels.stored[row + x] ?? 0) * voxels.slope + voxels.intercept;
    }
  }
  return values;
}

/** Percentile of sorted values with linear interpolation, as in NumPy. */
export function percentileOf(sorted: ArrayLike<number>, percentile: number): number {
  const place = (percentile / 100) * (sorted.length - 1);
  const low = Math.floor(place);
  const [first, second] = [sorted[low] ?? 0, sorted[Math.min(low + 1, sorted.length - 1)] ?? 0];
  return first + (second - first) * (place - low);
}

/** Find the background of an image. Voxels that are not finite are ignored. */
export function findBackground(voxels: Voxels): Background {
  const step = voxels.size.map((side) => (side >= RULES.sampled_side ? 2 : 1));
  const known = sampled(voxels, [0, 0, 0], voxels.size, step).filter(Number.isFinite);
  const value = valueOf(voxels, known);
  const distance = known.map((one) => Math.abs(one - value)).sort();
  const scale = percentileOf(distance, RULES.range_percentile) || (distance[distance.length - 1] ?? 0);
  if (!scale) return { value: 0, tolerance: 0, below: 0 };
  const least = RULES.least_tolerance * scale;
  const zeros = firstAbove(distance, 0);
  const weak = firstAbove(distance, least);
  const strong = Math.max(1, distance.length - weak);
  const below = known.reduce((count, one) => count + Number(one < value - least), 0) / strong;
  const nearly = weak - zeros;
  const isExact = nearly <= RULES.exact_share * strong || nearly <= RULES.exact_of_background * zeros;
  if (isExact) return { value, tolerance: 0, below };
  const near = distance.subarray(zeros, firstAbove(distance, RULES.most_tolerance * scale));
  const noise = (1.4826 * percentileOf(near, 50)) / scale; // of a normal distribution, from its median absolute deviation
  const share = Math.min(RULES.most_tolerance, Math.max(RULES.least_tolerance, RULES.noise_factor * noise));
  return { value, tolerance: share * scale, below };
}

/** A test whether a voxel is foreground. A blurred background overshoots, so only its brighter or darker side may count. */
export function foregroundTest({ value, tolerance, below }: Background): (voxel: number) => boolean {
  if (tolerance === 0) return (voxel) => voxel !== value && Number.isFinite(voxel);
  if (below < RULES.one_sided_share) return (voxel) => voxel > value + tolerance && Number.isFinite(voxel);
  if (below > 1 - RULES.one_sided_share) return (voxel) => voxel < value - tolerance && Number.isFinite(voxel);
  return (voxel) => Math.abs(voxel - value) > tolerance && Number.isFinite(voxel);
}

/** Sorted values of the foreground, from every second voxel of its box. Of all voxels if there is no foreground. */
export function foregroundValues(voxels: Voxels, background: Background): Float32Array {
  const isForeground = foregroundTest(background);
  const low = [Infinity, Infinity, Infinity];
  const high = [0, 0, 0];
  const [width = 1, height = 1, depth = 1] = voxels.size;
  let at = 0;
  for (let z = 0; z < depth; z += 1) {
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        if (!isForeground(Math.fround((voxels.stored[at++] ?? 0) * voxels.slope + voxels.intercept))) continue;
        [x, y, z].forEach((place, axis) => {
          if (place < (low[axis] ?? 0)) low[axis] = place;
          if (place >= (high[axis] ?? 0)) high[axis] = place + 1;
        });
      }
    }
  }
  if (!high[0]) return sampled(voxels, [0, 0, 0], voxels.size, [2, 2, 2]).sort();
  return sampled(voxels, low, high, [2, 2, 2]).filter(isForeground).sort();
}

/** The value of the corners if they agree, else 0 if the image has zeros, else the median of the blocks at the corners. */
function valueOf(voxels: Voxels, known: Float32Array): number {
  const corners = sampled(voxels, [0, 0, 0], voxels.size, voxels.size.map((side) => Math.max(1, side - 1))).filter(Number.isFinite);
  const [first] = corners;
  if (first !== undefined && corners.every((one) => one === first)) return first;
  const zeros = known.reduce((count, one) => count + Number(one === 0), 0);
  if (first === undefined || zeros >= RULES.zero_share * known.length) return 0;
  const sides = voxels.size.map((side) => Math.max(1, Math.floor(side / 16)));
  const blocks: number[] = [];
  for (const corner of [0, 1, 2, 3, 4, 5, 6, 7]) {
    const start = sides.map((side, axis) => (corner & (1 << axis) ? (voxels.size[axis] ?? 1) - side : 0));
    const block = sampled(voxels, start, start.map((place, axis) => place + (sides[axis] ?? 1)), [1, 1, 1]);
    blocks.push(...block.filter((one) => !Number.isNaN(one)));
  }
  return Math.fround(percentileOf(Float32Array.from(blocks).sort(), 50));
}

/** Index of the first of sorted values that is above a limit. */
function firstAbove(sorted: Float32Array, limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}
