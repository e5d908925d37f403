import { expect, test } from "vitest";
import { outlinePath, sliceOf } from "../src/contours";
import { diceOf, differenceMap, ONLY_FIRST, ONLY_SECOND, OTHER_LABEL, valuesOf } from "../src/difference";
import { distanceMm, Grid, rulerMm } from "../src/grid";
import { findBackground, foregroundTest, type Voxels } from "../src/background";
import display from "../../../brats_mm/domain/display.json";
import { entropyColourMap } from "../src/viewer";
import { draggedWindow, presetWindow, windowText } from "../src/window";

// Voxels of 1 x 1 x 3 mm whose first two axes run to the left and to the back, as BraTS and many scanners store them.
const LPS = new Grid(
  [240, 240, 30],
  [
    [-1, 0, 0, 120],
    [0, -1, 0, 100],
    [0, 0, 3, -40],
  ],
);

test("slices are counted from 1 along the file's axes, as in the report", () => {
  expect(LPS.sliceAt([120, 100, -40], "axial")).toEqual({ at: 1, of: 30 });
  expect(LPS.sliceAt([120, 100, -40], "sagittal")).toEqual({ at: 1, of: 240 });
  expect(LPS.sliceAt([110, 98, 47], "sagittal").at).toBe(11);
  expect(LPS.sliceAt([110, 98, 47], "coronal").at).toBe(3);
  expect(LPS.sliceAt([110, 98, 47], "axial").at).toBe(30);
  expect(LPS.sliceAt([0, 0, 1000], "axial").at).toBe(30);
});

test("another slice keeps the place within the plane", () => {
  expect(LPS.onSlice([10, 20, -40], "axial", 3)).toEqual([10, 20, -34]);
  expect(LPS.onSlice([10, 20, -40], "sagittal", 1)).toEqual([120, 20, -40]);
});

test("a file whose slices are sagittal is counted along its third axis", () => {
  const sagittal = new Grid(
    [256, 200, 170],
    [
      [0, 0, 1, 0],
      [1, 0, 0, 0],
      [0, 1, 0, 0],
    ],
  );
  expect(sagittal.sliceAt([4, 0, 0], "sagittal")).toEqual({ at: 5, of: 170 });
  expect(sagittal.axisOf("axial")).toBe(1);
});

test("grids match where their voxels lie in the same places", () => {
  expect(LPS.matches(new Grid([240, 240, 30], LPS.affine))).toBe(true);
  expect(LPS.matches(new Grid([240, 240, 29], LPS.affine))).toBe(false);
  const moved = LPS.affine.map((row, at) => (at === 0 ? [-1, 0, 0, 121] : row));
  expect(LPS.matches(new Grid([240, 240, 30], moved))).toBe(false);
});

test("distances and the ruler are in millimetres", () => {
  expect(distanceMm([0, 0, 0], [3, 4, 0])).toBe(5);
  expect([rulerMm(2, 150), rulerMm(2, 90), rulerMm(2, 1)]).toEqual([50, 20, null]);
});

test("an outline follows the edges of the voxels on its slice alone", () => {
  // 3 x 3 x 2 voxels: the label fills the first slice's middle, and all of the second slice.
  const voxels = Uint8Array.from([0, 0, 0, 0, 5, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5, 5]);
  expect(outlinePath(sliceOf(voxels, [3, 3, 2], 2, 0), 5)).toBe("M1 1H2M1 2H2M1 1V2M2 1V2");
  expect(outlinePath(sliceOf(voxels, [3, 3, 2], 2, 1), 5)).toBe("M0 0H3M0 3H3M0 0V3M3 0V3");
  expect(outlinePath(sliceOf(voxels, [3, 3, 2], 2, 0), 4)).toBe("");
});

test("a slice keeps the order of the other axes", () => {
  const voxels = Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(Array.from(sliceOf(voxels, [2, 2, 2], 0, 1).values)).toEqual([1, 3, 5, 7]);
  expect(Array.from(sliceOf(voxels, [2, 2, 2], 1, 1).values)).toEqual([2, 3, 6, 7]);
});

/** A volume of one row. */
const row = (values: number[], slope = 1, intercept = 0): Voxels => ({ stored: values, size: [values.length, 1, 1], slope, intercept });

test("a preset is of the foreground, every second voxel of it", () => {
  const voxels = [...new Array<number>(500).fill(0), ...Array.from({ length: 201 }, (_, at) => at + 100), ...new Array<number>(50).fill(0)];
  expect(presetWindow("automatic", row(voxels))).toEqual({ low: 104, high: 298 });
  expect(presetWindow("automatic", row(voxels), "flair").high).toBeGreaterThan(298);
  expect(presetWindow("full", row(voxels))).toEqual({ low: 0, high: 300 });
  expect(presetWindow("full", row(voxels, 2, 10))).toEqual({ low: 10, high: 610 });
  const flat = presetWindow("automatic", row([0, 0, 0]));
  expect(flat.high).toBeGreaterThan(flat.low);
});

test("an exact background is one value, and every other voxel is foreground", () => {
  const background = findBackground(row([-5, -5, -5, ...new Array<number>(50).fill(100), -4, -5, -5]));
  expect(background).toEqual({ value: -5, tolerance: 0, below: 0 });
  expect([-5, -4, 100, NaN].map(foregroundTest(background))).toEqual([false, true, true, false]);
});

test("a blurred background has a tolerance, and its darker side is background at any distance", () => {
  // The distance to 0 is at most 100, so the tolerance is at least 2. Half of the voxels are within 0.5 of 0.
  const blur = Array.from({ length: 200 }, (_, at) => Math.fround(Math.sin(at) / 2));
  const background = findBackground(row([0, ...blur, ...new Array<number>(200).fill(100), 0]));
  expect(background.tolerance).toBeCloseTo(2.6, 0);
  expect([-50, 1, 100].map(foregroundTest(background))).toEqual([false, false, true]);
});

test("dragging to the side changes the width, up and down the level", () => {
  const start = { low: 0, high: 400 };
  expect(draggedWindow(start, [200, 0])).toEqual({ low: -200, high: 600 });
  expect(draggedWindow(start, [0, 100])).toEqual({ low: 200, high: 600 });
  expect(draggedWindow(start, [0, -100])).toEqual({ low: -200, high: 200 });
  expect(windowText({ low: 100, high: 300 })).toBe("W 200  L 200");
});

test("a difference says which of two results has the tumour", () => {
  expect([...differenceMap([0, 1, 0, 1, 2], [0, 0, 2, 3, 2])]).toEqual([0, ONLY_FIRST, ONLY_SECOND, OTHER_LABEL, 0]);
  const labels = { ncr: 1, ed: 2, et: 3 };
  expect(valuesOf("tc", labels)).toEqual(new Set([1, 3]));
  expect(diceOf([1, 3, 2, 0], [1, 2, 2, 0], valuesOf("tc", labels))).toBeCloseTo(2 / 3);
  expect(diceOf([0], [0], valuesOf("et", labels))).toBeNull();
});

test("entropy has the colours of every other output, from index 0 to 255", () => {
  const map = entropyColourMap(display.entropy_colours);
  expect([map.R[0], map.G[0], map.B[0], map.I[0]]).toEqual([6, 5, 12, 0]);
  expect([map.R.at(-1), map.G.at(-1), map.B.at(-1), map.I.at(-1)]).toEqual([134, 242, 254, 255]);
  expect([map.A[0], map.A[1], map.A.at(-1)], "what is certain is not veiled").toEqual([0, 255, 255]);
  expect(map.I).toHaveLength(display.entropy_colours.length);
});
