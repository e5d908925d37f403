"""Configs of a bundle may use only known components, unless the user trusts the bundle."""

import json
import shutil
from pathlib import Path

import pytest

from brats_mm.cli.main import main
from brats_mm.errors import BundleError
from brats_mm.io.bundle import default_bundle, open_bundle
from brats_mm.io.bundle_trust import check_configs, select_known_network
from brats_mm.pipeline.network import build_network, load_network
from tests.fakes.networks import TINY_MIXTURE

MARK = "import pathlib; pathlib.Path({place!r}).touch()"


def _harmful(place: Path) -> dict[str, dict]:
    """Return inference configs that create a file if MONAI evaluates them."""
    code, conv = MARK.format(place=str(place)), {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 3}
    return {
        "system": {"network_def": {"_target_": "os.system", "command": f"touch {place}"}},
        "exec": {"network_def": {"_target_": "builtins.exec", "_args_": [code]}},
        "expression": {"network_def": f"$__import__('pathlib').Path({str(place)!r}).touch()"},
        "expression inside": {"network_def": {**conv, "kernel_size": f"$exec({code!r}) or 1"}},
        "referred": {"network_def": {**conv, "kernel_size": "@size"}, "size": f"$exec({code!r}) or 1"},
        "referred twice": {"network_def": "@one", "one": "@two", "two": {"_target_": "os.system", "command": "true"}},
        "nested": {
            "network_def": {"_target_": "torch.nn.Sequential", "x": {"_target_": "subprocess.run", "args": ["true"]}}
        },
        "in a list": {"network_def": {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.getcwd"}]}},
        "imported by a module of ours": {"network_def": {"_target_": "brats_mm.networks.presets.Path", "x": "/"}},
        "not a layer": {"network_def": {"_target_": "torch.nn.Parameter", "data": 1}},
        "function of torch": {"network_def": {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"}},
        "through a module": {"network_def": {"_target_": "brats_mm.networks.presets.torch.load", "f": "x"}},
        "reader of ours": {"network_def": {"_target_": "brats_mm.io.zip.unpack", "archive": "a", "folder": "b"}},
        "MONAI by its short name": {"network_def": {"_target_": "LoadImage"}},
        "macro": {"network_def": "%/etc/passwd"},
        "mode": {"network_def": {**conv, "kernel_size": 1, "_mode_": "debug"}},
        "requires": {"network_def": {**conv, "kernel_size": 1, "_requires_": f"$exec({code!r})"}},
        "disabled": {"network_def": {**conv, "kernel_size": 1, "_disabled_": f"$exec({code!r})"}},
        "odd reference": {"network_def": {**conv, "kernel_size": "@size + __import__('os').getpid()"}},
        "key": {"network_def": {**conv, "kernel_size": 1, f"$exec({code!r})": 1}},
    }


NAMES = list(_harmful(Path("x")))


@pytest.mark.parametrize("name", NAMES)
def test_rejects_inference_config_with_unknown_code_without_running_it(name, tiny_bundle, tmp_path):
    mark = tmp_path / "mark"
    root = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (root / "configs" / "inference.json").write_text(json.dumps(_harmful(mark)[name]))
    with pytest.raises(BundleError, match="bundle"):
        load_network(open_bundle(root))
    assert not mark.exists()


def test_message_names_unknown_component_and_remedy(tiny_bundle, tmp_path, capsys):
    root = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (root / "configs" / "inference.json").write_text('{"network_def": {"_target_": "os.system", "command": "true"}}')
    assert main(["doctor", "--bundle", str(root), "--data", str(tmp_path)]) == 1
    message = capsys.readouterr().out
    assert "os.system" in message
    assert "--trust-bundle" in message


def test_trusted_bundle_may_use_any_code(tiny_bundle, tmp_path):
    config = {"network_def": {"_target_": "collections.OrderedDict"}}
    root = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (root / "configs" / "inference.json").write_text(json.dumps(config))
    with pytest.raises(BundleError, match="is a OrderedDict, not a torch module"):  # the code was run
        load_network(open_bundle(root), trusted=True)


def test_known_networks_with_references_load_without_trust(tiny_bundle):
    config = {"network_def": "@mixture", "mixture": TINY_MIXTURE, "spacing_mm": 2, "handlers": "$not_read()"}
    network, spacing_mm = build_network(open_bundle(tiny_bundle), config)
    assert type(network).__name__ == "DMoME"
    assert spacing_mm == 2
    assert set(select_known_network(config)) == {"network_def", "mixture"}


def test_weights_without_a_recorded_hash_need_trust(tiny_bundle, tmp_path):
    root = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (root / "models" / "SHA256SUMS").unlink()
    with pytest.raises(BundleError, match=r"has no hash.*--trust-bundle"):
        load_network(open_bundle(root))
    load_network(open_bundle(root), trusted=True)


def test_shipped_configs_are_known_in_any_folder(tmp_path):
    for source in default_bundle().parent.glob("*/configs"):
        shutil.copytree(source, tmp_path / source.parent.name / "configs")
        check_configs(open_bundle(tmp_path / source.parent.name))


@pytest.mark.parametrize(
    ("file", "entry"),
    [
        ("train.json", {"device": "$__import__('os').system('true')"}),
        ("train.json", {"loss": {"_target_": "os.system", "command": "true"}}),
        ("methods/mine.json", {"imports": ["$import os; os.system('true')"]}),
        ("metadata.json", {"note": {"_target_": "os.getcwd"}}),
    ],
    ids=["expression", "target", "another file", "metadata"],
)
def test_rejects_training_configs_with_unknown_code(file, entry, tmp_path, capsys):
    root = tmp_path / "bundle"
    shutil.copytree(default_bundle() / "configs", root / "configs")
    path = root / "configs" / file
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | entry))
    assert main(["train", str(tmp_path), "-o", str(tmp_path / "out"), "--bundle", str(root), "--dry-run"]) != 0
    message = capsys.readouterr().err
    assert "--trust-bundle" in message
    assert "Traceback" not in message
