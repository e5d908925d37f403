"""Corrected labels: versions, selection, held-out cases, and atomic writes."""

import json

import pytest

from brats_mm.learning.corrections import (
    CorrectedPrediction,
    Correction,
    Role,
    choose_role,
    find_next_version,
    from_json,
    select_latest,
    select_usable_cases,
    to_json,
)
from brats_mm.learning.store import DOCUMENT, CorrectionStore


def made(number, *, image="a", owner="ann", version=1, tag="final", content=None, role=Role.TRAINING, sequences=True):
    return Correction(
        id=f"id{number}",
        owner=owner,
        image=image,
        tag=tag,
        version=version,
        created=float(number),
        author="",
        content=content or image,
        role=role,
        sequences={"t1ce": "t1ce.nii.gz"} if sequences else {},
        name="label.nrrd",
        sent="label.nrrd",
    )


def test_versions_count_per_owner_image_and_tag():
    there = [made(1), made(2, version=2), made(3, owner="bob"), made(4, tag="original")]
    assert find_next_version(there, "ann", "a", "final") == 3
    assert find_next_version(there, "bob", "a", "final") == 2
    assert find_next_version(there, "ann", "a", "original") == 2
    assert find_next_version(there, "ann", "b", "final") == 1


def test_newest_version_of_each_label_is_used():
    there = [made(2, version=2), made(1), made(3, image="b")]
    assert [one.id for one in select_latest(there)] == ["id2", "id3"]


def test_labels_of_two_authors_for_same_images_are_one_case():
    there = [made(1, content="x"), made(2, owner="bob", image="mine", content="x"), made(3, image="b")]
    assert [one.id for one in select_usable_cases(there)] == ["id2", "id3"]


@pytest.mark.parametrize("unusable", [{"tag": "original"}, {"sequences": False}])
def test_unfinished_labels_and_unknown_sequences_are_not_trained_on(unusable):
    assert select_usable_cases([made(1, **unusable)]) == []


def test_every_fourth_case_is_held_out_permanently():
    there = []
    for number in range(12):
        content = f"case-{number}"
        there.append(made(number, content=content, image=content, role=choose_role(there, content)))
    held = [number for number, one in enumerate(there) if one.role is Role.HELD_OUT]
    assert held == [1, 5, 9]
    assert choose_role(there, "case-5") is Role.HELD_OUT
    assert choose_role(there, "case-4") is Role.TRAINING


def test_correction_round_trips_through_json():
    one = made(1)
    assert from_json(json.loads(json.dumps(to_json(one)))) == one
    predicted = Correction(**{**vars(one), "prediction": CorrectedPrediction("job", "m", "1.0", "ff")})
    assert from_json({**json.loads(json.dumps(to_json(predicted))), "of_a_later_version": 1}) == predicted


def test_store_keeps_every_version_and_filters_by_owner(tmp_path):
    store = CorrectionStore(tmp_path / "corrections")
    for number, owner in enumerate(("ann", "ann", "bob")):
        incoming = tmp_path / f"incoming-{number}"
        incoming.mkdir()
        (incoming / "label.nrrd").write_bytes(bytes([number]))
        store.add(
            incoming,
            lambda there, number=number, owner=owner: made(
                number, owner=owner, version=find_next_version(there, owner, "a", "final")
            ),
        )
        assert not incoming.exists()
    assert [one.version for one in store.all()] == [1, 2, 1]
    assert [one.version for one in store.list_for_image("ann", "a", "final")] == [1, 2]
    first = store.all("ann")[0]
    assert (store.folder(first) / "label.nrrd").read_bytes() == b"\0"
    assert store.count_used_bytes("ann") > store.count_used_bytes("nobody") == 0
    store.remove(first)
    assert [one.owner for one in store.all()] == ["ann", "bob"]


def test_ignores_incomplete_and_damaged_corrections(tmp_path):
    store = CorrectionStore(tmp_path)
    (tmp_path / "owner" / "half").mkdir(parents=True)
    (tmp_path / "owner" / "damaged").mkdir()
    (tmp_path / "owner" / "damaged" / DOCUMENT).write_text('{"id": "x"}', encoding="utf-8")
    assert store.all() == []
