/** Grey windows: the intensities shown as black and white. */

import display from "../../../brats_mm/domain/display.json";
import type { Sequence } from "./sequences";

export interface Window {
  low: number;
  high: number;
}

/** Percentiles of the head's voxels shown as black and white, by sequence. All outputs share them. */
const BY_SEQUENCE = display.grey_percentiles as unknown as Record<Sequence, [number, number]>;

/** Named windows as percentiles of the head's voxels. Null means the whole range. */
export const PRESETS: Record<string, { name: string; percentiles: [number, number] | null }> = {
  automatic: { name: "Automatic", percentiles: BY_SEQUENCE.t1ce },
  full: { name: "Full range", percentiles: null },
  contrast: { name: "High contrast", percentiles: [25, 97] },
  bright: { name: "Bright tissue", percentiles: [50, 99.9] },
};
export const FIRST_PRESET = "automatic";

const MOST_SAMPLES = 200_000;

/** Window of a preset for a sequence's volume, without background voxels (the corner's value). */
export function presetWindow(preset: string, voxels: ArrayLike<number>, slope = 1, intercept = 0, sequence: Sequence = "t1ce"): Window {
  const step = Math.max(1, Math.floor(voxels.length / MOST_SAMPLES));
  const background = voxels[0] ?? 0;
  const values: number[] = [];
  for (let index = 0; index < voxels.length; index += step) {
    const value = voxels[index] ?? 0;
    if (value !== background && Number.isFinite(value)) values.push(value * slope + intercept);
  }
  const sorted = Float64Array.from(values).sort();
  const last = sorted.length - 1;
  if (last < 0) return { low: background * slope + intercept, high: background * slope + intercept + 1 };
  const percentiles = preset === FIRST_PRESET ? BY_SEQUENCE[sequence] : PRESETS[preset]?.percentiles;
  const outside = background * slope + intercept;
  const at = (percentile: number): number => sorted[Math.round((percentile / 100) * last)] ?? 0;
  // Keep the background black: the full range starts at it if it is the darkest value.
  const [low, high] = percentiles ? [at(percentiles[0]), at(percentiles[1])] : [Math.min(outside, at(0)), at(100)];
  return widened(low, high);
}

/**
 * Window after a drag. Dragging right widens it. Dragging up lowers the level and brightens the image.
 *
 * @param move pixels to the right and downwards since the drag began
 * @param reach pixels that change the window by its width
 */
export function draggedWindow(start: Window, move: readonly [number, number], reach = 200): Window {
  const width = start.high - start.low;
  const level = (start.high + start.low) / 2 + (move[1] / reach) * width;
  const wide = width * 2 ** (move[0] / reach);
  return widened(level - wide / 2, level + wide / 2);
}

/** Width and level, as on a scanner's console. */
export function windowText(window: Window): string {
  const digits = window.high - window.low < 10 ? 2 : 0;
  return `W ${(window.high - window.low).toFixed(digits)}  L ${((window.high + window.low) / 2).toFixed(digits)}`;
}

function widened(low: number, high: number): Window {
  return { low, high: Math.max(high, low + Math.max(1e-6, Math.abs(low) * 1e-6)) };
}
