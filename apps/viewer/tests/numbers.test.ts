import { expect, test } from "vitest";
import { problemOf } from "../src/api";
import { thresholdText } from "../src/controls";
import { bytes, certaintyOf, millilitres, place } from "../src/format";
import { EventReader } from "../src/jobs";
import { kindOf } from "../src/panels";
import { detailOf, stageOf } from "../src/progress";
import type { Job } from "../src/api";
import { bordersOf, middleOfLabels } from "../src/volumes";

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
  expect(thresholdText(0.4227)).toBe("0.42 nats, 85 % sure");
});

test("places and sizes as people read them", () => {
  expect(place([-12.4, 30.2, -5])).toBe("L 12  A 30  I 5");
  expect([bytes(10), bytes(2048), bytes(3 * 2 ** 20)]).toEqual(["10 B", "2 KiB", "3.0 MiB"]);
  expect([millilitres(3.14), millilitres(151.6)]).toEqual(["3.1 mL", "152 mL"]);
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

test("only voxels next to another label are an outline", () => {
  const voxels = new Uint8Array(125);
  for (let index = 0; index < 125; index += 1) {
    const inside = [index % 5, Math.floor(index / 5) % 5, Math.floor(index / 25)].every((at) => at > 0 && at < 4);
    voxels[index] = inside ? 3 : 0;
  }
  const borders = bordersOf(voxels, [5, 5, 5]);
  expect(borders[62]).toBe(0); // the middle of 3 x 3 x 3
  expect(borders.reduce((count, label) => count + (label === 3 ? 1 : 0), 0)).toBe(26);
});

test("a problem is its sentence, also where no problem body came", () => {
  expect(problemOf(422, '{"title": "T", "detail": "Send one file a sequence."}').message).toBe("Send one file a sequence.");
  expect(problemOf(502, "<html>Bad gateway</html>").message).toContain("502");
});

test("the state of a job in words", () => {
  const job = { state: "queued", queue_position: 1, progress: { stage: "waiting", windows_done: 0, windows_total: 0 } } as Job;
  expect([stageOf(job), detailOf(job)]).toEqual(["waiting", "1 job before it"]);
  expect(detailOf({ ...job, queue_position: 0 })).toBe("next in the queue");
  const running = { ...job, state: "running", progress: { stage: "segmenting", windows_done: 3, windows_total: 8 } } as Job;
  expect([stageOf(running), detailOf(running)]).toEqual(["segmenting", "part 3 of 8"]);
});

test("results are named, and unknown ones only listed", () => {
  expect([kindOf("report.html"), kindOf("entropy_wt.nii.gz"), kindOf("new.bin")]).toEqual(["Report to read or print", "Entropy of a region", ""]);
});
