/** Grey windows: the intensities shown as black and white. */

import display from "../../../brats_mm/domain/display.json";
import { findBackground, foregroundValues, percentileOf, type Voxels } from "./background";
import type { Sequence } from "./sequences";

export interface Window {
  low: number;
  high: number;
}

/** Percentiles of the foreground shown as black and white, by sequence. All outputs share them. */
const BY_SEQUENCE = display.grey_percentiles as unknown as Record<Sequence, [number, number]>;

/** Named windows as percentiles of the foreground. Null means the whole range. */
export const PRESETS: Record<string, { name: string; percentiles: [number, number] | null }> = {
  automatic: { name: "Automatic", percentiles: BY_SEQUENCE.t1ce },
  full: { name: "Full range", percentiles: null },
  contrast: { name: "High contrast", percentiles: [25, 97] },
  bright: { name: "Bright tissue", percentiles: [50, 99.9] },
};
export const FIRST_PRESET = "automatic";

/** Window of a preset for an image of a sequence. Background voxels do not count. */
export function presetWindow(preset: string, voxels: Voxels, sequence: Sequence = "t1ce"): Window {
  const background = findBackground(voxels);
  const values = foregroundValues(voxels, background);
  const percentiles = preset === FIRST_PRESET ? BY_SEQUENCE[sequence] : PRESETS[preset]?.percentiles;
  // Keep the background black: the full range starts at it if it is the darkest value.
  const [low, high] = percentiles
    ? [percentileOf(values, percentiles[0]), percentileOf(values, percentiles[1])]
    : [Math.min(background.value, values[0] ?? 0), values[values.length - 1] ?? 0];
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
