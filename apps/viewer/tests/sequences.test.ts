import { expect, test } from "vitest";
import folders from "../../../tests/names/folders.json";
import names from "../../../tests/names/names.json";
import { readName, readNames, sequencesIn } from "../src/sequences";

interface Row {
  name: string;
  folder: string;
  names: Record<string, string[] | "labels" | "other">;
}

/** The library's own reading is tested against the same tables, in tests/names/test_names.py. */
const FOLDERS = folders as unknown as Row[];

test.each(Object.entries(names))("%s is read as the library reads it", (name, expected) => {
  const { sequences, label, kind, doubt } = readName(name);
  const meanings = sequences.length && doubt ? [...sequences, doubt] : sequences;
  expect(label ? "labels" : kind ? "other" : meanings.join("|")).toBe(expected);
});

test.each(FOLDERS)("names are read as the library reads them: $name", ({ folder, names: rows }) => {
  const files = Object.keys(rows).map((path) => ({ name: path.split("/").at(-1) ?? "", subFolder: path.includes("/") ? (path.split("/")[0] ?? "") : "" }));
  const got = readNames(files, folder).map(({ sequences, reason, doubt }) => {
    if (reason?.includes("label map")) return "labels";
    if (reason?.includes("another kind")) return "other";
    return doubt ? [...sequences, doubt] : sequences;
  });
  expect(got).toEqual(Object.values(rows));
});

test("part of a word, or contrast alone, says nothing", () => {
  for (const name of ["post_op", "gd", "at1", "t10", ""]) expect([...sequencesIn(name)]).toEqual([]);
});
