"""Records of a site's corrected label maps, and their selection for training and evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any

FINAL = "final"
"""Tag of finished labels. Only these are used for training."""

HELD_OUT_SHARE = 0.25
"""Fraction of a site's cases on which new versions are evaluated."""


class Role(str, Enum):
    """Use of a case in training. It never changes, so no version is evaluated on a case that it was trained on."""

    TRAINING = "training"
    HELD_OUT = "held_out"


@dataclass(frozen=True)
class CorrectedPrediction:
    """The prediction that a label corrects.

    Attributes:
        job: job that computed it.
        model, version, weights_sha256: model that computed it.
    """

    job: str
    model: str
    version: str
    weights_sha256: str = ""


@dataclass(frozen=True)
class Correction:
    """A submitted label map. Times are seconds since 1970.

    Attributes:
        id: random identifier, and name of its folder.
        owner: caller who submitted it.
        image: the caller's name of the image.
        tag: `final`, or another tag of the viewer.
        version: 1 for the first label of this owner, image and tag.
        created: time of the submission.
        author: person given by the viewer, or empty.
        content: SHA-256 of the images, which identifies the case.
        role: use of the case in training.
        sequences: stored file of each sequence. Empty if the sequence of the image is unknown.
        name: name of the submitted file.
        sent: path of the submitted file.
        volumes_ml: volume of each compartment in millilitres.
        prediction: prediction that it corrects. None if there was none.
        scores: scores of the prediction against this label, by region. Empty if there is no prediction.
        info: additional information from the viewer.
    """

    id: str
    owner: str
    image: str
    tag: str
    version: int
    created: float
    author: str
    content: str
    role: Role
    sequences: Mapping[str, str]
    name: str
    sent: str
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    prediction: CorrectedPrediction | None = None
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_trainable(self) -> bool:
        """Whether it can be used for training or evaluation."""
        return self.tag == FINAL and bool(self.sequences)


def to_json(correction: Correction) -> dict[str, Any]:
    """Serialise a correction. `from_json` reads it."""
    return asdict(correction)


def from_json(document: Mapping[str, Any]) -> Correction:
    """Deserialise a correction. Ignores keys of later versions.

    Raises:
        KeyError, TypeError, ValueError: a value is missing or wrong.
    """
    names = {field.name for field in fields(Correction)}
    values = {name: value for name, value in document.items() if name in names}
    predicted = values.get("prediction")
    return Correction(
        **{
            **values,
            "role": Role(values["role"]),
            "prediction": None if predicted is None else CorrectedPrediction(**predicted),
        }
    )


def find_next_version(existing: Iterable[Correction], owner: str, image: str, tag: str) -> int:
    """Return the version of a new label of an image.

    Args:
        existing: corrections so far.
        owner: caller who submits the label.
        image: the caller's name of the image.
        tag: tag of the label.
    """
    versions = (
        correction.version
        for correction in existing
        if (correction.owner, correction.image, correction.tag) == (owner, image, tag)
    )
    return max(versions, default=0) + 1


def select_latest(corrections: Iterable[Correction]) -> list[Correction]:
    """Return the newest version of each owner, image and tag, oldest first."""
    newest: dict[tuple[str, str, str], Correction] = {}
    for correction in sorted(corrections, key=lambda correction: (correction.created, correction.version)):
        newest.pop(key := (correction.owner, correction.image, correction.tag), None)
        newest[key] = correction
    return list(newest.values())


def select_usable_cases(corrections: Iterable[Correction]) -> list[Correction]:
    """Return the newest trainable label of each case, oldest first. If two people label a case, it counts once."""
    newest: dict[str, Correction] = {}
    for correction in select_latest(corrections):
        if correction.is_trainable:
            newest.pop(correction.content, None)
            newest[correction.content] = correction
    return list(newest.values())


def choose_role(existing: Iterable[Correction], content: str, share: float = HELD_OUT_SHARE) -> Role:
    """Return the role of a case whose label is being submitted.

    A known case keeps its role. The second new case is held out, and so are later cases as needed to keep the share.

    Args:
        existing: all corrections so far.
        content: content of the case.
        share: fraction of cases to hold out.
    """
    roles = {case.content: case.role for case in existing if case.is_trainable}
    if content in roles:
        return roles[content]
    number = len(roles) + 1
    target = max(1, int(share * number + 0.5)) if number > 1 else 0
    held_out = sum(role is Role.HELD_OUT for role in roles.values())
    return Role.HELD_OUT if held_out < target else Role.TRAINING


def select_by_role(cases: Sequence[Correction], role: Role) -> list[Correction]:
    """Return the cases of one role."""
    return [case for case in cases if case.role is role]
