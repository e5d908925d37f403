"""Show, save and convert a prediction in Python.

`Prediction` is part of the domain, which uses no files or libraries. Code that creates a prediction passes `TOOLS`.
"""

import base64
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy.typing as npt

from brats_mm.domain.availability import describe
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.display import format_interval_ml, format_ml, format_percent, format_percents
from brats_mm.domain.options import OutputOptions, list_options
from brats_mm.domain.prediction import Prediction
from brats_mm.domain.regions import REGIONS, LabelConvention, Region
from brats_mm.errors import OptionError, OutputError, check_choice
from brats_mm.outputs.folder import OutputFolder
from brats_mm.outputs.nifti import build_header
from brats_mm.outputs.notebook_view import show
from brats_mm.outputs.results import list_written_names, write_results
from brats_mm.preprocessing.itk_volume import to_itk
from brats_mm.trust.assess import RegionTrust, assess

_Voxels = npt.NDArray[Any]

_CONTENTS: dict[str, Callable[[Prediction, LabelConvention], _Voxels]] = {
    "labels": lambda prediction, convention: prediction.labels(convention),
    "entropy": lambda prediction, _: prediction.combined_entropy(),
    "wt": lambda prediction, _: prediction.probabilities[Region.WT],
    "tc": lambda prediction, _: prediction.probabilities[Region.TC],
    "et": lambda prediction, _: prediction.probabilities[Region.ET],
}
"""Content that can be converted: the label map, the entropy, and the probability of each region."""


class Tools:
    """Implementation of `domain.prediction.PredictionTools`."""

    def view(self, prediction: Prediction, **options: Any) -> Any:
        """Show a prediction as a notebook widget. See `notebook_view.show`."""
        return show(prediction, **options)

    def save(self, prediction: Prediction, folder: Path | str, **options: Any) -> tuple[Path, ...]:
        """Write the results into a folder, all or none.

        Args:
            prediction: prediction to write.
            folder: output folder. Created if needed.
            options: fields of `OutputOptions` such as `labels`, `probabilities`, `report`, `scene` and `overwrite`.

        Returns:
            The written files.

        Raises:
            OptionError: an option is unknown, requests DICOM results, or needs maps that `predict` did not compute.
            OutputError: a file exists and `overwrite` is false, or the folder cannot be written.
        """
        outputs = _parse_output_options(options)
        _check_computed(prediction, outputs)
        target = Path(folder)
        present = [name for name in outputs.names(prediction.case.available) if (target / name).exists()]
        if present and not outputs.overwrite:
            raise OutputError(
                f"The folder {target} already holds {', '.join(present[:3])}{' and more' if len(present) > 3 else ''}. "
                "Choose another folder, or pass overwrite=True."
            )
        with OutputFolder(target) as out:
            report = write_results(prediction, out, outputs, seconds=prediction.run.seconds)
        return tuple(target / name for name in list_written_names(outputs, prediction, report))

    def to_nibabel(self, prediction: Prediction, content: str, labels: LabelConvention) -> nib.Nifti1Image:
        """Return a volume as a nibabel image on the grid of the input, with its sform and qform."""
        data = _select_content(prediction, content, labels)
        header = build_header(prediction.case.grid, data.dtype, content)
        return nib.Nifti1Image(data, prediction.case.grid.affine, header)

    def to_sitk(self, prediction: Prediction, content: str, labels: LabelConvention) -> Any:
        """Return a volume as a SimpleITK image, which uses LPS millimetres."""
        return to_itk(_select_content(prediction, content, labels), prediction.case.grid)

    def to_html(self, prediction: Prediction) -> str:
        """Return preview, volumes, reliability, advice and warnings as HTML, without names of the case or its files."""
        case, model = prediction.case, prediction.model
        # matplotlib takes a second to import and creates a folder in the user's home.
        from brats_mm.outputs.preview.picture import render_preview_png

        assessment = assess(prediction)
        picture = base64.b64encode(render_preview_png(prediction, assessment.warnings)).decode("ascii")
        rows = "".join(_render_row(prediction, region, assessment.regions[region]) for region in REGIONS)
        warnings = "".join(f"<li>{escape(warning)}</li>" for warning in assessment.warnings)
        parts = [
            f'<img alt="Preview of the segmentation" style="max-width:100%" src="data:image/png;base64,{picture}">',
            "<table><thead><tr><th>Region</th><th>mL</th><th>Interval, mL</th><th>Expected Dice</th>",
            f"<th>Reliability</th></tr></thead><tbody>{rows}</tbody></table>",
            f"<p><b>{escape(assessment.advice)}</b></p>" if assessment.advice else "",
            f"<p>{escape(assessment.statement)}</p>",
            f"<p>Sequences used: {describe(case.available)}. Missing: {describe(case.missing)}. ",
            f"Model {escape(model.name)} {escape(model.version)}.</p>",
            f"<ul>{warnings}</ul>" if warnings else "",
            f"<p>{escape(NOT_FOR_DIAGNOSIS)}</p>",
        ]
        return f"<div>{''.join(parts)}</div>"


TOOLS = Tools()


def _render_row(prediction: Prediction, region: Region, trust: RegionTrust) -> str:
    cells = (
        format_ml(prediction.volume_ml(region)),
        "none" if trust.volume_interval_ml is None else format_interval_ml(trust.volume_interval_ml),
        _format_dice(trust),
        "not graded" if trust.grade is None else trust.grade.value,
    )
    name = region.label.capitalize()
    return f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _format_dice(trust: RegionTrust) -> str:
    if trust.expected_dice is None:
        return "none"
    interval = "" if trust.dice_interval is None else f" ({format_percents(trust.dice_interval)})"
    return f"{format_percent(trust.expected_dice)}{interval}"


def _select_content(prediction: Prediction, content: str, labels: LabelConvention) -> _Voxels:
    check_choice("The content", content, _CONTENTS)
    return _CONTENTS[content](prediction, labels)


def _parse_output_options(options: dict[str, Any]) -> OutputOptions:
    labels = LabelConvention.parse(options.pop("labels", LabelConvention.BRATS2023))
    try:
        outputs = OutputOptions(labels=labels, **options)
    except TypeError as error:
        names = ", ".join(option.name for option in list_options(OutputOptions) if "dicom" not in option.name)
        raise OptionError(
            f"save does not accept this combination of options: {', '.join(sorted(options))}. Available options: "
            f"{names}."
        ) from error
    if outputs.wants_dicom:
        raise OptionError(
            "A prediction does not hold DICOM headers. Use brats-mm segment --dicom to write DICOM results."
        )
    return outputs


def _check_computed(prediction: Prediction, outputs: OutputOptions) -> None:
    """Reject outputs that were not computed with the prediction.

    Raises:
        OptionError: importance maps or leave-one-out changes are requested and missing.
    """
    importance = prediction.importance
    missing = {
        "importance_maps": outputs.importance_maps and importance.known and importance.maps is None,
        "leave_one_out": outputs.leave_one_out and importance.left_out is None,
    }
    for name, is_missing in missing.items():
        if is_missing:
            raise OptionError(f"This prediction was computed without {name}. Pass {name}=True to Segmenter.predict.")
