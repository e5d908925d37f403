import { unzipSync } from "fflate";
import { expect, test } from "vitest";
import { holdsDicom, zipped } from "../src/dicom_zip";
import { doubles, folderName, sortFiles, type PickedFile } from "../src/files";

function picked(...paths: string[]): PickedFile[] {
  return paths.map((path) => {
    const parts = path.split("/");
    return { file: new File(["x"], parts.at(-1) ?? ""), folders: parts.slice(0, -1) };
  });
}

function chosen(...paths: string[]): Record<string, string | null> {
  return Object.fromEntries(sortFiles(picked(...paths)).files.map((one) => [one.shown, one.sequence]));
}

test("a folder's own files come before those of its subfolders", () => {
  expect(chosen("case/t1.nii.gz", "case/old/t2.nii.gz")).toEqual({ "t1.nii.gz": "t1" });
  expect(chosen("case/T1/image.nii.gz", "case/FLAIR/image.nii.gz")).toEqual({ "T1/image.nii.gz": "t1", "FLAIR/image.nii.gz": "flair" });
});

test("single files have no folder", () => {
  expect(chosen("a_t1c.nii.gz", "a_t2f.nii.gz")).toEqual({ "a_t1c.nii.gz": "t1ce", "a_t2f.nii.gz": "flair" });
});

test("other files and hidden ones are passed over", () => {
  const found = sortFiles(picked("c/t1.nii.gz", "c/.t2.nii.gz", "c/notes.txt"));
  expect(found.files.map((one) => one.shown)).toEqual(["t1.nii.gz"]);
  expect(found.passedOver).toEqual([".t2.nii.gz", "notes.txt"]);
});

test("a folder of cases is refused with their number", () => {
  const found = sortFiles(picked("set/a/a_t1.nii", "set/a/a_t2.nii", "set/b/b_t1.nii", "set/b/b_t2.nii"));
  expect(found.problem).toContain("2 cases");
  expect(found.files).toEqual([]);
});

test("files without a volume are refused, with what is taken", () => {
  expect(sortFiles(picked("s/readme.md")).problem).toContain("a DICOM folder");
});

function dicom(...path: string[]): PickedFile {
  const content = new Uint8Array(200);
  content.set(new TextEncoder().encode("DICM"), 128);
  return { file: new File([content], path.at(-1) ?? ""), folders: path.slice(0, -1) };
}

test("DICOM is known by its content, whatever the names", async () => {
  expect(await holdsDicom([...picked("s/readme.md"), dicom("s", "IM0001")])).toBe(true);
  expect(await holdsDicom(picked("s/scan.dcm"))).toBe(false);
  expect(folderName([dicom("exam", "a", "IM0001"), dicom("exam", "b", "IM0001")])).toBe("exam");
});

test("a DICOM folder is zipped with its folders, byte for byte", async () => {
  const shares: number[] = [];
  const files = [dicom("exam", "a", "IM0001"), dicom("exam", "b", "IM0001")];
  const zip = await zipped(files, "exam.zip", (share) => shares.push(share), new AbortController().signal);
  const entries = unzipSync(new Uint8Array(await zip.arrayBuffer()));
  expect(Object.keys(entries)).toEqual(["exam/a/IM0001", "exam/b/IM0001"]);
  expect(entries["exam/b/IM0001"]).toHaveLength(200);
  expect(shares).toEqual([0.5, 1]);
});

test("a zip is sent as it is", () => {
  expect(sortFiles(picked("case.zip")).archive?.name).toBe("case.zip");
});

test("a name that says two sequences is left open, with the reason", () => {
  const [, unclear] = sortFiles(picked("flair.nii", "t2_to_t1.nii")).files;
  expect(unclear).toMatchObject({ sequence: null, note: "its name matches T1 or T2" });
});

test("two files for one sequence are doubles", () => {
  expect(doubles(sortFiles(picked("a_t1c.nii.gz", "b_t1gd.nii.gz", "c_t2.nii")).files)).toEqual(["t1ce"]);
});
