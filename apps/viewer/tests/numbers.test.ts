import { expect, test } from "vitest";
import { problemOf } from "../src/api";
import { thresholdText } from "../src/controls";
import { bytes, caseName, certaintyOf, inMl, interval, millilitres, percent, place, signedMl } from "../src/format";
import { EventReader } from "../src/jobs";
import { diceOfAllFour, kindOf } from "../src/panels";
import { clock, detailOf, shareOf, stageOf } from "../src/progress";
import type { Job } from "../src/api";
import { middleOfLabels } from "../src/volumes";

test("events are read however the stream is cut", () => {
  const got: [string, string][] = [];
  const reader = new EventReader((name, data) => got.push([name, data]));
  for (const piece of ["event: jo", 'b\ndata: {"id"', ": 1}\n", "\n: still here\n\nevent: gone\ndata: {}\n\n"]) reader.push(piece);
  expect(got).toEqual([
    ["job", '{"id": 1}'],
    ["gone", "{}"],
  ]);
});

test("the chance that an entropy stands for", () => {
  expect(certaintyOf(0)).toBeCloseTo(1, 6);
  expect(certaintyOf(0.4227)).toBeCloseTo(0.85, 3);
  expect(certaintyOf(Math.LN2)).toBeCloseTo(0.5, 3);
  expect(certaintyOf(0.7)).toBeNull();
  expect(thresholdText(0.4227)).toBe("0.42 nats, 85 % certain");
});

test("places and sizes as people read them", () => {
  expect(place([-12.4, 30.2, -5])).toBe("L 12  A 30  I 5");
  expect([bytes(10), bytes(2048), bytes(3 * 2 ** 20)]).toEqual(["10 B", "2 KiB", "3.0 MiB"]);
  expect([millilitres(3.14), millilitres(151.6)]).toEqual(["3.1 mL", "151.6 mL"]);
  expect([0.35, 0.25, 0.349, 0].map(inMl)).toEqual(["0.4", "0.3", "0.3", "0.0"]);
});

test("percentages and intervals as in the other outputs", () => {
  expect([0, 0.285, 0.2849, 0.545, 1].map(percent)).toEqual(["0 %", "29 %", "28 %", "55 %", "100 %"]);
  expect(interval([0.5, 50])).toBe("0.5 to 50.0");
  expect(interval([0.5, 50.1])).toBe("0.5 to 50.1, not known");
});

test("the middle of the labels is a labelled voxel, in millimetres", () => {
  const voxels = new Uint8Array(4 * 3 * 2);
  for (const index of [1, 2, 3]) voxels[index + 4 + 12] = 2; // x 1 to 3, y 1, z 1
  const affine = [
    [-2, 0, 0, 10],
    [0, 3, 0, 0],
    [0, 0, 1, 5],
    [0, 0, 0, 1],
  ];
  expect(middleOfLabels(voxels, [4, 3, 2], affine)).toEqual([6, 3, 6]);
  expect(middleOfLabels(new Uint8Array(8), [2, 2, 2], affine)).toBeNull();
});

test("the middle of chosen labels is looked for among them alone", () => {
  const voxels = Uint8Array.from([2, 0, 0, 0, 0, 3]);
  const identity = [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
  ];
  expect(middleOfLabels(voxels, [6, 1, 1], identity, new Set([3]))).toEqual([5, 0, 0]);
  expect(middleOfLabels(voxels, [6, 1, 1], identity, new Set([1]))).toBeNull();
});

test("a problem is its sentence, also where no problem body came", () => {
  expect(problemOf(422, '{"title": "T", "detail": "Send one file per sequence."}').message).toBe("Send one file per sequence.");
  expect(problemOf(502, "<html>Bad gateway</html>").message).toContain("502");
});

test("the state of a job in words", () => {
  const job = { state: "queued", queue_position: 1, progress: { stage: "waiting", step: "", fraction: 0, windows_done: 0, windows_total: 0 } } as Job;
  expect([stageOf(job), detailOf(job)]).toEqual(["waiting", "1 job ahead"]);
  expect(detailOf({ ...job, queue_position: 0 })).toBe("next in the queue");
  const running = { ...job, state: "running", progress: { stage: "segmenting", step: "", fraction: 0.4, windows_done: 3, windows_total: 8 } } as Job;
  expect([stageOf(running), detailOf(running)]).toEqual(["segmenting", "part 3 of 8"]);
  const raw = { ...running, progress: { stage: "preprocessing", step: "registering T1 to T1ce", fraction: 0.2, windows_done: 0, windows_total: 0 } } as Job;
  expect([stageOf(raw), detailOf(raw)]).toEqual(["preprocessing", "registering T1 to T1ce"]);
});

test("the bar shows the fraction of all stages, and is full only when the job is done", () => {
  const at = (state: string, fraction: number | null): number => shareOf({ state, queue_position: 0, progress: { stage: "", step: "", fraction, windows_done: 0, windows_total: 0 } } as unknown as Job);
  expect([at("queued", 0), at("running", 0.25), at("running", null), at("done", 1)]).toEqual([0, 0.25, 0, 1]);
  expect(at("running", 1)).toBeLessThan(1);
  expect([clock(0.4), clock(65)]).toEqual(["0:00", "1:05"]);
});

test("a case is named by what its files share", () => {
  expect(caseName({ t1ce: "Smith-7_t1ce.nii.gz", flair: "Smith-7_flair.nii.gz" })).toBe("Smith-7");
  expect(caseName({ t1: "BraTS-GLI-00000-000-t1n.nii.gz", t1ce: "BraTS-GLI-00000-000-t1c.nii.gz" })).toBe("BraTS-GLI-00000-000");
  expect(caseName({ t1: "t1.nii", t1ce: "t1ce.nii" })).toBe("t1, t1ce");
  expect(caseName({ t1: "exam.zip", flair: "exam.zip" })).toBe("exam");
  expect(caseName({ t2: "one_t2.mha" })).toBe("one_t2");
  expect(caseName({})).toBe("");
});

test("the Dice of all four sequences is shown only where it differs", () => {
  const expected = { meaning: "", cases: 17, dice: {}, dice_of_all_four: { wt: { mean: 0.88 } } };
  expect(diceOfAllFour({ ...expected, sequences: "t1ce+flair" })).toEqual({ wt: { mean: 0.88 } });
  expect(diceOfAllFour({ ...expected, sequences: "t1+t1ce+t2+flair" })).toBeNull();
});

test("results are named, and unknown ones only listed", () => {
  expect([kindOf("report.html"), kindOf("entropy_wt.nii.gz"), kindOf("new.bin")]).toEqual(["Report to read or print", "Entropy of a region", ""]);
});

test("changes of volumes have a sign unless they round to nothing", () => {
  expect([2.25, -2.25, 0.04, -0.04, 0].map(signedMl)).toEqual(["+2.3", "−2.3", "0.0", "0.0", "0.0"]);
});
