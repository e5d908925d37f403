"""Settings of the service: addresses, limits, retention."""

import ipaddress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from brats_mm.domain.options import ModelOptions, option, required_option
from brats_mm.errors import OptionError
from brats_mm.execution.ray_cluster import WORKERS, ActorShare
from brats_mm.pipeline.request import serialise_options

MIB = 2**20
GIB = 2**30

_LIMITS, _PACS, _ACCESS, _LEARNING = "limits", "PACS", "access", "learning"


def _make_gib_option(name: str, default: int, help: str) -> int:
    return option(default, help, group=_LIMITS, name=name, unit=GIB, metavar="GIB")


@dataclass(frozen=True)
class UploadLimits:
    """Limits of one request.

    Attributes:
        unpacked_bytes: maximum total size of the unpacked files of a zip.
        zip_entries: maximum number of entries in a zip.
        parts: maximum number of parts in a multipart body.
        text_bytes: maximum size of a text field.
        idle_s: maximum pause between two chunks of the body.
        total_s: maximum time for the whole body.
        at_once: maximum number of concurrent uploads.
        at_once_per_caller: maximum number of concurrent uploads per caller, if callers have tokens.
        check_bytes: maximum memory for checking one upload.
        check_s: maximum time for checking one upload.
    """

    file_bytes: int = _make_gib_option("max_file_gib", 512 * MIB, "largest uploaded file")
    total_bytes: int = _make_gib_option("max_upload_gib", 2 * GIB, "largest request")
    free_bytes: int = _make_gib_option("min_free_gib", GIB, "disk space to keep free")
    unpacked_bytes: int = 4 * GIB
    zip_entries: int = 20_000
    parts: int = 16
    text_bytes: int = 64 * 1024
    idle_s: float = 20.0
    total_s: float = 900.0
    at_once: int = 8
    at_once_per_caller: int = 3
    check_bytes: int = 256 * MIB
    check_s: float = 120.0


@dataclass(frozen=True)
class QueueLimits:
    """Limits of waiting jobs and attempts.

    Attributes:
        attempts: starts of one job if the service or a cluster machine was lost during it.
        kept_bytes_per_caller: disk space of one caller's uploads, results and images.
        streams: concurrent event streams.
        streams_per_caller: concurrent event streams per caller, if callers have tokens.
    """

    queued: int = option(100, "maximum number of waiting jobs", group=_LIMITS, name="max_queued", metavar="N")
    queued_per_caller: int = option(50, "maximum per caller", group=_LIMITS, name="max_queued_per_caller", metavar="N")
    attempts: int = 3
    kept_bytes_per_caller: int = 64 * GIB
    streams: int = 200
    streams_per_caller: int = 40


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a worker, the process with the model.

    Attributes:
        model: model to run, and its settings.
        start_s: time limit for loading the model.
        silent_s: time without a heartbeat after which the process counts as hung.
        cancel_s: time for a cancelled job to stop before its process is stopped.
    """

    model: ModelOptions = field(default_factory=ModelOptions)
    memory_bytes: int = _make_gib_option("memory_gib", 16 * GIB, "memory limit of the worker")
    job_s: float = option(3600.0, "time limit of a job", group=_LIMITS, name="job_minutes", unit=60, metavar="MIN")
    start_s: float = 300.0
    silent_s: float = 120.0
    cancel_s: float = 1.0

    def start_message(self) -> dict[str, Any]:
        """Return the first message to a worker: the model options and the memory limit."""
        bundle = self.model.bundle
        model = replace(self.model, bundle=None if bundle is None else bundle.absolute())
        return {**serialise_options(model), "memory_bytes": self.memory_bytes}


@dataclass(frozen=True)
class RaySettings:
    """A Ray cluster for the workers, instead of one process on this machine.

    Attributes:
        share: resources of each worker.
    """

    address: str = required_option(
        "run workers on a Ray cluster: an address, auto, or local", group=WORKERS, name="ray", metavar="ADDRESS"
    )
    workers: int = option(1, "number of workers on the cluster", group=WORKERS, metavar="N")
    share: ActorShare = field(default_factory=ActorShare)


@dataclass(frozen=True)
class Retention:
    """Retention times.

    Attributes:
        sweep_s: interval of the clean-up.
    """

    result_s: float = option(
        24 * 3600.0, "delete results after this time", group=_LIMITS, name="keep_hours", unit=3600, metavar="H"
    )
    record_s: float = option(
        7 * 86400.0,
        "delete job records after this time",
        group=_LIMITS,
        name="keep_records_days",
        unit=86400,
        metavar="D",
    )
    sweep_s: float = 30.0


@dataclass(frozen=True)
class OidcSettings:
    """An OpenID Connect issuer whose access tokens are accepted.

    Attributes:
        jwks: URL of its keys. Defaults to that of its discovery document.
    """

    issuer: str = required_option(
        "accept access tokens of this OpenID Connect issuer", group=_ACCESS, name="oidc_issuer", metavar="URL"
    )
    audience: str = required_option(
        "required audience of those tokens", group=_ACCESS, name="oidc_audience", metavar="NAME"
    )
    jwks: str | None = None


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of connections before authentication.

    Attributes:
        waiting: number of connections without a complete request above which the oldest is closed for a new one.
        waiting_per_peer: the same limit per address.
        waiting_s: time limit for a complete request, after which the connection is closed.
        body_s: time limit for the body of a small form.
        sending_s: time after which a connection that accepts no response data is closed.
        active: maximum number of active requests. Further requests get a 503 response.
    """

    waiting: int = 256
    waiting_per_peer: int = 128
    waiting_s: float = 15.0
    body_s: float = 10.0
    sending_s: float = 60.0
    active: int = 1000


