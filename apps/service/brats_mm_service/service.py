"""Parts of a running service, created once and passed to every router."""

import fcntl
import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from brats_mm.errors import OptionError
from brats_mm.learning.store import CorrectionStore
from brats_mm.learning.versions import ModelVersions
from brats_mm_service.auth.callers import Authenticator
from brats_mm_service.auth.oidc import OidcIssuer
from brats_mm_service.auth.tokens import Tokens
from brats_mm_service.database import Database
from brats_mm_service.dicomweb.client import DicomwebClient
from brats_mm_service.dicomweb.link import DicomwebLink
from brats_mm_service.dicomweb.transfers import Transfers
from brats_mm_service.jobs.files import JobFiles
from brats_mm_service.jobs.queue import JobQueue
from brats_mm_service.jobs.records import JobRecords
from brats_mm_service.logs import log
from brats_mm_service.metrics import Metrics
from brats_mm_service.settings import Settings, WorkerSettings
from brats_mm_service.uploads.slots import Slots
from brats_mm_service.viewer.predictions import Predictions
from brats_mm_service.viewer.store import ViewerStore
from brats_mm_service.workers.checker import UploadChecker
from brats_mm_service.workers.pool import WorkerPool
from brats_mm_service.workers.process import TRAINING_COMMAND, WorkerProcess
from brats_mm_service.workers.protocol import Spawn, Worker
from brats_mm_service.workers.training_supervisor import TrainingSupervisor

DATABASE = "records.sqlite3"


@dataclass(frozen=True, eq=False)
class Service:
    """All parts that routes use.

    Attributes:
        corrections: submitted labels, kept until deleted.
        predictions: the newest job of each image.
        models: versions of the model.
        trainer: thread that runs training jobs.
        uploads: slots for receiving uploads.
        streams: slots for event streams.
        transfers: transfers from and to the DICOMweb server.
        dicomweb: thread that performs transfers. None if there is no DICOMweb server.
    """

    settings: Settings
    database: Database
    tokens: Tokens
    auth: Authenticator
    queue: JobQueue
    checker: UploadChecker
    workers: WorkerPool
    metrics: Metrics
    uploads: Slots
    streams: Slots
    viewer_store: ViewerStore
    corrections: CorrectionStore
    predictions: Predictions
    models: ModelVersions
    trainer: TrainingSupervisor
    lock: int
    stopping: threading.Event
    transfers: Transfers
    dicomweb: DicomwebLink | None

    def start(self) -> None:
        """Settle the open jobs of an earlier run, and start the workers and the clean-up."""
        self.queue.recover()
        self.checker.start()
        self.workers.start()
        self.trainer.start()
        if self.dicomweb is not None:
            self.dicomweb.start()
        threading.Thread(target=self._sweep, name="sweeper", daemon=True).start()

    def stop(self) -> None:
        """Stop the workers and release the folder."""
        self.stopping.set()
        if self.dicomweb is not None:
            self.dicomweb.stop()
        self.trainer.stop()
        self.workers.stop()
        self.checker.stop()
        self.database.close()
        os.close(self.lock)

    def _sweep(self) -> None:
        retention = self.settings.retention
        steps = (
            self.queue.sweep,
            self.trainer.discard_unfinished,
            lambda: self.transfers.forget(retention.record_s),
            lambda: self.predictions.forget(retention.result_s + retention.record_s),
            self.viewer_store.sweep,
            self.corrections.sweep,
            self.queue.files.empty_trash,
            self.database.erase_log,
        )
        while not self.stopping.wait(retention.sweep_s):
            for step in steps:
                try:
                    step()
                except Exception as error:  # noqa: BLE001, PERF203 (the thread must survive a full disk or a locked file)
                    log("sweep_error", level="error", error=type(error).__name__)


