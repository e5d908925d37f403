import { expect, test } from "vitest";
import { bidsOptions } from "../src/bids";

test("labels become the options of a job, and empty fields are left out", () => {
  expect(bidsOptions({ participant: " sub-01 ", session: "pre", run: "", acquisition: "" })).toEqual({ participant: ["sub-01"], session: ["pre"] });
  expect(bidsOptions({ participant: "", session: " ", run: "2", acquisition: "mprage" })).toEqual({ run: "2", acquisition: "mprage" });
});
