"""An experiment of two methods on synthetic cases: train, kill, resume, evaluate, compare."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from brats_mm.cli.main import main
from brats_mm.errors import OptionError, TrainingError
from brats_mm.experiments.comparison import training as experiment_training
from brats_mm.experiments.comparison.methods import read_methods
from brats_mm.experiments.comparison.report import write_comparison
from brats_mm.experiments.comparison.run import Data, Experiment, move_reference_first, perform_all, plan
from brats_mm.experiments.comparison.training import Budget, train_here
from brats_mm.io.bundle import open_bundle
from brats_mm.networks.single import SingleNetwork
from tests.fakes.methods import EXPERT, MODALITIES, NETWORKS, write_small_case

pytestmark = pytest.mark.slow

SETTINGS = {
    "device": "cpu",
    "batch_size": 2,
    "window": [64, 32, 32],
    "augmentation": "paper",
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases to train on, and two complete cases for the evaluation."""
    root = tmp_path_factory.mktemp("small")
    for seed, name in enumerate(("one", "two", "three", "four")):
        write_small_case(root, name, seed, MODALITIES)
    (root / "datalist.json").write_text(json.dumps({"training": ["one", "two"], "validation": ["three", "four"]}))
    return root


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment file with a mixture that needs experts, and a small version of the bundle's MMP."""
    root = tmp_path_factory.mktemp("methods")
    config = json.loads((open_bundle(None).root / "configs" / "methods" / "mmp.json").read_text())
    config["network_def"] = NETWORKS["mmp"]
    (root / "small_mmp.json").write_text(json.dumps(config))
    content = {
        "settings": SETTINGS,
        "expert_settings": {"network_def": EXPERT},
        "methods": {"mixture": {"network_def": NETWORKS["simmlm"]}, "mmp": "small_mmp.json"},
    }
    (root / "two.json").write_text(json.dumps(content))
    return root / "two.json"


def planned(cases: Path, methods: Path, folder: Path, epochs: int = 3, experts: Path | None = None) -> Experiment:
    template = open_bundle(None)
    data = Data(cases, cases / "datalist.json")
    methods_read = read_methods([str(methods)], template)
    return plan(methods_read, data, folder, template, seeds=[1], budget=Budget(epochs=epochs), experts=experts)


