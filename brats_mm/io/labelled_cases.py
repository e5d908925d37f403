"""List the cases of an evaluation with their reference label maps."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from brats_mm.data.datalist import Item, find_items, load_training_items
from brats_mm.data.label_maps import add_label_schemes
from brats_mm.domain.case import CaseFiles
from brats_mm.domain.encodable import make_encodable
from brats_mm.domain.label_scheme import LabelScheme
from brats_mm.errors import CaseError
from brats_mm.io.recognise import recognise


@dataclass(frozen=True)
class LabelledCase:
    """A case with a reference label map, before any voxel is read.

    Attributes:
        files: name and sequences of the case.
        label: reference label map.
        scheme: label scheme, if known.
    """

    files: CaseFiles
    label: Path
    scheme: LabelScheme | None = None


def list_labelled_cases(
    dataset: Path,
    *,
    dataset_dir: Path | None = None,
    section: str = "validation",
    names: Collection[str] = (),
    scheme: str | None = None,
) -> tuple[LabelledCase, ...]:
    """List the labelled cases of a folder, or of a section of a list.

    Args:
        dataset: folder with one subfolder per case, or a list: Decathlon-style JSON with items or names of case
            folders.
        dataset_dir: folder that a list's paths are relative to. Defaults to the list's folder.
        section: `training` or `validation`, for a list.
        names: only these cases.
        scheme: scheme of all label maps. None takes each item's own entry, or else detects it from names and values of
            all cases.

    Raises:
        CaseError: there is no labelled case, a named case is missing, or the label scheme cannot be detected.
        OptionError: the label scheme is unknown.
    """
    is_list = dataset.suffix == ".json"
    if is_list:
        items = load_training_items(dataset_dir or dataset.parent, dataset, section, label_scheme=scheme)
    else:
        items = add_label_schemes(find_items(dataset), scheme)
    labelled = [item for item in items if item.get("label") and (not names or item["name"] in names)]
    unknown = sorted(set(names) - {item["name"] for item in labelled})
    if unknown:
        raise CaseError(f"{dataset} has no labelled case {', '.join(unknown[:5])}. Check the names.")
    if not labelled:
        raise CaseError(
            f"No case of {dataset} has a label map, such as case-seg.nii.gz. Evaluation needs reference labels. To "
            "segment without them, use `brats-mm segment`."
        )
    return tuple(_build_labelled(item) for item in labelled)


def _build_labelled(item: Item) -> LabelledCase:
    if item.get("volumes"):
        raise CaseError(
            f"The case {item['name']} has all sequences in one file, as in the Decathlon. Evaluation needs one file "
            "per sequence. Convert the files first."
        )
    if item.get("orientation"):
        raise CaseError(
            f"The list overrides the orientation of the case {item['name']}, which evaluation does not support. "
            "Correct the headers of its files, or remove the case from the list."
        )
    scheme = item.get("label_scheme")
    files = replace(recognise(item["image"]), name=make_encodable(item["name"]))
    return LabelledCase(files, Path(item["label"]), LabelScheme(scheme) if scheme else None)
