"""`brats-mm train-cross`: a dry run on synthetic heads, resume, and the merged checkpoint."""

import json

import pytest
import torch

from brats_mm.cli.main import main
from brats_mm.domain.availability import SUBSETS, to_flags
from brats_mm.io.bundle import open_bundle
from brats_mm.networks.case_gate import CaseGate
from brats_mm.networks.cross_mixture import extend_availability
from brats_mm.networks.mixing import compute_modality_weights
from brats_mm.networks.presets import cross_sequence, simmlm
from brats_mm.packaging.method_config import adapt_template
from brats_mm.training.record import read_record
from brats_mm.training.timed.assembly import fit_case_gate

pytestmark = pytest.mark.slow


def test_case_gate_copies_values_linear_in_availability():
    gate = CaseGate()
    views = torch.tensor([to_flags(subset) for subset in SUBSETS])
    values = torch.linspace(-1, 1, 12).reshape(1, 4, 3) + 0.3 * views.float()[:, :, None]
    fit_case_gate(gate, values, torch.tensor([0.5, 0.6, 0.4]))
    with torch.no_grad():
        result = gate(torch.randn(15, 4, 16, 16, 16), views)
    assert torch.allclose(
        compute_modality_weights(result[:, :4], views), compute_modality_weights(values, views), atol=1e-4
    )


def test_joint_share_holds_in_every_subset():
    gate = CaseGate()
    views = torch.tensor([to_flags(subset) for subset in SUBSETS])
    fit_case_gate(gate, torch.zeros(15, 4, 3), torch.tensor([0.5, 0.6, 0.4]))
    available = extend_availability(views)
    with torch.no_grad():
        weights = compute_modality_weights(gate(torch.zeros(len(views), 4, 16, 16, 16), views), available)
    assert torch.allclose(weights[:, -1], torch.tensor([0.5, 0.6, 0.4]).expand(len(views), 3), atol=0.05)


def test_dry_run_packs_trains_resumes_and_merges(made_cases, tmp_path, capsys):
    experts = tmp_path / "experts.pt"
    torch.save(simmlm().state_dict(), experts)
    out = tmp_path / "out"
    command = ["train-cross", str(made_cases), "-o", str(out), "--side", "48", "--threads", "1", "--quiet"]
    command += ["--experts", str(experts)]
    assert main([*command, "--minutes", "0.02"]) == 0
    first = torch.load(out / "state.pt", weights_only=True)
    assert first["done"] >= 1
    assert main([*command, "--minutes", str(first["elapsed"] / 60 + 0.01)]) == 0
    assert torch.load(out / "state.pt", weights_only=True)["done"] > first["done"]
    capsys.readouterr()
    assert main([*command, "--minutes", "9", "--distill", "0.5"]) == 1
    assert "holds a training with other options: distill was unset and is now 0.5." in capsys.readouterr().err
    content = json.loads(made_cases.read_text())
    content["training"][0]["frequency"] = 0.5
    made_cases.write_text(json.dumps(content))
    assert main([*command, "--minutes", "9"]) == 1
    assert "other options: cases was 2 with hash" in capsys.readouterr().err
    network = cross_sequence()
    network.load_state_dict(torch.load(out / "model.pt", weights_only=True))
    trained = torch.load(out / "weights.pt", weights_only=True)
    assert torch.allclose(network.cross.stem.conv1.weight, trained["stem.conv1.weight"])


def test_earlier_result_is_continued_and_experts_are_fine_tuned(made_cases, tmp_path):
    initial, out = tmp_path / "initial.pt", tmp_path / "out"
    torch.manual_seed(0)
    before = cross_sequence()
    torch.save(before.state_dict(), initial)
    command = ["train-cross", str(made_cases), "-o", str(out), "--side", "96", "--threads", "1", "--quiet"]
    assert main([*command, "--minutes", "0.02", "--expert-minutes", "0.1", "--initial-weights", str(initial)]) == 0
    network = cross_sequence()
    network.load_state_dict(torch.load(out / "model.pt", weights_only=True))
    tuned = torch.load(out / "experts" / "weights.pt", weights_only=True)
    name = "experts.t1.unet.stem.conv1.weight"
    assert torch.equal(network.state_dict()[name], tuned[name])
    assert not torch.equal(network.state_dict()[name], before.state_dict()[name])
    views = torch.tensor([to_flags(subset) for subset in SUBSETS])
    weights = network.compute_thumbnail_weights(torch.zeros(15, 4, 16, 16, 16), views)
    expected = compute_modality_weights(tuned["gate"].expand(15, -1, -1), views)
    assert torch.allclose(weights[:, :4] / weights[:, :4].sum(dim=1, keepdim=True), expected, atol=1e-4)