@pytest.fixture(scope="module")
def done(cases: Path, methods: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of an experiment, and its training runs in order."""
    folder = tmp_path_factory.mktemp("experiment") / "out"
    reported: list[str] = []

    def train(config: Path) -> None:
        reported.append(str(config.parent.relative_to(folder)))
        train_here(config)

    experiment = planned(cases, methods, folder)
    write_comparison(experiment, list(perform_all(experiment, train=train)), folder, parquet=True)
    return folder, reported


def test_experts_are_trained_before_mixture_and_mmp_needs_none(done: tuple[Path, list[str]]) -> None:
    _, reported = done
    assert [Path(one).name for one in reported[:4]] == ["t1", "t1ce", "t2", "flair"]
    assert reported[4:] == ["runs/mixture/seed_1", "runs/mmp/seed_1"]


def test_budget_is_shared_between_experts_and_mixture(done: tuple[Path, list[str]]) -> None:
    """5/8 of 3 epochs are 2 for the experts. The mixture gets the third, and MMP all three."""
    folder, reported = done
    epochs = [json.loads((folder / one / "trained.json").read_text())["epochs"] for one in reported]
    assert epochs == [2, 2, 2, 2, 1, 3]
    assert "Epoch 3 of 3" in (folder / reported[-1] / "train.log").read_text()


def test_mixture_starts_from_last_weights_of_experts(done: tuple[Path, list[str]]) -> None:
    folder, reported = done
    expert = folder / reported[0]
    last = torch.load(expert / "models" / "expert_t1_last.pt", weights_only=True)["network"]
    ready = torch.load(expert.parent / "ready" / "expert_t1.pt", weights_only=True)
    assert all(torch.equal(ready[name], value) for name, value in last.items())
    config = json.loads((folder / "runs" / "mixture" / "seed_1" / "config.json").read_text())
    assert config["experts_dir"] == str((expert.parent / "ready").resolve())


def test_bundle_holds_trained_network_and_its_description(done: tuple[Path, list[str]]) -> None:
    from brats_mm.pipeline.network import load_network

    bundle = open_bundle(done[0] / "runs" / "mmp" / "seed_1" / "bundle")
    network, identity = load_network(bundle)
    assert isinstance(network, SingleNetwork)
    assert identity.name == "MMP"
    assert "projected" in bundle.metadata()["description"]


def test_comparison_has_every_figure_of_every_method(done: tuple[Path, list[str]]) -> None:
    folder, _ = done
    with (folder / "runs.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["method"], row["region"]) for row in rows] == [
        (method, region) for method in ("mixture", "mmp") for region in ("wt", "tc", "et")
    ]
    for row in rows:
        assert 0 <= float(row["dice"]) <= 1
        assert 0 <= float(row["ece"]) <= 1
        assert float(row["training_s"]) > 0
        assert float(row["inference_s"]) > 0
        assert int(row["macs_all_four"]) > int(row["macs_one"]) > 0
    document = json.loads((folder / "experiment.json").read_text())
    assert document["failed"] == {}
    assert len(document["methods"]["mmp"]["sets"]) == 15
    assert 0 < document["tests"]["mmp"]["et"]["p_holm"] <= 1
    summary = json.loads((folder / "runs" / "mmp" / "seed_1" / "evaluation" / "summary.json").read_text())
    wt = next(row for row in rows if (row["method"], row["region"]) == ("mmp", "wt"))
    assert float(wt["dice"]) == pytest.approx(summary["means"]["raw"]["all_sets"]["wt"]["dice"], abs=1e-5)
    assert float(wt["counterintuitive"]) == pytest.approx(summary["counterintuitive"]["raw"]["wt"]["rate"], abs=1e-5)
    page = (folder / "experiment.md").read_text()
    assert "Budget: 3 epochs" in page
    assert "Start from experts trained in the experiment, which take 62.5% of the budget: mixture." in page
    assert "Start from random weights: MMP." in page
    assert "| MMP |" in page


def test_method_without_gate_has_no_gate_weights(done: tuple[Path, list[str]]) -> None:
    folders = [done[0] / "runs" / name / "seed_1" / "evaluation" for name in ("mixture", "mmp")]
    rows = [len((folder / "gate_weights.csv").read_text().splitlines()) for folder in folders]
    assert rows == [1 + 2 * 32 * 3, 1]


def test_tables_are_written_as_parquet_too(done: tuple[Path, list[str]]) -> None:
    from pyarrow.parquet import read_table

    assert read_table(done[0] / "sets.parquet").num_rows == 2 * 15 * 3


def test_second_call_trains_nothing_and_gives_same_tables(
    done: tuple[Path, list[str]], cases: Path, methods: Path, tmp_path: Path
) -> None:
    experiment = planned(cases, methods, done[0])
    before = json.loads((done[0] / "experiment.json").read_text())

    def refuse(config: Path) -> None:
        raise AssertionError(config)

    outcomes = list(perform_all(experiment, train=refuse))
    after = write_comparison(experiment, outcomes, tmp_path)
    assert [outcome.failure for outcome in outcomes] == ["", ""]
    assert json.loads((tmp_path / "experiment.json").read_text()) == before
    assert after["reference"] == "mixture"


def test_rejects_other_settings_for_existing_experiment(
    done: tuple[Path, list[str]], cases: Path, methods: Path
) -> None:
    experiment = planned(cases, methods, done[0], epochs=4)
    outcome = list(perform_all(experiment))[1]
    assert "training run with other settings" in outcome.failure


def test_killed_run_resumes_and_failed_run_does_not_stop_others(
    cases: Path, methods: Path, done: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """MMP stops after its first epoch, and the mixture fails. The next call only finishes MMP."""
    folder = tmp_path / "out"
    experiment = planned(cases, methods, folder)
    mmp = move_reference_first(experiment, "mmp").runs[0]

    def stopped(config: Path) -> None:
        if "mmp" not in str(config):
            raise TrainingError("No luck.")
        state = torch.load(done[0] / "runs/mmp/seed_1/models/model_last.pt", weights_only=True)
        schedule = {"done": 1, "seconds": 5.0}
        torch.save({**state, "epoch": 1, "lr_scheduler": schedule}, config.parent / "models" / "model_last.pt")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(perform_all(experiment, train=stopped))

    outcomes = list(
        perform_all(experiment, train=lambda config: train_here(config) if "mmp" in str(config) else stopped(config))
    )

    assert outcomes[0].failure == "No luck."
    assert outcomes[1].run == mmp
    assert outcomes[1].result["epochs"] == 3
    assert outcomes[1].result["seconds"]["training"] > 5.0
    document = write_comparison(experiment, outcomes, folder)
    assert document["failed"] == {"mixture, seed 1": "No luck."}
    assert "Failed: mixture, seed 1" in (folder / "experiment.md").read_text()


def test_command_rewrites_tables_of_finished_experiment(
    done: tuple[Path, list[str]], cases: Path, methods: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(done[0], tmp_path / "copy"))
    for name in ("experiment.md", "runs.csv"):
        (folder / name).unlink()
    for config in folder.rglob("config.json"):
        config.write_text(config.read_text().replace(str(done[0].resolve()), str(folder.resolve())))
    arguments = ["experiment", str(methods), "--dataset-dir", str(cases), "--datalist", str(cases / "datalist.json")]

    assert main([*arguments, "-o", str(folder), "--epochs", "3", "--reference", "mmp"]) == 0

    assert "Differences from MMP" in capsys.readouterr().out
    assert (folder / "runs.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing_such"], "one of the bundle.s methods: cross_sequence, early_fusion, feature_level, ladder, mmp"),
        (["mmp", "{own}"], "Several methods are named mmp"),
    ],
)
def test_rejects_invalid_methods(arguments: list[str], message: str, methods: Path) -> None:
    with pytest.raises(OptionError, match=message):
        read_methods([word.format(own=methods) for word in arguments], open_bundle(None))


def test_shipped_experiment_files_are_valid() -> None:
    template = open_bundle(None)
    assert [method.name for method in read_methods(["ladder"], template)] == [
        "simmlm",
        "no_mofe",
        "static_mean",
        "no_pretraining",
        "probability_level",
        "feature_level",
        "spatial_gate",
    ]
    both = [method.name for method in read_methods(["papers", "ladder"], template)]
    assert set(both) >= {"simmlm", "ume_mma", "momke", "mmp", "mwam", "no_mofe"}
    assert both.count("simmlm") == 1


def test_experiment_file_may_include_others(methods: Path, tmp_path: Path) -> None:
    """Settings of a file apply to the methods of included files, but settings of those files take precedence."""
    inner = {"settings": {"window": [8]}, "methods": {"mine": {"experts_dir": "none", "seed": 1}, "same": "x.json"}}
    outer = {"settings": {"window": [4], "seed": 2}, "expert_settings": {"seed": 3}, "methods": {"list": "inner.json"}}
    for name, content in (("x", {}), ("inner", inner), ("outer", outer)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    mine, same = read_methods([str(tmp_path / "outer.json")], open_bundle(None))

    assert (mine.name, mine.configs, mine.entry_names) == ("mine", (), ("experts_dir", "seed"))
    assert mine.settings == {"window": [8], "seed": 1, "experts_dir": "none"}
    assert mine.expert_settings == {"window": [8], "seed": 3}
    assert (same.name, same.configs) == ("same", ((tmp_path / "x.json").resolve(),))
    assert same.settings == {"window": [8], "seed": 2}


def test_variants_of_one_config_have_distinct_titles(cases: Path, methods: Path, tmp_path: Path) -> None:
    variants = {
        "methods": {name: {"config": str(methods.parent / "small_mmp.json"), "seed": 1} for name in ("first", "second")}
    }
    variants["methods"]["other"] = {"network_def": NETWORKS["simmlm"], "experts_dir": "none"}
    (tmp_path / "variants.json").write_text(json.dumps(variants))
    runs = planned(cases, tmp_path / "variants.json", tmp_path / "out").runs
    assert [run.title for run in runs] == ["MMP (first)", "MMP (second)", "other"]


def test_rejects_experiment_file_that_includes_itself(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps({"methods": {"other": "two.json"}}))
    (tmp_path / "two.json").write_text(json.dumps({"methods": {"other": "one.json"}}))
    with pytest.raises(OptionError, match="includes itself"):
        read_methods([str(tmp_path / "one.json")], open_bundle(None))


def test_small_experiment_has_all_methods_of_papers_and_ladder() -> None:
    template = open_bundle(None)
    small = Path(__file__).resolve().parents[2] / "benchmarks" / "small_experiment.json"
    names = [method.name for method in read_methods([str(small)], template)]
    both = [method.name for method in read_methods(["papers", "ladder"], template)]
    assert names == [*both, "no_transplants"]


def test_ladder_has_same_settings_alone_and_in_small_experiment() -> None:
    """Both files must contain the same settings, so that their runs are comparable."""
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    small, ladder = (json.loads((folder / f"{name}_experiment.json").read_text()) for name in ("small", "ladder"))
    assert {**small, "methods": None} == {**ladder, "methods": None}


@pytest.mark.parametrize("budget", [{}, {"epochs": 3, "minutes": 2}, {"epochs": 3, "expert_share": 1.0}])
def test_rejects_two_budgets(budget: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="budget"):
        Budget(**budget)


def test_minutes_are_shared_like_epochs() -> None:
    budget = Budget(minutes=80)
    assert budget.make_expert_settings() == {"minutes": 12.5}
    assert budget.make_method_settings(after_experts=True) == {"minutes": 30.0}
    assert budget.make_method_settings(after_experts=False) == {"minutes": 80}
    assert (
        experiment_training.make_run_settings(Path("x"), 1, {"minutes": 1.0}, Path("kept"))["epochs"]
        == experiment_training.NEVER
    )


def test_given_experts_are_used_and_cost_no_budget(cases: Path, methods: Path, tmp_path: Path) -> None:
    """A method with its own `experts_dir` keeps it."""
    content = json.loads(methods.read_text())
    content["methods"] = {"mixture": {"network_def": NETWORKS["simmlm"]}, "fresh": {"experts_dir": "none"}}
    content["methods"]["mmp"] = str(methods.parent / "small_mmp.json")
    (tmp_path / "three.json").write_text(json.dumps(content))
    (tmp_path / "experts").mkdir()

    result = planned(cases, tmp_path / "three.json", tmp_path / "out", experts=tmp_path / "experts")

    starts = {run.method: run.training.config["experts_dir"] for run in result.runs}
    assert starts == {
        "mixture": str(tmp_path / "experts"),
        "fresh": "none",
        "mmp": str(tmp_path / "experts"),
    }
    assert all(not run.experts and run.training.config["epochs"] == 3 for run in result.runs)
    reported = {run.method: run.starts_from for run in result.runs}
    assert reported == {
        "mixture": "given experts (experts)",
        "fresh": "random weights",
        "mmp": "given experts (experts)",
    }


def test_given_experts_must_exist(cases: Path, methods: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no experts at .*nowhere"):
        planned(cases, methods, tmp_path / "out", experts=tmp_path / "nowhere")
