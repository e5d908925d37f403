"""Results in the panel: table, bars, uncertain regions, warnings, and colours of the overlay."""

import json
import math
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS as THEIRS
from brats_mm.outputs.scene import nodes as scene_style
from BratsMMLib.failures import Refused
from BratsMMLib.layout import BACKGROUNDS, Look, choose_background
from BratsMMLib.painting import lay_out_bars
from BratsMMLib.results import NOT_FOR_DIAGNOSIS, VOLUME_HEADS, Stepper, read_result
from BratsMMLib.sequences import Sequence

MODULE = Path(__file__).parents[2] / "apps" / "slicer" / "BratsMM"
UNCERTAIN_REGION = {
    "rank": 1,
    "region": "tc",
    "position_mm_ras": [1, 2, 3],
    "volume_ml": 2.5,
    "mean_entropy_nats": 0.66,
    "peak_entropy_nats": 0.69,
}


def write_result(folder, **report):
    """Write the two JSON files of a result."""
    region = {"volume_ml": 12.34, "volume_range_ml": [10.0, 15.0], "mean_entropy_inside_nats": 0.21}
    content = {
        "sequences_found": ["t1ce", "flair"],
        "regions": {"wt": region, "tc": region, "et": {"volume_ml": 0.0, "mean_entropy_inside_nats": None}},
        "warnings": ["Segmented without T1, T2."],
        "model": {"name": "model", "version": "1"},
    }
    weights = {one.value: {"wt": 0.25, "tc": 0.5, "et": 0.75} for one in Sequence}
    (folder / "report.json").write_text(json.dumps(content | report))
    (folder / "importance.json").write_text(json.dumps({"weights": weights}))
    return folder


def test_volumes_have_ranges_and_uncertainty(tmp_path):
    """Covers an empty region, and a report of an older version without ranges."""
    rows = read_result(write_result(tmp_path)).volumes
    assert rows[0].cells == ("Whole tumour", "12.3", "10.0 to 15.0", "0.21", "", "")
    assert rows[2].cells == ("Enhancing tumour", "0.0", "", "none found", "", "")


def test_volumes_have_expected_dice_reliability_and_interval(tmp_path):
    """They are shown if the result has them."""
    region = {
        "volume_ml": 12.34,
        "volume_range_ml": [10.0, 15.0],
        "volume_interval_ml": [8.0, 20.0],
        "mean_entropy_inside_nats": 0.21,
        "expected_dice": 0.634,
        "reliability": "review",
    }
    rows = read_result(write_result(tmp_path, regions=dict.fromkeys(("wt", "tc", "et"), region))).volumes
    assert rows[0].cells == ("Whole tumour", "12.3", "8.0 to 20.0", "0.21", "63 %", "review")
    assert len(rows[0].cells) == len(VOLUME_HEADS)


def test_advice_and_leave_one_out_changes_are_with_warnings(tmp_path):
    """They are shown if the result has them. Changes that round to nothing have no sign."""
    trust = {"advice": "Adding T2 would raise the expected Dice.", "statement": "Few cases support the intervals."}
    folder = write_result(tmp_path, trust=trust)
    importance = json.loads((folder / "importance.json").read_text())
    changes = {
        "t1ce": {"wt": {"volume_change_ml": -2.25, "dice": 0.871}, "et": {"volume_change_ml": 3.0, "dice": 0.5}},
        "flair": {"wt": {"volume_change_ml": -0.01, "dice": 1}},
    }
    (folder / "importance.json").write_text(json.dumps(importance | {"leave_one_out": {"changes": changes}}))
    assert read_result(folder).messages == (
        "Sequences used: T1ce, FLAIR. Missing: T1, T2. Model: model 1.",
        "Warning: Segmented without T1, T2.",
        "Adding T2 would raise the expected Dice.",
        "Few cases support the intervals.",
        "Without T1ce: WT -2.3 mL (Dice 87 %), ET +3.0 mL (Dice 50 %).",
        "Without FLAIR: WT 0.0 mL (Dice 100 %).",
    )


def test_missing_sequences_have_no_bar(tmp_path):
    """They are reported as missing, not with a weight of 0."""
    result = read_result(write_result(tmp_path))
    assert result.missing == (Sequence.T1, Sequence.T2)
    assert {bar.sequence for bar in result.bars if bar.share is None} == {Sequence.T1, Sequence.T2}
    assert result.summary == "Sequences used: T1ce, FLAIR. Missing: T1, T2. Model: model 1."


def test_model_without_gate_weights_has_no_bars(tmp_path):
    folder = write_result(tmp_path)
    (folder / "importance.json").write_text(json.dumps({"weights": {}}))
    assert read_result(folder).bars == ()


