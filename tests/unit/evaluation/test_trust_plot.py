"""The reliability plot places points by expected and true Dice and is well-formed SVG."""

from xml.etree import ElementTree

from brats_mm.domain.regions import Region
from brats_mm.evaluation.trust_plot import draw_reliability_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_points_and_means_are_at_expected_and_true_dice():
    """The first panel starts 46 pixels from the left, is 200 pixels wide, and ends 220 pixels from the top."""
    drawn = draw_reliability_svg({Region.WT: [(0.5, 0.25), (1.0, 0.0)]}, {Region.WT: [(0.25, 1.0), (0.75, 0.5)]})
    root = ElementTree.fromstring(drawn)
    paths = [element.get("d") for element in root.iter(f"{SVG}path")]
    assert "M146.0 170.0h0M246.0 220.0h0" in paths
    assert "M96.0 20.0L196.0 120.0" in paths
    circles = [(element.get("cx"), element.get("cy")) for element in root.iter(f"{SVG}circle")]
    assert circles == [("96.0", "20.0"), ("196.0", "120.0")]


def test_every_region_has_a_panel_even_without_points():
    root = ElementTree.fromstring(draw_reliability_svg({}, {}))
    arguments = [element.text for element in root.iter(f"{SVG}text")]
    assert [word for word in arguments if word in ("WT", "TC", "ET")] == ["WT", "TC", "ET"]
    assert arguments.count("expected Dice") == 3
    assert not list(root.iter(f"{SVG}circle"))