def test_expert_is_split_and_trained_on(made_cases, tmp_path):
    """An earlier result has one cross-sequence expert. Its split result continues without the option."""
    initial, out, again = tmp_path / "initial.pt", tmp_path / "out", tmp_path / "again"
    torch.save(cross_sequence().state_dict(), initial)
    command = ["train-cross", str(made_cases), "--side", "48", "--threads", "1", "--quiet", "--minutes", "0.02"]
    assert main([*command, "-o", str(out), "--initial-weights", str(initial), "--split-by-t1ce"]) == 0
    network = cross_sequence(split_by_t1ce=True)
    network.load_state_dict(torch.load(out / "model.pt", weights_only=True))
    recorded = read_record(out / "model.pt")
    assert recorded is not None
    assert (recorded["settings"]["minutes"], recorded["settings"]["split_by_t1ce"]) == (0.02, True)
    adapted = adapt_template(open_bundle(), [], [out / "model.pt"])
    assert adapted.inference["network_def"]["split_by_t1ce"] is True
    assert "two cross-sequence experts" in adapted.described["description"]
    command += ["-o", str(again), "--initial-weights", str(out / "model.pt")]
    assert main(command) == 0
    network.load_state_dict(torch.load(again / "model.pt", weights_only=True))
    assert main([*command, "--pretrain-minutes", "1"]) == 2


def test_only_one_of_two_experts_is_trained(made_cases, tmp_path):
    initial, out = tmp_path / "initial.pt", tmp_path / "out"
    before = cross_sequence(split_by_t1ce=True).state_dict()
    torch.save(before, initial)
    content = json.loads(made_cases.read_text())
    content["training"][1]["frequency"] = 0
    made_cases.write_text(json.dumps(content))
    command = ["train-cross", str(made_cases), "-o", str(out), "--side", "48", "--threads", "1", "--quiet"]
    command += ["--minutes", "0.02", "--initial-weights", str(initial), "--optimizer", "muon"]
    assert main([*command, "--only", "others"]) == 0
    after = torch.load(out / "model.pt", weights_only=True)
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"others"}


@pytest.mark.parametrize("frequency", ["often", -1, True])
def test_rejects_wrong_frequency(frequency, made_cases, tmp_path, capsys):
    content = json.loads(made_cases.read_text())
    content["training"][0]["frequency"] = frequency
    made_cases.write_text(json.dumps(content))
    assert main(["train-cross", str(made_cases), "-o", str(tmp_path / "out"), "--minutes", "0.01"]) != 0
    assert "The case one has the frequency" in capsys.readouterr().err


def test_expert_starts_from_masked_reconstruction_of_all_cases(made_cases, tmp_path, capsys):
    content = json.loads(made_cases.read_text())
    second = {key: value for key, value in content["training"].pop().items() if not key.startswith("label")}
    made_cases.write_text(json.dumps({**content, "unlabelled": [second]}))
    out = tmp_path / "out"
    command = ["train-cross", str(made_cases), "-o", str(out), "--side", "48", "--threads", "1", "--quiet"]
    command += ["--pretrain-minutes", "0.02", "--pretrain-section", "unlabelled", "--distill", "0.5"]
    assert main([*command, "--minutes", "0.02"]) == 0
    assert torch.load(out / "pretraining" / "state.pt", weights_only=True)["done"] >= 1
    assert torch.load(out / "state.pt", weights_only=True)["done"] >= 1
    assert [path.parent.name for path in sorted(out.glob("*/*.npz"))] == ["packed", "unlabelled"]
    assert main([*command, "--minutes", "9", "--pretrain-minutes", "1"]) == 1
    assert "pretrain_minutes was 0.02 and is now 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--minutes", "0"), "positive"),
        (("--side", "50"), "multiple of 16"),
        (("--experts", "no.pt"), "exist"),
        (("--initial-weights", "no.pt"), "exist"),
        (("--expert-minutes", "5"), "--initial-weights or --experts"),
        (("--expert-minutes", "5", "--side", "64"), "96"),
        (("--distill", "-1"), "--distill is -1"),
        (("--pretrain-section", "testing"), "--pretrain-minutes"),
        (("--only", "others"), "--initial-weights"),
        (("--joint-shares", "0.5", "0.5", "0.5"), "--joint-shares applies"),
    ],
)
def test_rejects_wrong_options_before_reading(option, message, tmp_path, capsys):
    assert main(["train-cross", str(tmp_path / "none.json"), "-o", str(tmp_path / "out"), *option]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def made_cases(tmp_path):
    """Write a list of two small synthetic heads."""
    import nibabel as nib
    import numpy as np

    rng = np.random.default_rng(0)
    entries = []
    for name in ("one", "two"):
        folder = tmp_path / "cases" / name
        folder.mkdir(parents=True)
        brain = np.zeros((80, 48, 48), bool)
        brain[4:76, 4:44, 4:44] = True
        image = {}
        for modality in ("t1", "t1ce", "t2", "flair"):
            image[modality] = f"{name}/{name}-{modality}.nii.gz"
            data = (rng.uniform(50, 200, brain.shape) * brain).astype(np.float32)
            nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "cases" / image[modality])
        labels = np.zeros(brain.shape, np.uint8)
        labels[15:30, 15:30, 15:30] = 2
        labels[20:26, 20:26, 20:26] = 4
        nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / f"{name}-seg.nii.gz")
        entries.append(
            {"name": name, "image": image, "label": f"{name}/{name}-seg.nii.gz", "label_scheme": "brats2018"}
        )
    path = tmp_path / "cases" / "datalist.json"
    path.write_text(json.dumps({"training": entries}))
    return path
