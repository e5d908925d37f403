"""Impossible values of training options: one line, before any heavy library is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from brats_mm.cli.main import main
from brats_mm.cli.options.training import SettingsPrinter
from brats_mm.cli.output import Console
from brats_mm.errors import OptionError
from brats_mm.io.bundle import default_bundle
from brats_mm.training.settings import RULES, check_overrides

LISTED = ("--dataset-dir", "CASES", "--datalist", "list.json", "-o", "out")
EXPERIMENT = ("experiment", "simmlm", *LISTED)
TRAIN_CROSS = ("train-cross", "list.json", "-o", "out")
TRAIN = ("train", "CASES", "-o", "out")
CROSS_VALIDATE = ("cross-validate", "CASES", "-o", "out")
REJECTED = [
    ((*TRAIN, "--set", "epochs=0"), "epochs is 0 but must be a whole number, 1 or more."),
    ((*TRAIN, "--set", "epochs=2.5"), "epochs is 2.5 but must be a whole number"),
    ((*TRAIN, "--set", "steps_per_epoch=0"), "steps_per_epoch is 0 but must be a whole number, 1 or more, or null"),
    ((*TRAIN, "--set", "learning_rate=Infinity"), "learning_rate is inf but must be above 0"),
    ((*TRAIN, "--set", "clip_norm=NaN"), "clip_norm is nan but must be 0 or more"),
    ((*TRAIN, "--set", "seed=-1"), "seed is -1 but must be a whole number from 0 to 4294967295"),
    ((*TRAIN, "--set", "transplant_prob=2"), "transplant_prob is 2 but must be a fraction from 0 to 1"),
    ((*TRAIN, "--set", "drop_prob=1", "--config", "mmp"), "drop_prob is 1 but must be 0 to below 1"),
    ((*TRAIN, "--set", "window=[32,32,32]"), "the gate needs a side above 32"),
    ((*TRAIN, "--set", "leaning_rate=1"), "leaning_rate (did you mean learning_rate?)"),
    ((*TRAIN, "--set", "trian::dataloader::pin_memory=true"), "trian::dataloader::pin_memory"),
    ((*TRAIN, "--set", "steps::dividible::k=8"), "steps::dividible (did you mean steps::divisible?)"),
    ((*TRAIN, "--set", "train::sed::seed=8"), "train::sed (did you mean train::seed?)"),
    ((*TRAIN, "--set", "schedule=cosin"), "schedule is 'cosin' but must be one of constant, cosine, poly"),
    ((*TRAIN, "--set", "resume=ture"), "resume is 'ture' but must be true or false"),
    ((*TRAIN, "--set", 'epochs="10"'), "epochs is '10' but must be a whole number, 1 or more."),
    ((*TRAIN, "--stage", "mixture", "--modality", "t1"), "--modality chooses experts, but --stage mixture"),
    ((*TRAIN, "--set", "modality=t1"), "Use --modality instead of --set modality"),
    ((*TRAIN, "--datalist", "a.json", "--set", "datalist=b.json"), "--set datalist cannot be combined"),
    ((*TRAIN, "--fold", "0", "--set", "datalist=b.json"), "--set datalist cannot be combined"),
    ((*TRAIN, "--set", "dataset_dir=OTHER"), "Omit --set dataset_dir"),
    ((*CROSS_VALIDATE, "--set", "datalist=a.json"), "sets datalist itself"),
    ((*CROSS_VALIDATE, "--labels", "msd", "--set", "label_scheme=brats2023"), "--labels is msd, but"),
    ((*TRAIN, "--fold", "-1"), "--fold is -1. Use 0 or a positive number."),
    ((*CROSS_VALIDATE, "--folds", "1"), "--folds is 1. Use a whole number of at least 2."),
    ((*CROSS_VALIDATE, "--set", "batch_size=-2"), "batch_size is -2 but must be a whole number, 1 or more"),
    ((*EXPERIMENT, "--epochs", "0"), "--epochs is 0. Use a number of at least 1."),
    ((*EXPERIMENT, "--minutes", "nan"), "--minutes is nan. Use a positive number."),
    ((*EXPERIMENT, "--minutes", "5", "--expert-share", "1"), "--expert-share is 1. Use a number between 0 and 1."),
    ((*EXPERIMENT, "--epochs", "4", "--seeds", "1", "-4"), "--seeds is -4. Use a whole number from 0 to"),
    ((*EXPERIMENT, "--epochs", "4", "--cores", "0"), "--cores is 0. Use a positive number."),
    ((*EXPERIMENT, "--epochs", "4", "--gpus", "-1"), "--gpus is -1. Use 0 or a positive number."),
    ((*TRAIN_CROSS, "--minutes", "inf"), "--minutes is inf. Use a positive number."),
    ((*TRAIN_CROSS, "--threads", "0"), "--threads is 0. Use a number of at least 1."),
    ((*TRAIN_CROSS, "--side", "50"), "--side is 50. Use a multiple of 16, at least 48."),
    ((*TRAIN_CROSS, "--joint-shares", "0.5", "0.5", "1"), "--joint-shares is 1. Use a number between 0 and 1."),
    ((*TRAIN_CROSS, "--distill", "nan"), "--distill is nan. Use 0 or a positive number."),
    (("datalist", "CASES", "-o", "list.json", "--folds", "0"), "--folds is 0. Use a whole number of at least 2."),
]


@pytest.mark.parametrize(("command", "message"), REJECTED, ids=[" ".join(command[-2:]) for command, _ in REJECTED])
def test_impossible_value_is_one_line(
    command: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(command)) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_impossible_values_are_rejected_before_torch_is_loaded() -> None:
    script = (
        "import sys\n"
        "from brats_mm.cli.main import main\n"
        f"codes = [main(list(command)) for command, _ in {REJECTED!r}]\n"
        "print(set(codes), {'torch', 'monai', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "{2} set()\n", done.stderr


@pytest.mark.parametrize(
    "setting", [{"window": "@validation_window"}, {"epochs": "$10 * 3"}, {"train::seed::seed": 4}, {"+train::run": []}]
)
def test_references_expressions_and_nested_names_are_left_to_the_config(setting: dict[str, object]) -> None:
    check_overrides(setting, default_bundle() / "configs", gated=True)


def test_names_and_values_of_further_configs_count(tmp_path: Path) -> None:
    further = tmp_path / "mine.json"
    further.write_text('{"my_weight": 1, "epochs": 0}')
    configs = default_bundle() / "configs"
    check_overrides({"my_weight": 2, "epochs": 5}, configs, [further], gated=True)
    with pytest.raises(OptionError, match="epochs is 0 but"):
        check_overrides({"my_weight": 2}, configs, [further], gated=True)
    with pytest.raises(OptionError, match="my_weight"):
        check_overrides({"my_weight": 2}, configs, gated=True)


def test_config_that_is_no_json_object_is_named(tmp_path: Path) -> None:
    further = tmp_path / "mine.json"
    further.write_text("[1]")
    with pytest.raises(OptionError, match=r"mine\.json is not a JSON object"):
        check_overrides({}, default_bundle() / "configs", [further], gated=True)


def test_later_runs_of_a_stage_print_only_differences(capsys: pytest.CaptureFixture[str]) -> None:
    show = SettingsPrinter(Console())
    show("expert of T1", {"stage": "expert", "epochs": 500, "modality": "t1"}, {"modality": "t1"})
    show("expert of T2", {"stage": "expert", "epochs": 500, "modality": "t2"}, {"modality": "t2"})
    show("mixture", {"stage": "mixture", "epochs": 300}, {})

    assert capsys.readouterr().out.splitlines() == [
        "Settings of the expert of T1 (* differs from the bundle's train.json):",
        '    stage = "expert"',
        "    epochs = 500",
        '  * modality = "t1"',
        "Settings of the expert of T2 that differ from those of the expert of T1:",
        '  * modality = "t2"',
        "Settings of the mixture (* differs from the bundle's train.json):",
        '    stage = "mixture"',
        "    epochs = 300",
    ]
    assert show.trainings["expert of T2"]["epochs"] == 500


def test_choices_are_those_of_the_components() -> None:
    from brats_mm.data.augment import PRESETS
    from brats_mm.data.modality_sampling import PAIR_SAMPLERS
    from brats_mm.data.pair_crops import CROPS
    from brats_mm.training.precision import PRECISIONS
    from brats_mm.training.schedule import DECAYS

    choices = {
        "augmentation": PRESETS,
        "pair_sampler": PAIR_SAMPLERS,
        "crops": CROPS,
        "precision": PRECISIONS,
        "schedule": DECAYS,
    }
    for name, valid in choices.items():
        words = RULES[name].words.removeprefix("one of ").split(", ")
        assert set(words) == set(valid), name
        assert all(RULES[name].holds(value) for value in valid)


def test_parts_of_further_configs_and_referenced_parts_are_valid(tmp_path: Path) -> None:
    configs = default_bundle() / "configs"
    further = tmp_path / "mine.json"
    further.write_text('{"steps::mine": {"_target_": "Identityd", "keys": "image"}}')
    check_overrides({"steps::mine::keys": "label"}, configs, [further], gated=True)
    check_overrides({"steps::own": 1, "steps::training": "$[@steps::own]"}, configs, gated=True)
    with pytest.raises(OptionError, match="Unknown settings: steps::own"):
        check_overrides({"steps::own": 1}, configs, gated=True)
