"""A request for a segmentation, and its JSON form. Command line, Python, cohort and HTTP all build this class."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from brats_mm.domain.modality import Modality
from brats_mm.domain.name_words import WEIGHTING
from brats_mm.domain.options import (
    BidsFilter,
    ModelOptions,
    Offer,
    Option,
    OutputOptions,
    PreprocessingOptions,
    list_options,
    option,
)
from brats_mm.domain.sequence_names import parse_modality
from brats_mm.errors import OptionError

if TYPE_CHECKING:
    from brats_mm.pipeline.load import CaseSource

__all__ = [
    "FIELDS",
    "SECTIONS",
    "BidsFilter",
    "ModelOptions",
    "OutputOptions",
    "PreprocessingOptions",
    "SegmentRequest",
    "from_json",
    "make_request",
    "to_json",
]

SECTIONS: Mapping[str, type] = {
    "outputs": OutputOptions,
    "preprocessing": PreprocessingOptions,
    "bids": BidsFilter,
    "model": ModelOptions,
}
"""Field of `SegmentRequest` -> the class of its options."""

_Options = TypeVar("_Options")


@dataclass(frozen=True)
class SegmentRequest:
    """Request for a segmentation: input, output and options.

    Attributes:
        input: folder, zip or DICOM study of one case, a mapping from sequence to file or image, or a loaded case. None
            in a template that a batch completes.
        output: folder for the results. None writes no files.
        series: series by sequence for a DICOM study, each given by its UID, the start or end of it, a label, or `none`.
        study: DICOM study to use if there are several, given by its UID or the start or end of it.
        outputs: files to write.
        preprocessing: preprocessing of the input.
        bids: selection of one session and its images, if the input is a BIDS dataset.
        model: model to run, and its settings.
    """

    input: "CaseSource | None" = None
    output: Path | None = None
    series: Mapping[Modality, str] = field(
        default_factory=dict,
        metadata={
            "offer": Offer("DICOM series by sequence, given by the end of its UID, or `none` to omit the sequence")
        },
    )
    study: str | None = option(
        None, "DICOM study to use if there are several, given by its UID or the start or end of it", metavar="UID"
    )
    outputs: OutputOptions = OutputOptions()
    preprocessing: PreprocessingOptions = PreprocessingOptions()
    bids: BidsFilter = BidsFilter()
    model: ModelOptions = ModelOptions()


FIELDS: Mapping[str, tuple[str, Option]] = {
    option.name: (section, option) for section, kind in SECTIONS.items() for option in list_options(kind)
}
"""Section and option by name, for every option of a request. Names are unique across sections."""


def make_request(input: Any = None, output: Path | str | None = None, **options: Any) -> SegmentRequest:
    """Build a request from plain arguments, named as on the command line.

    >>> make_request(t1c="a.nii.gz", flair="b.nii.gz", output="out", labels="brats2021", tta=True).model.preset
    'tta'

    Args:
        input: folder, zip or DICOM study, mapping from sequence to file or image, or loaded case.
        output: folder for the results.
        options: names of `FIELDS`, `series`, `study`, the presets `fast` and `tta`, and sequences: `t1`, `t1ce`, `t2`,
            `flair` or aliases such as `t1n`, `t1c`, `t2w`, `t2f`. A sequence is a file or image, or one of its series
            if `input` is a DICOM study.

    Raises:
        OptionError: a name is unknown, or a value has the wrong type.
    """
    images = {parse_modality(name): options.pop(name) for name in [*options] if name in WEIGHTING}
    paths = {modality: value for modality, value in images.items() if value is not None}
    presets = [flag for flag in FIELDS["preset"][1].offer.flags if options.pop(flag, False)]
    if len(presets) > 1:
        raise OptionError(f"{' and '.join(presets)} are mutually exclusive. Set at most one of them.")
    if presets:
        options["preset"] = presets[0]
    if input is not None and paths:
        options["series"] = {**options.get("series", {}), **paths}
    source = (paths or None) if input is None else input
    return replace(from_json({"output": output, **options}), input=_convert_paths(source))


def to_json(request: SegmentRequest) -> dict[str, Any]:
    """Serialise a request as plain JSON values with all options at the top level. `from_json` reads them.

    Args:
        request: request with paths as input, or a template without input.

    Raises:
        OptionError: the input is in memory and has no JSON form.
    """
    document: dict[str, Any] = {
        "input": _serialise_input(request.input),
        "output": None if request.output is None else str(request.output),
        "series": {modality.value: label for modality, label in request.series.items()},
        "study": request.study,
    }
    for section in SECTIONS:
        document |= serialise_options(getattr(request, section))
    return document


def serialise_options(options: Any) -> dict[str, Any]:
    """Return the fields of an options class as plain JSON values."""
    return {item.name: _to_plain(getattr(options, item.name)) for item in fields(options)}


def from_json(document: Mapping[str, Any], template: SegmentRequest | None = None) -> SegmentRequest:
    """Deserialise a request.

    Args:
        document: any keys that `to_json` writes.
        template: request with the values of missing keys.

    Raises:
        OptionError: a key is unknown, or a value has the wrong type.
    """
    names = {field.name for kind in SECTIONS.values() for field in fields(kind)}
    unknown = sorted(set(document) - names - {"input", "output", "series", "study"})
    if unknown:
        raise OptionError(f"Unknown option {unknown[0]!r}. Choose from {', '.join(sorted(names))}.")
    request = template or SegmentRequest()
    request = replace(
        request,
        **{
            section: deserialise_options(kind, document, getattr(request, section))
            for section, kind in SECTIONS.items()
        },
    )
    read = {"input": _deserialise_input, "output": _parse_path, "series": _parse_series, "study": _check_text}
    return replace(request, **{name: read[name](document[name]) for name in read if name in document})


def deserialise_options(
    kind: type[_Options], document: Mapping[str, Any], template: _Options | None = None
) -> _Options:
    """Deserialise one options class from a document that may contain other options too.

    Args:
        kind: class of the options, such as `OutputOptions`.
        document: values by option name. Other keys are ignored.
        template: options with the values of missing keys. Defaults to the defaults of `kind`.

    Raises:
        OptionError: a value has the wrong type.
    """
    plain: type = kind
    hints = {field.name: field.kind for field in list_options(plain)} | {"dicom_folder": str}
    names = {field.name for field in fields(kind)} & set(document)  # type: ignore[arg-type]
    values = {name: _convert_value(name, hints[name], document[name]) for name in sorted(names)}
    return replace(template or kind(), **values)  # type: ignore[type-var]


def _convert_value(name: str, kind: Any, value: Any) -> Any:
    """Convert a JSON value to the type of its field."""
    if get_origin(kind) is tuple:
        return _to_texts(name, value)
    kinds = get_args(kind) or (kind,)
    if value is None and NoneType in kinds:
        return None
    expected = next(candidate for candidate in kinds if candidate is not NoneType)
    accepted = {float: (int, float), Path: (str, Path)}.get(expected, str if issubclass(expected, Enum) else expected)
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise OptionError(f"The option {name} is {value!r}. It must be of type {expected.__name__}.")
    try:
        return expected(value)
    except ValueError as error:
        raise OptionError(
            f"The option {name} is {value!r}. Choose one of {', '.join(candidate.value for candidate in expected)}."
        ) from error


def _to_texts(name: str, value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise OptionError(f"The option {name} is {value!r}. It must be a list of strings.")
    return tuple(texts)


def _to_plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _convert_paths(source: Any) -> Any:
    """Convert text to paths and names of sequences to `Modality`. Images and cases are unchanged.

    Sequences that are None are missing.
    """
    if isinstance(source, Mapping):
        return {parse_modality(name): _convert_paths(value) for name, value in source.items() if value is not None}
    return Path(source) if isinstance(source, str) else source


def _serialise_input(source: Any) -> Any:
    if source is None or isinstance(source, str | Path):
        return None if source is None else str(source)
    if isinstance(source, Mapping) and all(isinstance(path, str | Path) for path in source.values()):
        return {_to_plain(name): str(path) for name, path in source.items()}
    raise OptionError(
        f"Input of type {type(source).__name__} is in memory and cannot be serialised. Provide paths instead."
    )


def _deserialise_input(value: Any) -> Any:
    if value is None or isinstance(value, str | Mapping):
        return _convert_paths(value)
    raise OptionError(f"The input is {value!r}. It must be a path, or an object from sequence to path.")


def _parse_path(value: Any) -> Path | None:
    return value if value is None or isinstance(value, Path) else Path(str(_check_text(value)))


def _check_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise OptionError(f"Expected a string, got {value!r}.")


def _parse_series(value: Any) -> Mapping[Modality, str]:
    if isinstance(value, Mapping) and all(isinstance(label, str) for label in value.values()):
        return {parse_modality(name): label for name, label in value.items()}
    raise OptionError(f"The option series is {value!r}. It must be an object from sequence to series.")
