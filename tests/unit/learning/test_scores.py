"""Scores of predictions against corrected labels, with hand-checked values."""

import numpy as np

from brats_mm.domain.volume import Grid
from brats_mm.learning.scores import compute_mean_dice, compute_mean_scores, score_prediction, summarise_by_version

GRID = Grid((10, 4, 4), np.diag([1.0, 1.0, 2.0, 1.0]))


def bar(start, stop, value):
    labels = np.zeros(GRID.shape, np.uint8)
    labels[start:stop, 1, 1] = value
    return labels


def test_half_overlap_has_dice_one_half():
    """The distances of four voxels to the other bar are 0, 0, 1 and 2 mm, so their 95th percentile is 1.85 mm."""
    scores = score_prediction(bar(0, 4, 2), bar(2, 6, 2), GRID)
    assert scores["wt"] == {"dice": 0.5, "hd95_mm": 1.85, "predicted_ml": 0.008, "corrected_ml": 0.008}
    assert scores["et"] == {"dice": 1.0, "hd95_mm": 0.0, "predicted_ml": 0.0, "corrected_ml": 0.0}


def test_means_skip_undefined_scores():
    one = score_prediction(bar(0, 4, 2), bar(2, 6, 2), GRID)
    other = score_prediction(bar(2, 6, 2), bar(2, 6, 2), GRID)
    assert compute_mean_scores([one, other])["wt"]["dice"] == 0.75
    undefined = {**one, "wt": {**one["wt"], "dice": None}}
    assert compute_mean_scores([undefined, other])["wt"]["dice"] == 1.0
    assert compute_mean_dice(one) == round((0.5 + 1.0 + 1.0) / 3, 4)


def test_scores_are_summarised_by_model_version():
    one = score_prediction(bar(0, 4, 2), bar(2, 6, 2), GRID)
    other = score_prediction(bar(2, 6, 2), bar(2, 6, 2), GRID)
    first, second = summarise_by_version([("1.0", one), ("1.1", other), ("1.0", other)])
    assert (first["version"], first["cases"], first["scores"]["wt"]["dice"]) == ("1.0", 2, 0.75)
    assert (second["version"], second["cases"], second["scores"]["wt"]["dice"]) == ("1.1", 1, 1.0)
