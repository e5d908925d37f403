"""docs/training.md lists each setting with its default in the bundle's configs."""

import json
import re
from pathlib import Path

import pytest

from brats_mm.io.bundle import default_bundle

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
CONFIGS = default_bundle() / "configs"
SETTINGS = PAGE.split("\n## Settings\n")[1].split("\n## ")[0]
NOT_PLAIN = {"transplant_prob", "experts_dir"}
"""Settings whose default depends on others."""


def rows():
    """Return the names of each row of the table, and their defaults in the same order."""
    for names, default in re.findall(r"^\| (`[^|]+`) \|.*\| ([^|]+) \|$", SETTINGS, re.MULTILINE):
        keys = re.findall(r"`(\w+)`", names)
        values = [default] if len(keys) == 1 else default.split(", ")
        for key, value in zip(keys, values, strict=True):
            if key not in NOT_PLAIN:
                yield pytest.param(key, value, id=key)


def default_of(key):
    train, expert = (json.loads((CONFIGS / name).read_text()) for name in ("train.json", "pretrain_expert.json"))
    return train[key] if key in train else expert[key]


@pytest.mark.parametrize(("key", "value"), list(rows()))
def test_documented_default_matches_config(key, value):
    default = default_of(key)
    if default is None:
        assert value == "none"
    elif isinstance(default, str):
        assert value == default
    else:
        assert json.loads(value) == default


def test_expert_settings_are_documented():
    expert = json.loads((CONFIGS / "pretrain_expert.json").read_text())
    assert "({batch_size}, {epochs} and {learning_rate} for an expert)".format(**expert) in SETTINGS
