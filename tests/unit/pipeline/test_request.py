"""One request: each option reaches it from the command line, cohort, Python and HTTP, and survives its JSON form."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from brats_mm.cli.commands import cohort, segment
from brats_mm.cli.parser import make_parser
from brats_mm.domain.modality import Modality
from brats_mm.domain.regions import LabelConvention
from brats_mm.errors import OptionError
from brats_mm.pipeline.request import FIELDS, SegmentRequest, from_json, make_request, to_json
from brats_mm_service.schemas import HTTP_OPTIONS, OptionsBody

VALUES = {
    "labels": LabelConvention.BRATS2021,
    "dicom_reference": Path("series"),
    "reference": Modality.T2,
    "grid_tolerance": 0.25,
    "brain_mask": Path("mask.nii.gz"),
    "device": "cpu",
    "bundle": Path("my_bundle"),
    "window": 96,
    "overlap": 0.25,
    "backend": "torch",
    "preset": "tta",
}
"""A value that is not the default, for options that are no switches."""

NEEDS = {"deidentify": {"dicom": True}, "rtstruct": {"dicom": True}}
"""Options that mean something only with others."""

NOT_OF_A_COHORT = {"overwrite", "dicom_reference", "brain_mask"}
"""A cohort's folder is its own, and a reference or a mask is of one case."""


def wanted(name):
    _, option = FIELDS[name]
    return {**NEEDS.get(name, {}), name: VALUES.get(name, not option.default)}


def words(name):
    """The words of the command line that ask for it."""
    result = []
    for one, value in wanted(name).items():
        _, option = FIELDS[one]
        flag = one.replace("_", "-")
        if option.offer.flags:
            result.append(f"--{value}")
        elif isinstance(value, bool):
            result.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            result += [f"--{flag}", str(getattr(value, "value", value))]
    return result


def option_of(request, name):
    section, _ = FIELDS[name]
    return getattr(getattr(request, section), name)


@pytest.mark.parametrize("name", FIELDS)
def test_python_takes_every_option(name):
    assert option_of(make_request("case", "out", **wanted(name)), name) == wanted(name)[name]
    assert option_of(SegmentRequest(), name) != wanted(name)[name]


@pytest.mark.parametrize("name", FIELDS)
def test_the_command_line_takes_every_option(name):
    options = make_parser().parse_args(["segment", "case", "-o", "out", *words(name)])
    assert segment.request_from(options) == make_request("case", "out", **wanted(name))


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - NOT_OF_A_COHORT))
def test_a_cohort_takes_every_option_that_is_not_of_one_case(name):
    options = make_parser().parse_args(["cohort", "cases", "-o", "out", *words(name)])
    assert cohort.request_from(options) == make_request(**wanted(name))


@pytest.mark.parametrize("name", sorted(NOT_OF_A_COHORT))
def test_a_cohort_refuses_the_options_of_one_case(name, capsys):
    with pytest.raises(SystemExit, match="2"):
        make_parser().parse_args(["cohort", "cases", "-o", "out", *words(name)])
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("name", FIELDS)
def test_http_takes_every_option_that_is_the_callers_and_refuses_the_operators(name):
    plain = to_json(make_request(**wanted(name)))
    body = json.dumps({one: plain[one] for one in wanted(name)})
    if FIELDS[name][1].offer.http:
        assert option_of(OptionsBody.model_validate_json(body).request(), name) == wanted(name)[name]
    else:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            OptionsBody.model_validate_json(body)


def test_http_offers_the_outputs_and_the_preprocessing_and_never_the_machine():
    assert [option.name for option in HTTP_OPTIONS] == [
        *("labels", "probabilities", "masks", "importance_maps", "leave_one_out", "preview", "report", "scene"),
        *("dicom", "rtstruct", "deidentify"),
        *("raw", "prepared", "reference", "grid_tolerance", "n4"),
        *("series", "study"),
    ]


@pytest.mark.parametrize("name", FIELDS)
def test_json_keeps_every_option(name):
    request = make_request({"t1n": "a.nii.gz", "flair": "b.nii.gz"}, "out", study="4.2", **wanted(name))
    assert from_json(json.loads(json.dumps(to_json(request)))) == request


def test_sequences_go_by_their_names_and_aliases():
    files = {Modality.T1: Path("a"), Modality.T1CE: Path("b"), Modality.T2: Path("c"), Modality.FLAIR: Path("d")}
    assert make_request(t1="a", t1ce="b", t2="c", flair="d").input == files
    assert make_request(t1n="a", t1c="b", t2w="c", t2f="d").input == files
    options = make_parser().parse_args(
        ["segment", "--t1n", "a", "--t1c", "b", "--t2w", "c", "--t2f", "d", "--output", "o"]
    )
    assert segment.request_from(options).input == files


def test_beside_a_study_sequences_name_series():
    for way in (["study"], ["-i", "study"], ["--input", "study"]):
        options = make_parser().parse_args(["segment", *way, "--t1ce", "17.4", "--study", "9", "-o", "out"])
        request = segment.request_from(options)
        assert (request.input, request.series, request.study) == (Path("study"), {Modality.T1CE: "17.4"}, "9")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labels": "brats1999"}, "The option labels is 'brats1999'. Choose one of brats2023, brats2021."),
        ({"preview": "yes"}, "The option preview is 'yes'. It must be of type bool."),
        ({"window": True}, "The option window is True. It must be of type int."),
        ({"window": 100}, "The window side is 100. It must be a multiple of 32, and at least 64."),
        ({"overlap": 1}, "The overlap is 1.0. It must be from 0 to 0.9."),
        ({"device": "tpu"}, "The device is 'tpu'. It must be auto, cpu, cuda or cuda:N."),
        ({"backend": "onnx"}, "The backend is 'onnx'. Choose one of auto, torch, openvino."),
        ({"speed": 1}, "Unknown option 'speed'."),
        ({"raw": True, "prepared": True}, "raw and prepared were both given"),
        ({"fast": True, "tta": True}, "fast and tta were both given. Give one of them."),
        ({"deidentify": True}, "Add dicom."),
        ({"rtstruct": True}, "Add dicom."),
        ({"t1": "a", "input": {"dwi": "b"}}, "Unknown sequence 'dwi'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(OptionError) as refused:
        make_request(**options)
    assert sentence in str(refused.value)


def test_images_in_memory_have_no_json_form():
    with pytest.raises(OptionError, match=r"is in memory and has no JSON form\. Give paths"):
        to_json(make_request(t1=(np.zeros((8, 8, 8)), np.eye(4))))
