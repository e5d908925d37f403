"""The report page is complete, escapes every value, and makes no network requests."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest

from brats_mm.domain.availability import ALL_AVAILABLE
from brats_mm.domain.case import Case
from brats_mm.domain.input_kind import InputKind, Recognition
from brats_mm.domain.modality import Modality
from brats_mm.domain.prediction import Importance, LeftOutChange, ModelIdentity, Prediction, Run
from brats_mm.domain.preprocessing import Preparation, Step
from brats_mm.domain.regions import REGION_COLOURS, REGIONS, LabelConvention, Region
from brats_mm.domain.subset_calibration import Correction, SubsetCalibration
from brats_mm.domain.trust_profile import DiceOverCases, ExpectedDice
from brats_mm.domain.volume import Grid, Volume
from brats_mm.outputs.preview.canvas import draw_region
from brats_mm.outputs.preview.planes import Plane, locate_on_slice, slice_through
from brats_mm.outputs.report.document import build_importance, build_report
from brats_mm.outputs.report.page import format_position, render_page
from brats_mm.outputs.report.source import build_source
from brats_mm.trust.case_dice import Grade, advise_on_outline
from brats_mm.trust.fit import fit_profile
from tests.fakes.trust_records import made_records

PAIR = frozenset({Modality.T1CE, Modality.FLAIR})
NASTY = "<script>alert('x')</script>"


def prediction_of(**changes):
    """Return a prediction with voxels of 2 mm in LPS: a confident core with an uncertain lump next to it."""
    grid = Grid((24, 28, 20), np.diag([-2.0, -2.0, 2.0, 1.0]))
    likely = np.full(grid.shape, 0.01, np.float32)
    likely[6:12, 6:12, 6:12] = 0.97
    likely[12:20, 6:14, 6:14] = 0.5
    image = np.zeros(grid.shape, np.float32)
    image[2:22, 2:26, 2:18] = 100 + np.arange(20 * 24 * 16).reshape(20, 24, 16) % 97
    row = {region: DiceOverCases(0.5 + 0.1 * region.channel, 0.2) for region in REGIONS}
    weights = {m: dict.fromkeys(REGIONS, 0.5 if m in PAIR else 0.0) for m in Modality}
    made = Prediction(
        case=Case("Jane Doe", {m: Volume(image + m.channel, grid) for m in PAIR}, grid),
        probabilities={Region.WT: likely, Region.TC: likely.copy(), Region.ET: np.full(grid.shape, 0.01, np.float32)},
        importance=Importance(weights),
        model=ModelIdentity("made", "1.2.3", "ab" * 32, 1234, 2.0, ExpectedDice(10, {PAIR: row, ALL_AVAILABLE: row})),
        run=Run("cpu", "torch", (64, 64, 64), 1, {}),
        warnings=("Look & see.",),
    )
    return replace(made, **changes)


def page_of(prediction, **options):
    report = build_report(prediction, LabelConvention.BRATS2023, seconds={})
    return render_page(build_source(prediction, report, build_importance(prediction)), **options)


@pytest.fixture(scope="module")
def page():
    return page_of(prediction_of(), made_on=date(2026, 11, 21))


def test_page_describes_fitted_correction(page):
    fitted = SubsetCalibration(7, {PAIR: dict.fromkeys(REGIONS, Correction(foreground_temperature=2.5))})
    corrected = prediction_of(model=replace(prediction_of().model, calibration=fitted))

    result = build_report(corrected, LabelConvention.BRATS2023, seconds={})["model"]["correction"]
    assert result["labelled_cases"] == 7
    assert result["regions"]["et"] == {"offset": 0.0, "temperature": 1.0, "foreground_temperature": 2.5}
    assert "fitted for these sequences on 7 labelled cases" in page_of(corrected)
    assert "labelled cases" not in page.split("About this result")[1]
    assert build_report(prediction_of(), LabelConvention.BRATS2023, seconds={})["model"]["correction"] is None


class Elements(HTMLParser):
    """Tags, their attributes, and the text between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self.tags and self.tags[-1] not in ("style", "script"):
            self.words.append(data)


def words_of(page):
    return re.sub(r"\s+", " ", " ".join(Elements(page).words))


def test_used_and_missing_sequences_are_at_top(page):
    message = words_of(page)
    assert "2 of 4 sequences were missing: T1 and T2." in message
    assert "rests on T1ce and FLAIR alone" in message
    assert re.search(r"missing T2 .*used FLAIR", message)


