"""Accuracy by availability set and the counter-intuitive rate of classifiers."""

import math

from brats_mm.experiments.classification.subset_accuracy import accuracies, counter_intuitive_rate

FIRST, SECOND, BOTH = (True, False), (False, True), (True, True)


def test_accuracy_is_the_share_of_right_answers_under_each_set():
    assert accuracies({FIRST: [True, False, False, False], BOTH: [True, True], SECOND: []}) == {FIRST: 0.25, BOTH: 1.0}


def test_the_rate_counts_pairs_in_which_the_larger_set_lost_a_right_answer():
    """Four pairs (two a sample); in the first sample, both lost what the first modality alone had right."""
    samples = [{FIRST: True, SECOND: False, BOTH: False}, {FIRST: True, SECOND: True, BOTH: True}]
    assert counter_intuitive_rate(samples) == 1 / 4


def test_sets_that_do_not_nest_are_no_pair():
    assert math.isnan(counter_intuitive_rate([{FIRST: True, SECOND: False}]))


def test_of_three_modalities_pairs_reach_over_more_than_one():
    """(1,0,0) < (1,1,1) is a pair as well."""
    assert counter_intuitive_rate([{(True, False, False): True, (True, True, True): False}]) == 1.0
