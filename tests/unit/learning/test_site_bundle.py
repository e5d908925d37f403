"""A site's bundle fine-tunes on its labels with MONAI's tools, alone and together with another site."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.fl.client.monai_algo import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, ModelType, WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from brats_mm.errors import BundleError, CaseError, OptionError
from brats_mm.io.bundle import Bundle, default_bundle, verify_hash
from brats_mm.learning.corrections import Role
from brats_mm.learning.fine_tune import write_version
from brats_mm.learning.plan import REPLAY
from brats_mm.learning.site_bundle import TRAINED, plan_from_corrections, write_site_bundle
from brats_mm.learning.store import LABELS, CorrectionStore
from brats_mm.learning.versions import ModelVersions
from brats_mm.networks.cross_mixture import CrossSequenceMixture
from tests.fakes.training_sites import plan_of
from tests.unit.learning.test_corrections import made


def test_site_train_json_names_cases_and_starts_from_parent_weights(tiny_bundle, tmp_path):
    folder = tmp_path / "cases"
    site = write_site_bundle(plan_of(folder, 3), folder, Bundle(tiny_bundle), tmp_path / "site", {"epochs": 7})
    assert verify_hash(site) == verify_hash(Bundle(tiny_bundle))
    train = json.loads((site.root / "configs" / "train.json").read_text())
    assert train["network_def"] == json.loads((tiny_bundle / "configs" / "inference.json").read_text())["network_def"]
    assert (train["window"], train["batch_size"], train["epochs"]) == ([80, 80, 80], 1, 7)
    cases = json.loads((site.root / "configs" / "site_cases.json").read_text())
    assert [one["name"] for one in cases["training"]] == ["one"]
    assert [one["name"] for one in cases["validation"]] == ["two"]
    assert cases["training"][0]["image"]["t1"] == str(folder / "one" / "t1.nii.gz")
    with pytest.raises(BundleError, match="already exists"):
        write_site_bundle(plan_of(tmp_path / "other", 3), folder, Bundle(tiny_bundle), tmp_path / "site")


def test_only_cross_expert_of_shipped_network_is_trained(tmp_path):
    folder = tmp_path / "cases"
    site = write_site_bundle(plan_of(folder, 3), folder, Bundle(default_bundle()), tmp_path / "site", {"device": "cpu"})
    parser = ConfigParser()
    parser.read_config(site.root / "configs" / "train.json")
    parser["bundle_root"] = str(site.root)
    network, optimizer = parser.get_parsed_content("network"), parser.get_parsed_content("optimizer")
    assert isinstance(network, CrossSequenceMixture)
    trained = {id(one) for group in optimizer.param_groups for one in group["params"]}
    assert trained == {id(one) for one in network.cross.parameters()}
    stored = torch.load(site.weights, weights_only=True)
    assert all(torch.equal(value, stored[name].float()) for name, value in network.state_dict().items())


def test_network_may_refer_to_other_entries(tiny_bundle, tmp_path):
    bundle, folder = tmp_path / "bundle", tmp_path / "cases"
    shutil.copytree(tiny_bundle, bundle)
    path = bundle / "configs" / "inference.json"
    network = json.loads(path.read_text())["network_def"]
    network["gate"]["outputs"] = "@regions"
    path.write_text(json.dumps({"network_def": network, "regions": "@channels", "channels": 3, "device": "unused"}))
    site = write_site_bundle(plan_of(folder, 3), folder, Bundle(bundle), tmp_path / "site")
    train = json.loads((site.root / "configs" / "train.json").read_text())
    assert (train["regions"], train["channels"], train["device"] != "unused") == ("@channels", 3, True)


def test_replayed_cases_are_in_training_list_and_give_half_of_the_crops(tiny_bundle, tmp_path):
    folder = tmp_path / "cases"
    plan = plan_of(folder, 3)
    replayed = [replace(plan.cases[0], name=name, use=REPLAY) for name in ("old-1", "old-2")]
    plan = replace(plan, cases=(*plan.cases, *replayed))
    site = write_site_bundle(plan, folder, Bundle(tiny_bundle), tmp_path / "site", {"check_cases": False})
    cases = json.loads((site.root / "configs" / "site_cases.json").read_text())
    assert [one["name"] for one in cases["training"]] == ["one", "old-1", "old-2"]
    workflow = ConfigWorkflow(str(site.root / "configs" / "train.json"), workflow_type="train", logging_file=False)
    workflow.initialize()
    sampler = workflow.parser.get_parsed_content("train::dataloader::sampler")
    workflow.finalize()
    assert sampler.weights.tolist() == [0.5, 0.25, 0.25]
    assert len(sampler) == 3


def test_cases_with_one_sequence_do_not_train_a_cross_sequence_expert(tmp_path):
    folder = tmp_path / "cases"
    plan = plan_of(folder, 3)
    single = replace(plan.cases[0], name="single", sequences={"t1": "one/t1.nii.gz"})
    both = replace(plan, cases=(*plan.cases, single))
    site = write_site_bundle(both, folder, Bundle(default_bundle()), tmp_path / "site")
    cases = json.loads((site.root / "configs" / "site_cases.json").read_text())
    assert [one["name"] for one in cases["training"]] == ["one"]
    with pytest.raises(CaseError, match="at least two sequences"):
        write_site_bundle(
            replace(plan, cases=(single, plan.cases[1])), folder, Bundle(default_bundle()), tmp_path / "other"
        )
    assert not (tmp_path / "other").exists()


def test_plan_of_stored_corrections_names_files_in_store(tmp_path):
    store = CorrectionStore(tmp_path / "store")
    with pytest.raises(OptionError, match="needs at least two corrected cases"):
        plan_from_corrections(store, "0.8.0+site.1", "0.8.0")
    for number, role in enumerate((Role.TRAINING, Role.HELD_OUT)):
        (tmp_path / "incoming").mkdir()
        (tmp_path / "incoming" / LABELS).write_bytes(b"label")
        store.add(tmp_path / "incoming", lambda known, n=number, r=role: made(n, image=f"i{n}", role=r))
    plan = plan_from_corrections(store, "0.8.0+site.1", "0.8.0")
    assert [case.use for case in plan.cases] == ["training", "held_out"]
    assert all((store.root / case.label).read_bytes() == b"label" for case in plan.cases)


@pytest.mark.slow
def test_monai_runs_training_and_result_becomes_a_version(sites, tiny_bundle, tmp_path):
    workflow = ConfigWorkflow(str(sites[0].root / "configs" / "train.json"), workflow_type="train", logging_file=False)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    state = torch.load(sites[0].root / TRAINED / "model.pt", weights_only=True)
    report = {"parent": "0.8.0", "cases": {"training": 1}}
    version = write_version(Bundle(tiny_bundle), tmp_path / "version", state, "0.8.0+site.1", report)
    assert verify_hash(version) != verify_hash(Bundle(tiny_bundle))
    versions = ModelVersions(tmp_path / "versions")
    versions.adopt(version.root, "0.8.0+site.1")
    versions.activate("0.8.0+site.1")
    assert versions.find_active_bundle() == tmp_path / "versions" / "0.8.0+site.1"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:executing the bundle config")
def test_averaged_weights_of_two_sites_lower_loss_of_both(sites):
    clients = [MonaiAlgo(bundle_root=str(site.root), local_epochs=1) for site in sites]
    for client, name in zip(clients, "ab", strict=True):
        client.initialize(extra={ExtraItems.CLIENT_NAME: name})
    weights = {name: value.clone() for name, value in clients[0].trainer.network.state_dict().items()}

    def losses():
        exchanged = ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS)
        return [client.evaluate(exchanged).metrics["val_loss"] for client in clients]

    before = losses()
    for _ in range(3):
        changes = []
        for client in clients:
            client.train(ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS))
            changes.append(client.get_weights().weights)
        first, second = changes
        assert any(bool((first[name] != second[name]).any()) for name in weights)
        weights = {name: value + sum(one[name] for one in changes) / len(changes) for name, value in weights.items()}
    for client in clients:
        client.finalize()
    assert all(after < first for after, first in zip(losses(), before, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:executing the bundle config")
def test_client_serves_calls_of_nvflares_executor(sites, tmp_path):
    """The calls and arguments of NVFlare's ClientAlgoExecutor, which exchanges NumPy arrays."""
    client = MonaiAlgo(
        bundle_root=sites[0].root.name,
        best_model_filepath=f"{TRAINED}/model.pt",
        final_model_filepath=f"{TRAINED}/model_last.pt",
        save_dict_key="network",
    )
    start = torch.load(sites[0].weights, weights_only=True)
    received = {name: value.float().numpy() for name, value in start.items()}
    client.initialize(
        extra={
            ExtraItems.CLIENT_NAME: "a",
            ExtraItems.APP_ROOT: str(sites[0].root.parent),
            ExtraItems.STATS_SENDER: None,
        }
    )
    assert isinstance(client.evaluate(ExchangeObject(weights=received)).metrics["val_mean_dice"], float)
    client.train(ExchangeObject(weights=received), extra={ExtraItems.ABORT: object()})
    sent = client.get_weights()
    assert sent.is_valid_weights()
    assert sent.weight_type == WeightType.WEIGHT_DIFF
    assert sent.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] > 0
    for model in (ModelType.BEST_MODEL, ModelType.FINAL_MODEL):
        submitted = client.get_weights(extra={ExtraItems.MODEL_TYPE: model}).weights
        assert submitted.keys() == received.keys()
        assert any(bool((submitted[name].float().cpu() != start[name].float()).any()) for name in start)
    client.abort(object())
    client.finalize(object())
