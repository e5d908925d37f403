"""Prometheus metrics: queue, jobs, failures by kind, latency by stage, requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600)
_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)


class Metrics:
    """Metrics of the service. Labels contain no information about callers or cases."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.queue_length = Gauge("brats_mm_queue_length", "Jobs waiting", registry=self.registry)
        self.worker_up = Gauge("brats_mm_worker_up", "Workers with the model loaded", registry=self.registry)
        self.worker_memory = Gauge(
            "brats_mm_worker_resident_bytes", "Memory of the largest worker", registry=self.registry
        )
        self.free_bytes = Gauge("brats_mm_free_disk_bytes", "Free disk space", registry=self.registry)
        self.worker_starts = Counter("brats_mm_worker_starts", "Starts of workers", registry=self.registry)
        self.jobs = Counter("brats_mm_jobs", "Jobs by final state", ["state"], registry=self.registry)
        self.accepted = Counter("brats_mm_jobs_accepted", "Jobs accepted", registry=self.registry)
        self.failures = Counter("brats_mm_failures", "Failed jobs by kind", ["kind"], registry=self.registry)
        self.refusals = Counter("brats_mm_refusals", "Rejected requests by kind", ["kind"], registry=self.registry)
        self.stages = Histogram(
            "brats_mm_stage_seconds",
            "Seconds per stage: upload, wait, read, prepare, network, restore, write, whole",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.requests = Histogram(
            "brats_mm_request_seconds",
            "Seconds until the response began",
            ["method", "route", "status"],
            buckets=_QUICK,
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self.registry)
