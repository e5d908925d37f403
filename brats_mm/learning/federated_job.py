"""Write an NVFlare job that averages the weights that several sites fine-tune."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brats_mm.errors import BundleError, OptionError
from brats_mm.io.bundle import Bundle
from brats_mm.learning.site_bundle import TRAINED

GLOBAL_WEIGHTS = "FL_global_model.pt"
"""File in NVFlare's server app with the averaged weights of the last round, under the key `model`."""

_NVFLARE = "nvflare.app_common"
_METRIC = "val_mean_dice"


def write_nvflare_job(output: Path, sites: Mapping[str, Path], parent: Bundle, rounds: int, epochs: int = 1) -> Path:
    """Write a job that trains in rounds and evaluates the averaged weights at every site at the end.

    The sites need `monai-nvflare`, and each its own bundle of `write_site_bundle`. The server needs the parent bundle.

    Args:
        output: folder of the new job. It must not exist.
        sites: NVFlare's name of each site, and the absolute path of its bundle at that site.
        parent: bundle with the initial weights, at the server.
        rounds: number of rounds, at least 1.
        epochs: epochs that each site trains in each round, at least 1.

    Returns:
        `output`.

    Raises:
        BundleError: `output` already exists.
        OptionError: there are fewer than two sites, a path is relative, or a number is below 1.
    """
    if output.exists():
        raise BundleError(f"{output} already exists. Choose another folder.")
    if len(sites) < 2:
        raise OptionError(f"{len(sites)} sites given. Federated training needs at least 2.")
    if min(rounds, epochs) < 1:
        raise OptionError(f"rounds is {rounds} and epochs is {epochs}. Both must be at least 1.")
    for name, place in sites.items():
        if not place.is_absolute():
            raise OptionError(f"The path of site {name}, {place}, is relative. Give the absolute path at that site.")
    apps = {f"site_{number}": [name] for number, name in enumerate(sites, 1)}
    meta = {"name": "brats_mm", "min_clients": len(sites), "resource_spec": {}}
    _write(output / "meta.json", {**meta, "deploy_map": {"server": ["server"], **apps}})
    _write(
        output / "server" / "config" / "config_fed_server.json",
        _build_server_config(parent.root.resolve(), len(sites), rounds),
    )
    for app, (name,) in apps.items():
        _write(output / app / "config" / "config_fed_client.json", _build_client_config(sites[name], epochs))
    return output


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format_version": 2, **content}, indent=2) + "\n", encoding="utf-8")


def _make_part(name: str, path: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"id": name, "path": path, "args": dict(arguments or {})}


def _build_server_config(parent: Path, clients: int, rounds: int) -> dict[str, Sequence[Any]]:
    training = {
        "min_clients": clients,
        "num_rounds": rounds,
        "wait_time_after_min_received": 0,
        "aggregator_id": "aggregator",
        "persistor_id": "persistor",
        "shareable_generator_id": "generator",
    }
    weights = {
        "bundle_root": str(parent),
        "config_train_filename": "configs/inference.json",
        "source_ckpt_filename": "models/model.pt",
    }
    return {
        "workflows": [
            _make_part("training", f"{_NVFLARE}.workflows.scatter_and_gather.ScatterAndGather", training),
            _make_part(
                "evaluation",
                f"{_NVFLARE}.workflows.cross_site_model_eval.CrossSiteModelEval",
                {"model_locator_id": "locator"},
            ),
        ],
        "components": [
            _make_part("persistor", "monai_nvflare.monai_bundle_persistor.MonaiBundlePersistor", weights),
            _make_part(
                "aggregator",
                f"{_NVFLARE}.aggregators.intime_accumulate_model_aggregator.InTimeAccumulateWeightedAggregator",
                {"expected_data_kind": "WEIGHT_DIFF"},
            ),
            _make_part(
                "generator",
                f"{_NVFLARE}.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator",
            ),
            _make_part(
                "selector",
                f"{_NVFLARE}.widgets.intime_model_selector.IntimeModelSelector",
                {"key_metric": _METRIC},
            ),
            _make_part(
                "locator",
                "nvflare.app_opt.pt.file_model_locator.PTFileModelLocator",
                {"pt_persistor_id": "persistor"},
            ),
            _make_part("scores", f"{_NVFLARE}.widgets.validation_json_generator.ValidationJsonGenerator"),
        ],
    }


def _build_client_config(site: Path, epochs: int) -> dict[str, Sequence[Any]]:
    executor = {
        "path": "monai_nvflare.client_algo_executor.ClientAlgoExecutor",
        "args": {"client_algo_id": "client", "key_metric": _METRIC},
    }
    arguments = {
        "bundle_root": str(site),
        "local_epochs": epochs,
        "best_model_filepath": f"{TRAINED}/model.pt",
        "final_model_filepath": f"{TRAINED}/model_last.pt",
        "save_dict_key": "network",
    }
    return {
        "executors": [{"tasks": ["train", "validate", "submit_model"], "executor": executor}],
        "components": [_make_part("client", "monai.fl.client.monai_algo.MonaiAlgo", arguments)],
    }
