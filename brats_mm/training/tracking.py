"""Log the settings and metrics of a run to MLflow, in a local folder or on a server, and draw TensorBoard curves."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.engines import Trainer
from monai.handlers import TensorBoardStatsHandler, from_engine

from brats_mm.errors import TrainingError
from brats_mm.training.distributed import is_untracked

EXPERIMENT = "brats_mm"


class MLflowRun:
    """Handler that logs settings at the start and metrics after every epoch. Attach it to a trainer after `Progress`.

    A resumed training run continues its earlier MLflow run.

    Args:
        store: a folder for `mlflow.db`, created if needed, or the address of a server or database. None logs nothing.
            In distributed training, only the first process logs.
        name: name of the run.
        settings: parameters by name.
        resume: whether to continue the last run with this name, if it exists.

    Raises:
        TrainingError: MLflow is not installed.
    """

    def __init__(self, store: str | None, *, name: str, settings: Mapping[str, Any], resume: bool = False) -> None:
        self.enabled = not is_untracked(store)
        if store is None or not self.enabled:
            return
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise TrainingError("MLflow is not installed. Run `pip install mlflow`, or omit --mlflow.") from error
        self.client = MlflowClient(tracking_uri=_make_address(store))
        self.artifacts = None if "://" in store else (Path(store).absolute() / "artifacts").as_uri()
        self.name = name
        self.settings = settings
        self.resume = resume
        self.run_id = ""

    def attach(self, engine: Any) -> None:
        """Attach to the run, its epochs and its end."""
        if not self.enabled:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.log)
        engine.add_event_handler(Events.COMPLETED, self._end)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def log(self, engine: Any) -> None:
        """Log the metrics of an engine at its epoch."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now_ms, engine.state.epoch) for key, value in engine.state.metrics.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def _start(self, engine: Any) -> None:
        from mlflow.entities import Param

        former = self._find_former()
        if former is None:
            self.run_id = self.client.create_run(self._find_experiment(), run_name=self.name).info.run_id
            known: Mapping[str, str] = {}
        else:
            self.run_id, known = former.info.run_id, former.data.params
            self.client.update_run(self.run_id, status="RUNNING")
        # MLflow does not allow changing a parameter.
        new = {key: value for key, value in self.settings.items() if key not in known}
        self.client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in new.items()])

    def _find_experiment(self) -> str:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return str(self.client.create_experiment(EXPERIMENT, artifact_location=self.artifacts))
        return str(experiment.experiment_id)

    def _find_former(self) -> Any:
        if not self.resume:
            return None
        name_filter = f"attributes.run_name = '{self.name}'"
        newest = ["attributes.start_time DESC"]
        runs = self.client.search_runs([self._find_experiment()], name_filter, order_by=newest, max_results=1)
        return next(iter(runs), None)

    def _end(self, engine: Any) -> None:
        self.client.set_terminated(self.run_id, "FINISHED")

    def _fail(self, engine: Any, error: BaseException) -> None:
        if self.run_id:
            self.client.set_terminated(self.run_id, "FAILED")
        raise error  # otherwise, ignite treats the exception as handled


class MLflowValidation:
    """Handler that logs a validator's metrics to the trainer's run.

    Args:
        run: handler of the trainer.
    """

    def __init__(self, run: MLflowRun) -> None:
        self.run = run

    def attach(self, engine: Any) -> None:
        """Log after every validation."""
        if self.run.enabled:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.run.log)


class TensorBoardCurves:
    """Handler that draws the metrics of each epoch, and a trainer's loss of each step.

    Args:
        folder: folder of the curves. None draws nothing. In distributed training, only the first process draws.
    """

    def __init__(self, folder: str | None) -> None:
        self.folder = folder

    def attach(self, engine: Any) -> None:
        """Attach to epochs, and to the steps of a trainer."""
        if is_untracked(self.folder):
            return
        if isinstance(engine, Trainer):
            loss = from_engine(["loss"], first=True)
            handler = TensorBoardStatsHandler(log_dir=self.folder, tag_name="train_loss", output_transform=loss)
        else:
            handler = TensorBoardStatsHandler(log_dir=self.folder, iteration_log=False)
        handler.attach(engine)


def _make_address(store: str) -> str:
    if "://" in store:
        return store
    folder = Path(store).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
