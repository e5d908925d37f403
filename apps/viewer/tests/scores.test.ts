import { expect, test } from "vitest";
import { points } from "../src/scores";

const row = (image: string, dice: number | null) => ({ image, model_version: "1.0", scores: { wt: { dice } } });

test("a Dice of 1 is at the top, of 0 at the bottom, the oldest at the left", () => {
  const shown = points([row("a", 0), row("b", 0.5), row("c", 1)]);
  expect(shown.map(({ x, y }) => [x, y])).toEqual([
    [14, 106],
    [160, 60],
    [306, 14],
  ]);
  expect(shown[1]?.title).toBe("b: 50 %, model 1.0");
});

test("a single label is at the left, and one without a score is left out", () => {
  expect(points([row("a", 0.5)]).map(({ x }) => x)).toEqual([14]);
  expect(points([row("a", null)])).toEqual([]);
});
