"""A volume of a DICOM series: its slices in order, its header facts, and the sequence it was classified as."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from brats_mm.domain.volume import Grid
from brats_mm.io.dicom.classify import classify
from brats_mm.io.dicom.exclusions import describe_annotation
from brats_mm.io.dicom.facts import HeaderFacts, Physics, Verdict
from brats_mm.io.dicom.layout import Layout, name_orientation, order_slices
from brats_mm.io.dicom.slices import FileHeader, Identity, Slice
from brats_mm.io.dicom.stacks import Stack, build_stacks

SHORTEST_LABEL = 6


@dataclass(frozen=True, eq=False)
class Series:
    """One volume of a DICOM series.

    Attributes:
        identity: patient, study and series of its files.
        facts: facts from its headers.
        verdict: classification of the series.
        layout: its ordered slices with their grid.
        part: 1, 2, ... if the series holds several volumes, otherwise 0.
        label: name for options: the ending of its UID, with `#2` for the second volume.
        notes: notes on its slices.
        annotation: reason why it counts as an annotated copy, as a clause, or empty.
    """

    identity: Identity
    facts: HeaderFacts
    verdict: Verdict
    layout: Layout
    part: int = 0
    label: str = ""
    notes: tuple[str, ...] = ()
    annotation: str = ""

    @property
    def grid(self) -> Grid | None:
        """Grid of the volume, or None if the slices form no grid."""
        return self.layout.grid

    @property
    def is_complete(self) -> bool:
        """Whether the volume can be read and no slice is missing."""
        return self.is_readable and not self.layout.missing

    @property
    def is_readable(self) -> bool:
        """Whether the slices form a volume."""
        return self.grid is not None and not self.layout.fault

    @property
    def name(self) -> str:
        """Number and label, for notes. Contains no header text, which can include patient names."""
        number = "" if self.identity.series_number is None else f"{self.identity.series_number} "
        return f"series {number}(…{self.label})"

    @property
    def title(self) -> str:
        """Number, description and label, for messages to the user. These may contain header text."""
        if not self.facts.description:
            return self.name
        return self.name.replace("(…", f"{self.facts.description!r} (…", 1)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Joined pieces, duplicates, lossy compression, gaps and faults, each as a clause."""
        remarks = list(self.notes)
        if any(item.stored.is_lossy for item in self.layout.slices):
            remarks.append("its voxels had lossy compression")
        if self.layout.fault:
            remarks.append(self.layout.fault)
        elif self.layout.missing:
            numbers = ", ".join(str(index + 1) for index in self.layout.missing[:5])
            remarks.append(f"slice {numbers} of {len(self.layout.indices) + len(self.layout.missing)} is missing")
        return tuple(remarks)


def build_series(headers: Sequence[FileHeader], notes: Sequence[str] = ()) -> tuple[Series, ...]:
    """Return the volumes of one series with their verdicts. `label_series` adds labels."""
    first = headers[0]
    physics = {item.path: header.physics for header in headers for item in header.slices}
    stacks = build_stacks(item for header in headers for item in header.slices)
    result = []
    for index, stack in enumerate(stacks):
        layout = order_slices(stack.slices)
        facts = build_facts(physics[stack.slices[0].path], stack, layout)
        part = index + 1 if len(stacks) > 1 else 0
        verdict, annotation = classify(facts), describe_annotation(facts)
        remarks = (*stack.notes, *notes)
        result.append(Series(first.identity, facts, verdict, layout, part, notes=remarks, annotation=annotation))
    return tuple(result)


def build_facts(physics: Physics, stack: Stack, layout: Layout) -> HeaderFacts:
    """Return the header facts of a volume."""
    first = stack.slices[0]
    return HeaderFacts(
        **vars(physics),
        image_type=first.image_type,
        echo_ms=first.echo_ms,
        b_value=first.b_value,
        orientation=name_orientation(stack.slices),
        slices=len(stack.slices),
        repeats=stack.repeats,
        spacing_mm=_compute_spacing_mm(layout, first),
    )


def label_series(series: Sequence[Series]) -> tuple[Series, ...]:
    """Label each series with the shortest ending of its UID that no other series has."""
    endings = find_endings({item.identity.series_uid for item in series})
    return tuple(
        replace(item, label=endings[item.identity.series_uid] + (f"#{item.part}" if item.part else ""))
        for item in series
    )


def find_endings(uids: Collection[str]) -> dict[str, str]:
    """Return endings of equal length by UID: the shortest that are all different, but not too short to recognise."""
    length = SHORTEST_LABEL
    while len({uid[-length:] for uid in uids}) < len(uids) and length < max(map(len, uids)):
        length += 1
    return {uid: uid[-length:] for uid in uids}


def _compute_spacing_mm(layout: Layout, first: Slice) -> tuple[float, float, float]:
    if layout.grid is not None:
        return layout.grid.spacing_mm
    rows, columns = first.spacing_mm or (0.0, 0.0)
    return columns, rows, first.thickness_mm or 0.0
