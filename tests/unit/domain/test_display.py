"""All outputs format volumes and colour entropy in the same way."""

import numpy as np
import pytest

from brats_mm.domain.display import format_interval_ml, format_ml, format_percent, format_percents, make_entropy_colours
from brats_mm.domain.regions import SEGMENT_STYLES


@pytest.mark.parametrize(
    ("volume_ml", "text"),
    [
        (0.0, "0.0"),
        (0.05, "0.1"),
        (0.25, "0.3"),
        (0.35, "0.4"),
        (0.3496, "0.4"),
        (0.349, "0.3"),
        (12.25, "12.3"),
        (1234.5, "1234.5"),
    ],
)
def test_millilitres_round_halves_up_after_rounding_to_thousandths(volume_ml, text):
    assert format_ml(volume_ml) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.285, "29 %"), (0.2849, "28 %"), (0.545, "55 %"), (1.0, "100 %")]
)
def test_percentages_round_halves_up_after_rounding_to_ten_thousandths(share, text):
    assert format_percent(share) == text


def test_intervals_name_their_unit_once_and_unknown_volumes():
    assert format_percents((0.7, 0.93)) == "70 to 93 %"
    assert format_interval_ml((0.5, 50.0)) == "0.5 to 50.0"
    assert format_interval_ml((0.5, 50.1)) == "0.5 to 50.1, not known"


def test_entropy_colours_grow_brighter_with_entropy():
    colours = make_entropy_colours()
    luminance = colours @ [0.2126, 0.7152, 0.0722]
    assert colours.shape == (256, 3)
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize("style", SEGMENT_STYLES.values(), ids=lambda style: style.name)
def test_entropy_colours_differ_from_outline_colours(style):
    """At least 100 of 442 (black to white) lie between an outline's colour and every colour of the map."""
    away = np.linalg.norm(make_entropy_colours() - np.array(style.colour), axis=1)
    assert away.min() > 100