def test_leave_one_out_changes_are_next_to_gate_weights(page):
    """Shown where they were measured, also for a model without gate weights."""
    fewer = {region: LeftOutChange(-1.25, 0.6, 0.1) for region in REGIONS}
    same = {region: LeftOutChange(0.0, 1.0, 0.0) for region in REGIONS}
    measured = Importance({}, left_out={Modality.T1CE: fewer, Modality.FLAIR: same})
    message = words_of(page_of(prediction_of(importance=measured)))
    assert re.search(r"Left out .*T1ce −1.3 mL Dice 60 % .*FLAIR 0.0 mL Dice 100 %", message)
    assert "has no gate weights." in message
    assert "Left out" not in words_of(page)


def test_volumes_have_ranges(page):
    """6 x 6 x 6 voxels of 8 mm3 are certain, 8 x 8 x 8 more are likely or possible."""
    message = words_of(page)
    assert "5.8 mL" in message
    assert "1.7 to 5.8 mL" in message


def test_uncertain_regions_have_millimetres_and_slices_counted_from_1(page):
    prediction = prediction_of()
    (area,) = build_report(prediction, LabelConvention.BRATS2023, seconds={})["uncertain_regions"]
    i, j, k = area["voxel"]
    message = words_of(page)
    assert f"axial {k + 1} of 20, coronal {j + 1} of 28, sagittal {i + 1} of 24" in message
    assert f"L {2 * i:.1f}, P {2 * j:.1f}, S {2 * k:.1f} mm" in message
    assert "Whole tumour and tumour core" in message


def test_page_has_model_card_row_model_and_warnings(page):
    message = words_of(page)
    assert "On 10 labelled cases" in message
    assert re.search(r"Tumour core 60 % ± 20 60 %", message)
    assert "made 1.2.3" in message
    assert "ab" * 32 in message
    assert "Look & see." in message


def test_disclaimer_is_at_top_and_bottom(page):
    body = page.split("<body>")[1]
    assert body.strip().startswith('<header>\n<p class="disclaimer">Research software. Not a medical device;')
    assert page.rstrip().endswith("treatment decisions.</p></footer>\n</body>\n</html>")


def test_page_has_no_scripts_or_external_links(page):
    elements = Elements(page)
    assert not {"script", "link", "iframe", "object", "embed", "form", "a"} & set(elements.tags)
    assert not [name for _, name, _ in elements.attributes if name.startswith("on")]
    sources = [value for _, name, value in elements.attributes if name in ("src", "href", "srcset")]
    assert sources
    assert all(value.startswith("data:image/jpeg;base64,") for value in sources)
    assert "url(" not in page
    assert "@import" not in page


def test_page_has_no_name_unless_given(page):
    assert "Jane" not in page
    assert "Case 7" in words_of(page_of(prediction_of(), name="Case 7"))


def test_date_is_shown_only_when_given(page):
    assert "Page made on 21 November 2026." in page
    assert "Page made on" not in page_of(prediction_of())


def test_every_value_is_escaped():
    model = ModelIdentity(NASTY, NASTY, NASTY, 1)
    page = page_of(prediction_of(model=model, warnings=(NASTY,)), name=NASTY)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


def test_without_images_outlines_are_on_plain_background_with_note():
    prediction = prediction_of()
    report = build_report(prediction, LabelConvention.BRATS2023, seconds={})
    source = replace(build_source(prediction, report, build_importance(prediction)), images={})
    page = render_page(source)
    assert "images were not available" in words_of(page)
    assert page.count("<img") == 8  # two rows of three slices, and two pictures of the uncertain region


def test_each_region_is_shown_on_its_largest_slices():
    """The core is largest on axial slice 16, the whole tumour on 5. Both are shown."""
    grid = prediction_of().case.grid
    whole = np.full(grid.shape, 0.01, np.float32)
    whole[4:20, 4:20, 4] = 0.97
    whole[6:12, 6:12, 15] = 0.97
    core = np.full(grid.shape, 0.01, np.float32)
    core[6:12, 6:12, 15] = 0.97
    prediction = prediction_of(probabilities={Region.WT: whole, Region.TC: core, Region.ET: core.copy()})
    page = page_of(prediction)
    message = words_of(page)
    assert "Whole tumour at the largest area, on FLAIR" in message
    assert "Tumour core and enhancing tumour at the largest area, on T1ce" in message
    axial = re.findall(r"<figcaption>Axial (\d+) of 20</figcaption>", page)
    assert axial == ["5", "16", "5"]


def test_empty_region_is_named_in_place_of_picture(page):
    assert "No enhancing tumour was found." in words_of(page)


def test_outlines_are_visible_on_white_and_on_their_own_colour():
    """Each outline has a dark border."""
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    colour = REGION_COLOURS[Region.ET]
    for ground in ((255, 255, 255), colour):
        picture = draw_region(np.full((200, 200, 3), ground, np.float32), mask, colour, opacity=0.0)
        across = picture[100, 30:70].mean(axis=1)
        assert across.min() < np.mean(ground) / 2


