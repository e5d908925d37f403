import { expect, test } from "vitest";
import table from "../../../tests/viewer/names.json";
import { readNames, sequencesIn } from "../src/sequences";

interface Row {
  what: string;
  folder: string;
  names: Record<string, string[] | "labels" | "other">;
}

/** The library's own reading is tested against the same table, in tests/viewer/test_names.py. */
const TABLE = table as unknown as Row[];

test.each(TABLE)("names are read as the library reads them: $what", ({ folder, names }) => {
  const files = Object.keys(names).map((path) => ({ name: path.split("/").at(-1) ?? "", subFolder: path.includes("/") ? (path.split("/")[0] ?? "") : "" }));
  const got = readNames(files, folder).map(({ sequences, reason }) => {
    if (reason?.includes("labels")) return "labels";
    return reason?.includes("another kind") ? "other" : sequences;
  });
  expect(got).toEqual(Object.values(names));
});

test("part of a word, or contrast alone, says nothing", () => {
  for (const name of ["post_op", "gd", "at1", "t10", ""]) expect([...sequencesIn(name)]).toEqual([]);
});
