"""The Ray engine: actors that hold the model, on every machine of a cluster.

Each actor asks for a share of a machine (cores, or a GPU), so Ray places as many as fit, and starts machines for the
rest where the cluster scales by itself. Tasks and results are a few hundred bytes: images go from the shared file
system to the actor and back, never through Ray's object store. An actor whose machine is gone is started elsewhere by
Ray, and its tasks come back as lost.
"""

import os
from collections import deque
from importlib.util import find_spec
from typing import Any

from brats_mm.domain.cohort import CaseResult, CaseTask
from brats_mm.errors import BratsMMError, OptionError
from brats_mm.usecases.cohort_engine import Finished, MakeRunner, Runner

HELD = 2
"""Tasks that an actor holds: one that is computed, and the next one."""


class CaseActor:
    """Runs in a worker of Ray."""

    def __init__(self, make_runner: MakeRunner, slot: int, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # Ray says 1 where it is not told otherwise
        self._fault: BratsMMError | None = None
        self._runner: Runner | None = None
        try:
            self._runner = make_runner(slot)
        except BratsMMError as error:
            self._fault = error

    def run(self, task: CaseTask) -> CaseResult | BratsMMError:
        """What came of a task, or why this actor can compute nothing at all."""
        if self._fault is not None or self._runner is None:
            return self._fault or BratsMMError("The model is not loaded.")
        return next(iter(self._runner.run([task])))


class RayEngine:
    """Runs tasks on a Ray cluster."""

    retries = 3  # machines of a cluster come and go; that is no case's fault

    def __init__(
        self, make_runner: MakeRunner, address: str = "auto", workers: int = 1, *, cores: float = 2, gpus: float = 0
    ) -> None:
        if find_spec("ray") is None:
            message = 'Ray is not installed. Run: pip install "brats-mm[ray]", or leave out --ray.'
            raise OptionError(message)
        self.width = workers * HELD
        self._make_runner, self._address, self._count = make_runner, address, workers
        self._resources = {"num_cpus": cores, "num_gpus": gpus}
        self._threads = max(1, int(cores))
        self._actors: list[Any] = []
        self._held: list[int] = []
        self._under_way: dict[Any, tuple[int, CaseTask]] = {}
        self._waiting: deque[CaseTask] = deque()
        self._began_ray = False

    def __enter__(self) -> "RayEngine":
        import ray

        if not ray.is_initialized():
            try:
                ray.init(address=self._address, log_to_driver=False, configure_logging=False, namespace="brats-mm")
            except (ConnectionError, ValueError, RuntimeError) as error:
                message = (
                    f"There is no Ray cluster at {self._address!r} ({type(error).__name__}). Start one with "
                    "`ray start --head`, and give its address, or leave out --ray."
                )
                raise OptionError(message) from error
            self._began_ray = True
        actor = ray.remote(max_restarts=-1, max_task_retries=0, **self._resources)(CaseActor)
        self._actors = [actor.remote(self._make_runner, slot, self._threads) for slot in range(self._count)]
        self._held = [0] * self._count
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor, no_restart=True)
        self._actors, self._under_way = [], {}
        if self._began_ray:
            ray.shutdown()

    def submit(self, task: CaseTask) -> None:
        """Take a task."""
        self._waiting.append(task)
        self._hand_out()

    def collect(self, timeout_s: float) -> list[Finished]:
        """What has come back.

        Raises:
            BratsMMError: the model cannot be loaded.
        """
        import ray

        if not self._under_way:
            return []
        ended, _ = ray.wait(list(self._under_way), num_returns=1, timeout=timeout_s)
        more, _ = ray.wait(list(self._under_way), num_returns=len(self._under_way), timeout=0) if ended else ([], [])
        finished = [self._ended(reference) for reference in {*ended, *more}]
        self._hand_out()
        return finished

    def _ended(self, reference: Any) -> Finished:
        import ray
        from ray.exceptions import RayError

        slot, task = self._under_way.pop(reference)
        self._held[slot] -= 1
        try:
            result = ray.get(reference)
        except RayError as error:
            return Finished(task, None, f"Ray: {type(error).__name__}")
        if isinstance(result, BratsMMError):
            raise result
        return Finished(task, result)

    def _hand_out(self) -> None:
        while self._waiting:
            slot = min(range(self._count), key=self._held.__getitem__)
            if self._held[slot] >= HELD:
                return
            task = self._waiting.popleft()
            self._held[slot] += 1
            self._under_way[self._actors[slot].run.remote(task)] = (slot, task)
