"""Accuracy by availability set and the counter-intuitive rate of classifiers."""

import math

from brats_mm.experiments.classification.subset_scores import compute_accuracies, compute_counter_intuitive_rate

FIRST, SECOND, BOTH = (True, False), (False, True), (True, True)


def test_accuracy_is_share_of_right_answers_per_subset():
    assert compute_accuracies({FIRST: [True, False, False, False], BOTH: [True, True], SECOND: []}) == {
        FIRST: 0.25,
        BOTH: 1.0,
    }


def test_rate_counts_pairs_where_larger_subset_is_wrong():
    """Of four pairs (two per sample), the two of the first sample lose the right answer of the first modality."""
    samples = [{FIRST: True, SECOND: False, BOTH: False}, {FIRST: True, SECOND: True, BOTH: True}]
    assert compute_counter_intuitive_rate(samples) == 1 / 4


def test_subsets_that_are_not_nested_are_no_pair():
    assert math.isnan(compute_counter_intuitive_rate([{FIRST: True, SECOND: False}]))


def test_pairs_may_differ_by_more_than_one_modality():
    """(1,0,0) < (1,1,1) is a pair as well."""
    assert compute_counter_intuitive_rate([{(True, False, False): True, (True, True, True): False}]) == 1.0
