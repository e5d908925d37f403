"""The command line: messages, files and exit codes."""

import json
import re
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from brats_mm.cli.main import main


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def quick(tiny_bundle):
    return ("--bundle", tiny_bundle, "--device", "cpu", "--window", "64", "--no-preview")


def test_segment_prints_found_missing_and_ignored(capsys, head_folder, tmp_path, quick):
    (head_folder / "BraTS-GLI-00000-000-t1n.nii.gz").unlink()
    (head_folder / "notes.txt").write_text("hello")
    code, out, err = run(capsys, "segment", head_folder, "-o", tmp_path / "out", *quick)
    assert code == 0
    assert "found    T1ce" in out
    assert "missing  T1" in out
    assert "ignored  notes.txt" in out
    assert "Segmented without T1." in err
    assert "not for diagnosis" in out
    assert (tmp_path / "out" / "segmentation.nii.gz").is_file()


def test_json_output_is_one_document(capsys, head_folder, tmp_path, quick):
    code, out, _ = run(capsys, "segment", head_folder, "-o", tmp_path / "out", "--json", *quick)
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "out" / "report.json").read_text())


def test_quiet_prints_nothing(capsys, head_folder, tmp_path, quick, monkeypatch):
    """Without warnings, nothing is printed. The synthetic head is too small for a brain."""
    monkeypatch.setattr("brats_mm.trust.input_checks.check.find_input_warnings", lambda volumes: ())
    code, out, err = run(capsys, "segment", head_folder, "-o", tmp_path / "out", "--quiet", *quick)
    assert (code, out, err) == (0, "", "")


def test_progress_is_plain_lines_without_terminal(capsys, head_folder, tmp_path, quick):
    _, _, err = run(capsys, "segment", head_folder, "-o", tmp_path / "out", *quick)
    lines = [line for line in err.splitlines() if " %: " in line]
    shares = [int(line.partition(" %: ")[0]) for line in lines]
    assert shares == sorted(shares)
    assert (lines[0], lines[-1]) == ("0 %: reading", "85 %: writing")
    assert any(re.fullmatch(r"\d+ %: segmenting, part \d+ of \d+", line) for line in lines)
    assert "\r" not in err


