"""Progress of a segmentation as one fraction over all stages."""

import pytest

from brats_mm.domain.progress import ProgressMeter, SegmentProgress, Stage


def told(act):
    reported = []
    act(ProgressMeter(reported.append))
    return reported


def test_prepared_input_spends_most_of_the_bar_in_the_network():
    def act(meter):
        meter.start(Stage.READING)
        meter.start(Stage.PREPROCESSING)
        meter.start(Stage.SEGMENTING)
        meter.on_window(1, 2)
        meter.on_window(2, 2)
        meter.start(Stage.WRITING)
        meter.finish()

    assert [one.fraction for one in told(act)] == pytest.approx([0, 0.1, 0.2, 0.525, 0.85, 0.85, 1])


def test_raw_scans_advance_at_each_step():
    def act(meter):
        meter.start(Stage.PREPROCESSING)
        for step in ("registering T1 to T1ce", "resampling to 1 mm", "extracting the brain", "one more"):
            meter.on_raw_step(step, planned=2)
        meter.start(Stage.SEGMENTING)

    reported = told(act)
    assert [one.fraction for one in reported] == pytest.approx([0.1, 0.1, 0.35, 0.6, 0.6, 0.6])
    assert str(reported[1]) == "registering T1 to T1ce"


def test_bar_stands_still_when_passes_are_added():
    """The cross-sequence expert announces its windows only when it knows where the tumour is."""
    reported = told(lambda meter: [meter.on_window(done, total) for done, total in ((4, 5), (5, 20), (20, 20))])
    assert [round(one.fraction, 3) for one in reported] == [0.72, 0.72, 0.85]


def test_progress_in_words():
    assert str(SegmentProgress(Stage.READING, 0.0)) == "reading"
    assert str(SegmentProgress(Stage.SEGMENTING, 0.5, done=3, total=8)) == "segmenting, part 3 of 8"