def test_case_without_tumour_and_figures_has_page():
    nothing = {region: np.full((24, 28, 20), 0.01, np.float32) for region in REGIONS}
    model = ModelIdentity("made", "0", "0" * 64, 1)
    message = words_of(page_of(prediction_of(probabilities=nothing, model=model, warnings=())))
    assert "none found" in message
    assert "no figures for these weights" in message
    assert "This does not prove that it is right." in message


def test_positions_use_notation_of_3d_slicer():
    assert format_position([12.04, -3.5, 0.0]) == "R 12.0, P 3.5, S 0.0 mm"


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PSR", "IAL"])
@pytest.mark.parametrize("plane", list(Plane))
def test_voxel_is_on_its_slice_in_every_orientation(codes, plane):
    ornt = nib.orientations.axcodes2ornt(tuple(codes))
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign
    grid = Grid((5, 6, 7), affine)
    mark = np.zeros(grid.shape, np.uint8)
    voxel = (1, 4, 2)
    mark[voxel] = 1
    cut = slice_through(grid, voxel, plane)
    assert tuple(np.argwhere(cut.extract(grid.to_ras(mark)))[0]) == locate_on_slice(grid, voxel, plane)
    assert voxel[cut.input_axis] == cut.input_index


def test_raw_case_shows_preprocessing_measurements_and_warnings():
    measured = {
        "start": "header", "rotation_deg": 9.18, "shift_mm": 2.76, "covered": 0.98, "information_before_nats": 0.3,
        "information_nats": 0.6, "peak": 0.5, "head_overlap": 0.99, "edge_agreement": 0.88, "trusted": True,
    }  # fmt: skip
    brain = {"method": "network on each sequence", "least_agreement": 0.81, "volume_ml": 1079.9}
    steps = (
        Step("register_flair", 7.4, measured),
        Step("resample", 2.0, {"spacing_mm": "1 x 1 x 1", "voxels": 1000}),
        Step("n4_t1ce", 3.0, {"field_span": 1.31}),
        Step("brain", 4.0, brain, ("The brain may not be found right <b>.",)),
    )
    raw = Preparation(
        Recognition(InputKind.RAW, ("It has a skull.",), frozenset()), Modality.T1CE, "T1ce was requested.", steps
    )
    made = prediction_of()
    page = page_of(replace(made, case=replace(made.case, preparation=raw)))
    words = words_of(page)
    assert "T1ce was requested." in words
    assert "FLAIR registered to T1ce moved by 2.8 mm, turned by 9.2°; mutual information 0.30 before, 0.60" in words
    assert "edge correlation 0.88; 98% of the head in view passed 7.4" in words
    assert "T1ce bias-corrected (N4) field spans a factor of 1.31" in words
    assert "1080 mL; network on each sequence; agreement of single sequences at least 0.81 (Dice) review" in words
    assert "Preprocessing" in words
    assert "Preprocessing" not in words_of(page_of(made))


def test_reliability_has_traffic_light_interval_and_advice():
    prediction = prediction_of()
    page = page_of(replace(prediction, model=replace(prediction.model, trust=fit_profile(made_records()))))
    lights = [value for tag, name, value in Elements(page).attributes if name == "class" and value.startswith("light ")]
    assert lights
    assert set(lights) <= {"light reliable", "light review", "light unreliable"}
    message = words_of(page)
    for grade in {light.split()[1] for light in lights}:
        advice = advise_on_outline(Grade(grade))
        assert f"{grade} {advice[0].upper()}{advice[1:]}" in message
    assert re.search(r"Of \d+ such outlines, \d+ had a Dice below 50\xa0?\s?%", message)
    assert "Reliability in this case" in message
    assert re.search(r"\d+ to \d+\xa0?\s?%", message)
    assert "Adding T" in message
    assert message.count("calibrated on only 12 labelled cases") == 1


@pytest.mark.parametrize(("high", "is_known"), [(100.0, True), (101.0, False)])
def test_volume_with_limits_a_hundredfold_apart_is_unknown(high, is_known):
    prediction = prediction_of()
    report = build_report(prediction, LabelConvention.BRATS2023, seconds={})
    report["regions"]["wt"]["volume_interval_ml"] = (1.0, high)
    for region in ("tc", "et"):
        report["regions"][region]["volume_interval_ml"] = (1.0, 2.0)
    report["trust"] |= {"nominal_coverage": 0.9}
    page = render_page(build_source(prediction, report, build_importance(prediction)))
    assert ("volume not known" in words_of(page)) is not is_known


def test_without_profile_expected_dice_is_marked_uncalibrated(page):
    assert "no trust profile" in words_of(page)