def faults(folder, tmp_path):
    """Return invalid inputs: arguments, and a part of the expected message."""
    t1c, t2f = folder / "BraTS-GLI-00000-000-t1c.nii.gz", folder / "BraTS-GLI-00000-000-t2f.nii.gz"
    image = nib.load(t1c)
    data = np.asarray(image.dataobj)

    def save(name, array, affine=None):
        path = tmp_path / name
        nib.save(nib.Nifti1Image(array, image.affine if affine is None else affine), path)
        return path

    def text(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    nan = data.astype(np.float32)
    nan[30, 30, 30] = np.nan
    singular = save("singular_t1c.nii", data)
    raw = bytearray(singular.read_bytes())
    raw[280:328] = bytes(48)  # three rows of the sform
    huge = bytearray(singular.read_bytes())
    huge[40:48] = np.array([3, 32000, 32000, 32000], "<i2").tobytes()
    moved = image.affine.copy()
    moved[0, 3] += 20
    return {
        "missing file": (["--t1ce", tmp_path / "none.nii.gz"], "none.nii.gz"),
        "not NIfTI": (["--t1ce", text("text.nii.gz", b"hello, I am no image")], "text.nii.gz"),
        "truncated gzip": (["--t1ce", text("cut.nii.gz", t1c.read_bytes()[:20000])], "cut.nii.gz"),
        "4-D": (["--t1ce", save("four.nii.gz", np.stack([data] * 4, axis=-1))], "four.nii.gz"),
        "other shape": (
            [
                "--prepared",
                "--t1ce",
                t1c,
                "--flair",
                save("half.nii.gz", data[::2], image.affine @ np.diag([2, 1, 1, 1])),
            ],
            "grid",
        ),
        "other place": (["--prepared", "--t1ce", t1c, "--flair", save("moved.nii.gz", data + 1, moved)], "grid"),
        "same file": (["--t1ce", t1c, "--flair", t1c], "was given as T1ce and as FLAIR"),
        "NaN": (["--t1ce", save("nan.nii.gz", nan)], "NaN"),
        "zeros": (["--t1ce", save("zero.nii.gz", np.zeros_like(data))], "zero"),
        "constant": (["--t1ce", save("one.nii.gz", np.full_like(data, 7))], "one.nii.gz"),
        "singular affine": (["--t1ce", text("singular.nii", bytes(raw))], "singular.nii"),
        "absurd size": (["--t1ce", text("huge.nii", bytes(huge))], "huge.nii"),
        "labels": (["--t1ce", save("labels.nii.gz", (data > 100).astype(np.uint8))], "label map"),
        "two ways": ([folder, "--t1ce", t1c], "Specify either a case or single files"),
        "nothing": ([], "No input was given"),
        "no folder": ([tmp_path / "nowhere"], "nowhere"),
        "window": (["--t1ce", t1c, "--flair", t2f, "--window", "100"], "multiple of 32"),
        "overlap": (["--t1ce", t1c, "--overlap", "1"], "from 0 to 0.9"),
        "device": (["--t1ce", t1c, "--device", "tpu"], "must be auto, cpu, cuda"),
    }


FAULTS = [
    "missing file",
    "not NIfTI",
    "truncated gzip",
    "4-D",
    "other shape",
    "other place",
    "same file",
    "NaN",
    "zeros",
    "constant",
    "singular affine",
    "absurd size",
    "labels",
    "two ways",
    "nothing",
    "no folder",
    "window",
    "overlap",
    "device",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_invalid_input_gives_one_sentence_exit_code_2_and_no_files(capsys, head_folder, tmp_path, tiny_bundle, fault):
    arguments, sentence = faults(head_folder, tmp_path)[fault]
    code, _, err = run(capsys, "segment", *arguments, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert sentence in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_rejects_output_folder_that_is_a_file(capsys, head_folder, tmp_path, quick):
    (tmp_path / "file").write_text("x")
    code, _, err = run(capsys, "segment", head_folder, "-o", tmp_path / "file", *quick)
    assert code == 2
    assert "Cannot write to" in err


def test_missing_bundle_is_an_installation_error(capsys, head_folder, tmp_path):
    code, _, err = run(capsys, "segment", head_folder, "-o", tmp_path / "out", "--bundle", tmp_path / "none")
    assert code == 1
    assert "There is no bundle folder" in err


def test_doctor_ends_with_ok(capsys, tiny_bundle):
    code, out, _ = run(capsys, "doctor", "--bundle", tiny_bundle)
    assert code == 0
    assert out.splitlines()[-1] == "OK: ready to segment."


def test_doctor_reports_problems(capsys, tmp_path):
    code, out, _ = run(capsys, "doctor", "--bundle", tmp_path / "none", "--json")
    document = json.loads(out)
    assert code == 1
    assert not document["ok"]
    assert {check["name"] for check in document["checks"] if check["state"] == "failed"} == {"weights", "model"}


def test_doctor_checks_service_records(capsys, tiny_bundle, tmp_path):
    records = tmp_path / "records.sqlite3"
    records.write_bytes(b"no database" * 1000)
    code, out, _ = run(capsys, "doctor", "--bundle", tiny_bundle, "--data", tmp_path, "--json")
    document = {check["name"]: check for check in json.loads(out)["checks"]}
    assert (code, document["records"]["state"]) == (1, "failed")
    assert f"The records {records} cannot be read" in document["records"]["found"]
    assert "Landlock" in document["confinement"]["found"]


def test_info_prints_json_on_request(capsys):
    code, out, _ = run(capsys, "info", "--json")
    document = json.loads(out)
    assert code == 0
    assert len(document["subsets"]) == 15
    assert document["labels"]["brats2021"]["et"] == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("segment", "case", "-o", ""),
        ("segment", "", "-o", "out"),
        ("segment", "case", "--output="),
        ("segment", "--t1=", "-o", "out"),
        ("cohort", "", "-o", "out"),
        ("bundle", "create", "", "-o", "out"),
        ("compare", "a", " "),
    ],
)
def test_empty_arguments_are_rejected(capsys, tmp_path, monkeypatch, arguments):
    """A shell passes an unset variable as an empty argument. Results must not land in the current folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "an argument is empty" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_cohort_without_input_is_rejected(capsys, tmp_path):
    code, _, err = run(capsys, "cohort", "-o", tmp_path / "out")
    assert (code, err.startswith("error: Expected one manifest.")) == (2, True)


def test_info_about_a_missing_bundle_fails(capsys, tmp_path):
    code, out, _ = run(capsys, "info", "--bundle", tmp_path / "none")
    assert code == 1
    assert "There is no bundle folder" in out


def test_demo_rejects_dropping_all_sequences(capsys, tmp_path):
    code, _, err = run(capsys, "demo", "-o", tmp_path, "--drop", "t1", "t1ce", "t2", "flair")
    assert code == 2
    assert "Keep at least one" in err


@pytest.mark.parametrize("command", ["segment", "demo", "doctor", "info"])
def test_help_shows_example(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"brats-mm {command}" in capsys.readouterr().out.split("example")[1]


@pytest.mark.parametrize("command", ["segment", "report", "serve", "train-cross"])
def test_help_wraps_to_terminal_except_commands(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "50")
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if len(line) > 50 and not line.startswith("  ")]
    assert [line for line in lines if line.startswith(f"  brats-mm {command} ")]


def test_help_missing_input_and_info_import_nothing_heavy():
    """Neither torch nor, for help and a mistake in a path, numpy is imported."""
    code = (
        "import sys\nfrom brats_mm.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert main(['inspect', 'missing']) == main(['segment', 'missing', '-o', 'out']) == 2\n"
        "heavy = {'torch', 'monai', 'numpy', 'nibabel', 'SimpleITK', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "main(['info'])\n"
        "sys.exit(f'loaded {heavy}' if heavy or 'torch' in sys.modules else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
