"""Each option reaches the request from the command line, cohort, Python and HTTP, and survives its JSON form."""

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
    "participant": ("01",),
    "session": ("pre", "ses-post"),
    "run": "1",
    "acquisition": "mprage",
}
"""Non-default values of options that are not boolean."""

NEEDS = {"deidentify": {"dicom": True}, "rtstruct": {"dicom": True}}
"""Options that need other options."""

NOT_FOR_COHORTS = {"overwrite", "dicom_reference", "brain_mask"}
"""A cohort manages its folder, and a reference or mask belongs to one case."""


def with_needs(name):
    _, option = FIELDS[name]
    return {**NEEDS.get(name, {}), name: VALUES.get(name, not option.default)}


def arguments(name):
    """Return command-line arguments for the option."""
    result = []
    for one, value in with_needs(name).items():
        _, option = FIELDS[one]
        flag = one.replace("_", "-")
        if option.offer.flags:
            result.append(f"--{value}")
        elif isinstance(value, bool):
            result.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            result += [f"--{flag}", *value]
        else:
            result += [f"--{flag}", str(getattr(value, "value", value))]
    return result


def option_of(request, name):
    section, _ = FIELDS[name]
    return getattr(getattr(request, section), name)


@pytest.mark.parametrize("name", FIELDS)
def test_python_takes_every_option(name):
    assert option_of(make_request("case", "out", **with_needs(name)), name) == with_needs(name)[name]
    assert option_of(SegmentRequest(), name) != with_needs(name)[name]


@pytest.mark.parametrize("name", FIELDS)
def test_command_line_takes_every_option(name):
    options = make_parser().parse_args(["segment", "case", "-o", "out", *arguments(name)])
    assert segment.build_request(options) == make_request("case", "out", **with_needs(name))


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - NOT_FOR_COHORTS))
def test_cohort_takes_every_option_except_those_of_one_case(name):
    options = make_parser().parse_args(["cohort", "cases", "-o", "out", *arguments(name)])
    assert cohort.build_request(options) == make_request(**with_needs(name))


@pytest.mark.parametrize("name", sorted(NOT_FOR_COHORTS))
def test_cohort_rejects_options_of_one_case(name, capsys):
    with pytest.raises(SystemExit, match="2"):
        make_parser().parse_args(["cohort", "cases", "-o", "out", *arguments(name)])
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("name", FIELDS)
def test_http_takes_options_of_caller_and_rejects_options_of_operator(name):
    plain = to_json(make_request(**with_needs(name)))
    body = json.dumps({one: plain[one] for one in with_needs(name)})
    if FIELDS[name][1].offer.http:
        assert option_of(OptionsBody.model_validate_json(body).request(), name) == with_needs(name)[name]
    else:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            OptionsBody.model_validate_json(body)


def test_http_offers_output_and_preprocessing_options_only():
    assert [option.name for option in HTTP_OPTIONS] == [
        *("labels", "probabilities", "masks", "importance_maps", "leave_one_out", "preview", "report", "scene"),
        *("dicom", "rtstruct", "deidentify"),
        *("raw", "prepared", "reference", "grid_tolerance", "n4"),
        *("participant", "session", "run", "acquisition"),
        *("series", "study"),
    ]


@pytest.mark.parametrize("name", FIELDS)
def test_json_keeps_every_option(name):
    request = make_request({"t1n": "a.nii.gz", "flair": "b.nii.gz"}, "out", study="4.2", **with_needs(name))
    assert from_json(json.loads(json.dumps(to_json(request)))) == request


def test_sequences_accept_names_and_aliases():
    files = {Modality.T1: Path("a"), Modality.T1CE: Path("b"), Modality.T2: Path("c"), Modality.FLAIR: Path("d")}
    assert make_request(t1="a", t1ce="b", t2="c", flair="d").input == files
    assert make_request(t1n="a", t1c="b", t2w="c", t2f="d").input == files
    options = make_parser().parse_args(
        ["segment", "--t1n", "a", "--t1c", "b", "--t2w", "c", "--t2f", "d", "--output", "o"]
    )
    assert segment.build_request(options).input == files


def test_sequence_options_select_series_of_study():
    for way in (["study"], ["-i", "study"], ["--input", "study"]):
        options = make_parser().parse_args(["segment", *way, "--t1ce", "17.4", "--study", "9", "-o", "out"])
        request = segment.build_request(options)
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
        ({"raw": True, "prepared": True}, "raw and prepared are mutually exclusive"),
        ({"fast": True, "tta": True}, "fast and tta are mutually exclusive. Set at most one of them."),
        ({"deidentify": True}, "Add dicom, or omit deidentify"),
        ({"rtstruct": True}, "Add dicom."),
        ({"t1": "a", "input": {"dwi": "b"}}, "Unknown sequence 'dwi'"),
    ],
)
def test_invalid_requests_raise_one_sentence(options, sentence):
    with pytest.raises(OptionError) as error:
        make_request(**options)
    assert sentence in str(error.value)


def test_in_memory_images_have_no_json_form():
    with pytest.raises(OptionError, match=r"is in memory and cannot be serialised\. Provide paths"):
        to_json(make_request(t1=(np.zeros((8, 8, 8)), np.eye(4))))