def open_database(folder: Path) -> Database:
    """Open the records in a data folder. Creates the folder for its owner only, if needed.

    Raises:
        OptionError: the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / DATABASE).touch(mode=0o600)
    except OSError as error:
        raise OptionError(
            f"The data folder {folder} cannot be used: {error.strerror}. Choose another with --data."
        ) from error
    return Database(folder / DATABASE)


def open_service(settings: Settings, spawn: Spawn | None = None) -> Service:
    """Create the service without starting it.

    Raises:
        OptionError: the data folder cannot be used, or is in use by another service.
    """
    with ExitStack() as opened:
        database = open_database(settings.data)
        opened.callback(database.close)
        lock = _lock(settings.data)
        opened.callback(os.close, lock)
        service = _create_service(settings, spawn, database, lock)
        opened.pop_all()  # the service closes them
    return service


def _create_service(settings: Settings, spawn: Spawn | None, database: Database, lock: int) -> Service:
    metrics, tokens = Metrics(), Tokens(database)
    queue = JobQueue(JobRecords(database), JobFiles(settings.data), settings.queue, settings.retention, metrics)
    transfers = Transfers(database)
    checker, models = UploadChecker(settings.uploads), ModelVersions(settings.data / "models")
    issuer = None if settings.oidc is None else OidcIssuer(settings.oidc)
    return Service(
        settings=settings,
        database=database,
        tokens=tokens,
        auth=Authenticator(settings, tokens, issuer),
        queue=queue,
        checker=checker,
        workers=WorkerPool(queue, settings.worker, spawn or _spawn(settings, models), settings.worker_count),
        metrics=metrics,
        uploads=_create_slots("uploads", settings, settings.uploads.at_once, settings.uploads.at_once_per_caller),
        streams=_create_slots("event streams", settings, settings.queue.streams, settings.queue.streams_per_caller),
        viewer_store=ViewerStore(queue.files),
        corrections=CorrectionStore(settings.data / "corrections"),
        predictions=Predictions(database),
        models=models,
        trainer=_create_trainer(settings, queue, models),
        lock=lock,
        stopping=threading.Event(),
        transfers=transfers,
        dicomweb=_create_dicomweb_link(settings, transfers, queue, checker),
    )


def _create_slots(name: str, settings: Settings, total: int, per_caller: int) -> Slots:
    """Create slots. Without tokens, there is only one caller, which may use all of them."""
    return Slots(name, total, per_caller if settings.needs_tokens else total)


def _spawn(settings: Settings, models: ModelVersions) -> Spawn:
    """Return a function that starts workers with the active model, locally or on the joined cluster."""
    cluster = settings.ray

    def build_active_settings() -> WorkerSettings:
        return replace_bundle(settings.worker, models.find_active_bundle())

    if cluster is None:
        return lambda: WorkerProcess(build_active_settings(), jobs=settings.data / "jobs")
    from brats_mm_service.workers.ray import RayWorker

    return lambda: RayWorker(replace(settings, worker=build_active_settings()), cluster.share)


def replace_bundle(settings: WorkerSettings, bundle: Path | None) -> WorkerSettings:
    """Return the settings of a worker with another bundle. None keeps the bundle."""
    return settings if bundle is None else replace(settings, model=replace(settings.model, bundle=bundle))


def _create_trainer(settings: Settings, queue: JobQueue, models: ModelVersions) -> TrainingSupervisor:
    limits = replace(settings.worker, job_s=settings.learning.job_s)

    def spawn(bundle: Path | None) -> Worker:
        return WorkerProcess(replace_bundle(limits, bundle), TRAINING_COMMAND, jobs=settings.data / "jobs")

    beside = settings.learning.beside or settings.ray is not None
    return TrainingSupervisor(queue, limits, spawn, models, beside=beside)


def _create_dicomweb_link(
    settings: Settings, transfers: Transfers, queue: JobQueue, checker: UploadChecker
) -> DicomwebLink | None:
    if settings.dicomweb is None:
        return None
    client = DicomwebClient(settings.dicomweb)
    return DicomwebLink(transfers, queue, checker, client, settings.dicomweb, settings.uploads.unpacked_bytes)


def _lock(folder: Path) -> int:
    """Lock the folder until the process ends. The lock is on the folder, because a lock file could be deleted."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise OptionError(
            f"The data folder {folder} is in use by another brats-mm serve. Stop that service, or choose another "
            "folder."
        ) from error
    return lock
