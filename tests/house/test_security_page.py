"""docs/security.md names existing tests and the limits of the settings, and covers docs/service.md."""

import re
from pathlib import Path

import pytest

from brats_mm_service.bodies import MAX_DEPTH
from brats_mm_service.monai_label.corrections import MAX_INFO_BYTES, MAX_LABELS
from brats_mm_service.settings import GIB, MIB, ConnectionLimits, QueueLimits, Retention, UploadLimits

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
SERVICE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)`", PAGE)))


def place_of(name):
    """Return the file of a test. A name without a folder is one of the service's."""
    return ROOT / name if name.startswith("tests/") else ROOT / "tests" / "service" / name


def test_every_named_test_exists():
    assert len(NAMED) > 25
    assert [name for name in NAMED if not place_of(name).is_file()] == []


def test_every_named_variable_is_read_by_its_test():
    rows = [line for line in PAGE.splitlines() if "BRATS_MM_" in line and "test_" in line]
    assert rows
    for row in rows:
        files = [
            place_of(name).read_text(encoding="utf-8") for name in re.findall(r"((?:tests/)?[\w/]*test_\w+\.py)", row)
        ]
        for variable in re.findall(r"BRATS_MM_\w+", row):
            assert any(variable in content for content in files), (variable, row)


def test_every_section_of_service_page_has_tests():
    sections = set(re.findall(r"^###? (.+)$", SERVICE, re.MULTILINE))
    table = PAGE[PAGE.index("## Guarantees of the service page") : PAGE.index("## Dependencies")]
    part_of_another = {"Assign sequences", "3D Slicer", "Stress tests"}  # of MONAI Label, and figures
    assert [name for name in sorted(sections - part_of_another) if name not in table] == []


@pytest.mark.parametrize(
    ("limit", "values"),
    [
        (
            "concurrent uploads, in total and per caller",
            (UploadLimits().at_once, UploadLimits().at_once_per_caller),
        ),
        ("event streams, in total and per caller", (QueueLimits().streams, QueueLimits().streams_per_caller)),
        ("waiting jobs, in total and per caller", (QueueLimits().queued, QueueLimits().queued_per_caller)),
        ("disk per caller", (f"{QueueLimits().kept_bytes_per_caller / GIB:g} GiB",)),
        (
            "connections with an incomplete request, in total and per address",
            (ConnectionLimits().waiting, ConnectionLimits().waiting_per_peer),
        ),
        (
            "seconds to send a request, to send a small form",
            (f"{ConnectionLimits().waiting_s:g}", f"{ConnectionLimits().body_s:g}"),
        ),
        ("labels per caller, information about each", (f"{MAX_LABELS:,}", f"{MAX_INFO_BYTES // 1024} KiB")),
        ("body other than an upload, levels of JSON", (f"{UploadLimits().text_bytes // 1024} KiB", MAX_DEPTH)),
    ],
)
def test_limits_match_settings(limit, values):
    assert f"| {limit} | {', '.join(map(str, values))} |" in PAGE


def test_times_and_sizes_match_settings():
    text = " ".join(PAGE.split())
    assert f"{UploadLimits().check_bytes // MIB} MiB and {UploadLimits().check_s:g} s" in text
    assert f"within {Retention().sweep_s:g} s after it ends" in text