def test_bar_length_is_proportional_to_share(tmp_path):
    """Twice the share gives a bar of twice the length. Missing sequences are named."""
    chart = lay_out_bars(read_result(write_result(tmp_path)).bars, 360, 46)
    long = [block.width for block in chart.blocks if block.x == 64]
    assert long[1] == 2 * long[0]
    assert all(block.x + block.width <= 360 and block.y + block.height <= chart.height for block in chart.blocks)
    assert [text.text for text in chart.texts].count("missing") == 2
    assert lay_out_bars((), 360, 46).height == 0


def test_stepping_wraps_in_both_directions(tmp_path):
    """Steps begin at the first region, and going back from it leads to the last one."""
    result = read_result(
        write_result(tmp_path, uncertain_regions=[UNCERTAIN_REGION, UNCERTAIN_REGION | {"rank": 2, "region": "et"}])
    )
    steps = Stepper(result.areas)
    assert [steps.next().rank for _ in range(3)] == [1, 2, 1]
    assert steps.previous().rank == 2
    assert Stepper(result.areas).previous().rank == 2
    assert result.areas[0].label == "1: TC, 2.5 mL"
    assert "a mean entropy of 0.66 nats (maximum 0.69)" in result.areas[0].sentence


def test_report_without_uncertain_regions_is_accepted(tmp_path):
    """A report of an older version has no uncertain regions."""
    assert Stepper(read_result(write_result(tmp_path)).areas).next() is None


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_report_is_reported(tmp_path, content):
    """The message is one sentence."""
    write_result(tmp_path)
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(Refused, match="Run the case again"):
        read_result(tmp_path)


def test_module_and_scene_file_have_same_style():
    """The style is defined twice, because Slicer's Python does not have the library."""
    look = Look()
    low, high = scene_style.UNCERTAINTY_WINDOW
    assert (look.overlay.window, look.overlay.level) == (high - low, (high + low) / 2)
    assert look.overlay.name == scene_style.UNCERTAINTY_NAME
    assert look.overlay.shown_from == scene_style.UNCERTAINTY_SHOWN_FROM
    assert look.overlay.opacity == scene_style.UNCERTAINTY_OPACITY
    assert (look.overlay.legend_size, look.overlay.legend_position) == (
        scene_style.LEGEND_SIZE,
        scene_style.LEGEND_POSITION,
    )
    assert (look.segmentation.fill_opacity, look.segmentation.outline_opacity) == (
        scene_style.FILL_OPACITY,
        scene_style.OUTLINE_OPACITY,
    )
    assert {one.id: one.surface_opacity for one in look.segmentation.segments} == scene_style.SURFACE_OPACITY
    assert [one.value for one in BACKGROUNDS] == [one.value for one in scene_style.BACKGROUNDS]
    assert look.overlay.shown_to > math.log(4)
    assert NOT_FOR_DIAGNOSIS == THEIRS


def test_flair_is_background_if_available():
    """Without FLAIR, the next most informative sequence is used."""
    assert choose_background({Sequence.T1, Sequence.FLAIR}) is Sequence.FLAIR
    assert choose_background({Sequence.T1, Sequence.T1CE}) is Sequence.T1CE


def test_library_needs_only_standard_library_and_numpy():
    """The library imports no qt, slicer or vtk."""
    text = "\n".join(path.read_text("utf-8") for path in (MODULE / "BratsMMLib").glob("*.py"))
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported.isdisjoint({"qt", "ctk", "vtk", "slicer", "requests", "brats_mm"})
    assert imported <= set(sys.stdlib_module_names) | {"numpy", "BratsMMLib"}


def test_module_compiles_and_its_widgets_exist_in_panel():
    """The module is only compiled, because its imports need Slicer."""
    source = (MODULE / "BratsMM.py").read_text("utf-8")
    compile(source, "BratsMM.py", "exec")
    panel = ElementTree.parse(MODULE / "Resources" / "UI" / "BratsMM.ui").getroot()
    names = {widget.get("name") for widget in panel.iter("widget")}
    assert set(re.findall(r"self\.ui\.(\w+)", source)) <= names
    assert {f"{one.value}{what}" for one in Sequence for what in ("Selector", "Reason")} <= names


def test_cmake_installs_every_script_and_resource():
    """The CMake file lists every file of the library, and only existing files."""
    cmake = (MODULE / "CMakeLists.txt").read_text("utf-8").replace("${MODULE_NAME}", "BratsMM")
    named = set(re.findall(r"BratsMMLib/\w+\.py", cmake))
    assert named == {f"BratsMMLib/{path.name}" for path in (MODULE / "BratsMMLib").glob("*.py")}
    assert all((MODULE / name).is_file() for name in re.findall(r"Resources/\S+", cmake))


def test_index_entry_has_required_fields():
    """Schema 1.0.2 requires a category and an address. The file has the name of the project."""
    entry = json.loads((MODULE.parent / "BratsMM.json").read_text("utf-8"))
    assert "v1.0.2" in entry["$schema"]
    assert entry["category"]
    assert entry["scm_url"].startswith("https://")
    assert entry["tier"] in (1, 3, 5)
    assert "project(BratsMM)" in (MODULE.parent / "CMakeLists.txt").read_text("utf-8")