@dataclass(frozen=True)
class DicomwebSettings:
    """A DICOMweb server to fetch studies from and store results in. No other address is contacted.

    Attributes:
        attempts: attempts per step.
        retry_s: delay before the second attempt, doubled for each further attempt.
        timeout_s: timeout of a response.
    """

    url: str = required_option(
        "DICOMweb root, the only address that the service contacts", group=_PACS, name="dicomweb_url", metavar="URL"
    )
    token_file: Path | None = option(
        None, "bearer token, or header `Name: value`", group=_PACS, name="dicomweb_token_file", metavar="FILE"
    )
    ca_file: Path | None = option(
        None, "CA certificates for the archive", group=_PACS, name="dicomweb_ca", metavar="FILE"
    )
    verify: bool = option(default=True, help="verify the archive's certificate", group=_PACS, name="dicomweb_no_verify")
    poll_s: float | None = option(
        None, "segment new studies, polling at this interval", group=_PACS, name="dicomweb_poll", metavar="SECONDS"
    )
    attempts: int = 6
    retry_s: float = 2.0
    timeout_s: float = 30.0

    def headers(self) -> dict[str, str]:
        """Return the headers of each request to the server.

        Raises:
            OptionError: the token's file cannot be read, or is empty.
        """
        if self.token_file is None:
            return {}
        try:
            text = self.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(
                f"The token file {self.token_file} cannot be read. Check --dicomweb-token-file."
            ) from error
        if not text or "\n" in text:
            raise OptionError(
                f"The token file {self.token_file} must hold one line: a token, or a header `Name: value`."
            )
        name, colon, value = text.partition(": ")
        return {name: value} if colon else {"Authorization": f"Bearer {text}"}


@dataclass(frozen=True)
class LearningSettings:
    """Learning from corrected labels.

    Attributes:
        job_s: time limit of a training run with its preparation, evaluation and pauses.
    """

    minutes: float = option(
        20.0, "training time of requests that do not set one", group=_LEARNING, name="train_minutes", metavar="MIN"
    )
    longest_minutes: float = option(
        240.0, "longest training time", group=_LEARNING, name="max_train_minutes", metavar="MIN"
    )
    beside: bool = option(default=False, help="train while segmentations run", group=_LEARNING, name="train_beside")
    replay: Path | None = option(None, "labelled cases to mix into each training run", group=_LEARNING, metavar="DIR")
    job_s: float = 12 * 3600.0


@dataclass(frozen=True)
class Settings:
    """Settings of `create_app`.

    Attributes:
        data: folder for records and files.
        dicomweb: DICOMweb server, if any.
        ray: cluster for the workers, if any.
        learning: training on corrected labels.
    """

    data: Path
    datastore: Path | None = option(None, "folder of cases that viewers may open (read-only)", metavar="DIR")
    host: str = option("127.0.0.1", "address to listen on", metavar="ADDRESS")
    port: int = option(8000, "port to listen on", metavar="N")
    require_tokens: bool = option(default=False, help="require tokens on this machine too", group=_ACCESS)
    allowed_hosts: tuple[str, ...] = option(
        (), "additional host names of this service", group=_ACCESS, name="allow_host", metavar="NAME"
    )
    allowed_origins: tuple[str, ...] = option(
        (), "allowed web origins (CORS)", group=_ACCESS, name="allow_origin", metavar="ORIGIN"
    )
    oidc: OidcSettings | None = None
    dicomweb: DicomwebSettings | None = None
    uploads: UploadLimits = field(default_factory=UploadLimits)
    queue: QueueLimits = field(default_factory=QueueLimits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    retention: Retention = field(default_factory=Retention)
    ray: RaySettings | None = None
    learning: LearningSettings = field(default_factory=LearningSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise OptionError(f"--port is {self.port}. It must be 0 to 65535.")

    @property
    def worker_count(self) -> int:
        """Number of jobs that can be computed at the same time."""
        return 1 if self.ray is None else self.ray.workers

    @property
    def needs_tokens(self) -> bool:
        """Whether callers need tokens: always, unless only this machine can call."""
        return self.require_tokens or self.oidc is not None or not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_settings(settings: Settings, *, has_tokens: bool) -> None:
    """Check the settings, and require authentication for callers on other machines.

    Raises:
        OptionError: tokens are required but missing, or an option has an invalid value.
    """
    if "*" in settings.allowed_origins and not settings.needs_tokens:
        raise OptionError(
            "--allow-origin '*' without tokens would allow any web page to read every job. List the origins, or add "
            "--require-tokens."
        )
    if settings.dicomweb is not None and urlsplit(settings.dicomweb.url).scheme not in ("http", "https"):
        raise OptionError(f"The DICOMweb address is {settings.dicomweb.url!r}. It must begin with https:// or http://.")
    if settings.needs_tokens and settings.oidc is None and not has_tokens:
        raise OptionError(
            f"The address {settings.host} requires a token, but there is none yet. Create one with `brats-mm token "
            "create NAME`, set an OpenID Connect issuer with --oidc-issuer, or listen on 127.0.0.1."
        )
