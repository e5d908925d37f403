"""Describe this installation for `brats-mm info`. Imports nothing heavy."""

from typing import Any

from brats_mm import __version__
from brats_mm.domain.availability import SUBSETS, format_subset
from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm.domain.modality import MODALITIES
from brats_mm.domain.regions import REGIONS, SEGMENT_STYLES, Compartment, LabelConvention
from brats_mm.domain.sequence_names import list_names
from brats_mm.errors import BundleError
from brats_mm.io.bundle import Bundle, open_bundle


def describe_installation(bundle: str | None = None) -> dict[str, Any]:
    """Return version, model, sequences, regions and labels as plain values.

    Args:
        bundle: folder of the bundle to describe. None is the installed one.
    """
    return {
        "name": "brats-mm",
        "version": __version__,
        "disclaimer": NOT_FOR_DIAGNOSIS,
        "model": _describe_model(bundle),
        "sequences": {
            modality.value: {
                "name": modality.label,
                "file_name_tokens": list(list_names(modality)),
            }
            for modality in MODALITIES
        },
        "subsets": [format_subset(subset) for subset in SUBSETS],
        "regions": {region.value: region.label for region in REGIONS},
        "labels": {
            convention.value: {compartment.value: convention.value_of(compartment) for compartment in Compartment}
            for convention in LabelConvention
        },
        "segments": {
            compartment.value: {"name": style.name, "colour": list(style.colour)}
            for compartment, style in SEGMENT_STYLES.items()
        },
    }


def _describe_model(bundle: str | None) -> dict[str, Any]:
    try:
        opened: Bundle = open_bundle(bundle)
        metadata = opened.metadata()
    except BundleError as error:
        return {"error": str(error)}
    return {
        "name": metadata.get("name", opened.root.name),
        "version": metadata.get("version"),
        "folder": str(opened.root),
        "weights_sha256": opened.recorded_hash(),
        "weights_present": opened.weights.is_file(),
    }
