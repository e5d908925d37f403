"""`brats-mm serve`: serve segmentation over HTTP."""

import argparse
from pathlib import Path
from typing import Any

from brats_mm.cli.command import Commands, add_command, add_data_option, service_package
from brats_mm.cli.options.request import add_request_options, model_options
from brats_mm.cli.output import Console
from brats_mm.domain.options import ModelOptions
from brats_mm.errors import OptionError

_GIB = 2**30


def add(commands: Commands) -> None:
    """Add `brats-mm serve`."""
    parser = add_command(
        commands,
        "serve",
        run,
        help="serve segmentation over HTTP, on this machine by default",
        description="Serve segmentation over HTTP, with one process for the model or workers on a Ray cluster. Records "
        "and files are in one folder. Other machines need tokens. docs/service.md describes the service.",
        epilog="examples:\n  brats-mm serve\n  brats-mm token create viewer\n  brats-mm serve --host 0.0.0.0"
        "\n  brats-mm serve --data /shared/brats-mm --ray auto --workers 8",
    )
    _add_place(parser)
    _add_cluster(parser)
    _add_callers(parser)
    _add_archive(parser)
    _add_learning(parser)
    _add_limits(parser)
    add_request_options(parser, ModelOptions)
    group = parser.add_argument_group("terminal output")
    group.add_argument("-v", "--verbose", action="store_true", help="also log the output of the worker")
    group.add_argument("-q", "--quiet", action="store_true", help="print nothing before the logs")
    parser.set_defaults(json=False)


def _add_place(parser: argparse.ArgumentParser) -> None:
    add_data_option(parser, "folder for records and files")
    parser.add_argument(
        "--datastore", type=Path, metavar="DIR", help="folder of cases that viewers may open (read-only)"
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="port to listen on")


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("workers", "One process on this machine, or workers on a cluster.")
    group.add_argument("--ray", metavar="ADDRESS", help="run workers on a Ray cluster: an address, auto, or local")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="number of workers on the cluster")
    group.add_argument("--ray-cores", type=float, default=2, metavar="N", help="CPU cores per worker")
    group.add_argument(
        "--ray-gpus", type=float, default=0, metavar="N", help="GPUs per worker, which may be a fraction"
    )


def _add_callers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("access")
    group.add_argument("--require-tokens", action="store_true", help="require tokens on this machine too")
    group.add_argument(
        "--first-token", type=Path, metavar="FILE", help="create a token if there is none, and write it to this file"
    )
    group.add_argument(
        "--allow-host", nargs="*", default=[], metavar="NAME", help="additional host names of this service"
    )
    group.add_argument("--allow-origin", nargs="*", default=[], metavar="ORIGIN", help="allowed web origins (CORS)")
    group.add_argument("--oidc-issuer", metavar="URL", help="accept access tokens of this OpenID Connect issuer")
    group.add_argument("--oidc-audience", metavar="NAME", help="required audience of those tokens")


def _add_archive(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("PACS", "Fetch studies from a DICOMweb archive and store results in it.")
    group.add_argument(
        "--dicomweb-url", metavar="URL", help=("DICOMweb root, the only address that the service contacts")
    )
    group.add_argument("--dicomweb-token-file", type=Path, metavar="FILE", help="bearer token, or header `Name: value`")
    group.add_argument("--dicomweb-ca", type=Path, metavar="FILE", help="CA certificates for the archive")
    group.add_argument("--dicomweb-no-verify", action="store_true", help="do not verify the archive's certificate")
    group.add_argument(
        "--dicomweb-poll", type=float, metavar="SECONDS", help="segment new studies, polling at this interval"
    )


def _add_learning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("learning", "Fine-tune on the labels that viewers submit.")
    group.add_argument(
        "--train-minutes", type=float, default=20.0, metavar="MIN", help="training time of requests that do not set one"
    )
    group.add_argument("--max-train-minutes", type=float, default=240.0, metavar="MIN", help="longest training time")
    group.add_argument("--train-beside", action="store_true", help="train while segmentations run")
    group.add_argument("--replay", type=Path, metavar="DIR", help="labelled cases to mix into each training")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    group.add_argument("--keep-hours", type=float, default=24.0, metavar="H", help="delete results after this time")
    group.add_argument(
        "--keep-records-days", type=float, default=7.0, metavar="D", help="delete job records after this time"
    )
    group.add_argument("--max-file-gib", type=float, default=0.5, metavar="GIB", help="largest uploaded file")
    group.add_argument("--max-upload-gib", type=float, default=2.0, metavar="GIB", help="largest request")
    group.add_argument("--min-free-gib", type=float, default=1.0, metavar="GIB", help="disk space to keep free")
    group.add_argument("--max-queued", type=int, default=100, metavar="N", help="maximum number of waiting jobs")
    group.add_argument("--max-queued-per-caller", type=int, default=50, metavar="N", help="maximum per caller")
    group.add_argument("--memory-gib", type=float, default=16.0, metavar="GIB", help="memory limit of the worker")
    group.add_argument("--job-minutes", type=float, default=60.0, metavar="MIN", help="time limit of a job")


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm serve` and return its exit code."""
    if not 0 <= options.port < 2**16:
        raise OptionError(f"--port is {options.port}. It must be 0 to 65535.")
    service = service_package()
    settings = _settings(options)
    if options.first_token is not None and settings.needs_tokens:
        _create_first_token(options.data, options.first_token, console)
    console.say(f"Serving on http://{options.host}:{options.port}. Press Ctrl-C to stop. JSON logs follow.")
    service.serve(settings, verbose=options.verbose)
    return 0


def _create_first_token(data: Path, file: Path, console: Console) -> None:
    from brats_mm_service.auth.tokens import Tokens, write_first_token
    from brats_mm_service.service import open_database

    database = open_database(data)
    try:
        if write_first_token(Tokens(database), file):
            console.say(f"A first token was created. It is in {file}.")
    finally:
        database.close()


def _settings(options: argparse.Namespace) -> Any:
    from brats_mm_service.settings import (
        LearningSettings,
        OidcSettings,
        QueueLimits,
        Retention,
        Settings,
        UploadLimits,
        WorkerSettings,
    )

    if options.oidc_issuer and not options.oidc_audience:
        raise OptionError("--oidc-issuer needs --oidc-audience. Set the audience of its tokens.")
    return Settings(
        dicomweb=_dicomweb(options),
        ray=_ray(options),
        data=options.data,
        datastore=options.datastore,
        host=options.host,
        port=options.port,
        allowed_hosts=tuple(options.allow_host),
        allowed_origins=tuple(options.allow_origin),
        require_tokens=options.require_tokens,
        oidc=OidcSettings(options.oidc_issuer, options.oidc_audience) if options.oidc_issuer else None,
        uploads=UploadLimits(
            file_bytes=int(options.max_file_gib * _GIB),
            total_bytes=int(options.max_upload_gib * _GIB),
            free_bytes=int(options.min_free_gib * _GIB),
        ),
        queue=QueueLimits(queued=options.max_queued, queued_per_caller=options.max_queued_per_caller),
        worker=WorkerSettings(
            model=model_options(options),
            memory_bytes=int(options.memory_gib * _GIB),
            job_s=options.job_minutes * 60.0,
        ),
        learning=LearningSettings(
            minutes=min(options.train_minutes, options.max_train_minutes),
            longest_minutes=options.max_train_minutes,
            beside=options.train_beside,
            replay=options.replay,
        ),
        retention=Retention(result_s=options.keep_hours * 3600.0, record_s=options.keep_records_days * 86400.0),
    )


def _dicomweb(options: argparse.Namespace) -> Any:
    from brats_mm_service.settings import DicomwebSettings

    if options.dicomweb_url:
        return DicomwebSettings(
            options.dicomweb_url,
            token_file=options.dicomweb_token_file,
            verify=not options.dicomweb_no_verify,
            ca_file=options.dicomweb_ca,
            poll_s=options.dicomweb_poll,
        )
    if options.dicomweb_poll is not None:
        raise OptionError("--dicomweb-poll needs an archive. Set it with --dicomweb-url.")
    return None


def _ray(options: argparse.Namespace) -> Any:
    """Return the cluster of the workers, or None for a worker on this machine."""
    from brats_mm.execution.ray_cluster import ActorShare, require_ray
    from brats_mm_service.settings import RaySettings

    if options.workers < 1:
        raise OptionError(f"--workers is {options.workers}. It must be at least 1.")
    if options.ray is not None:
        require_ray()
        return RaySettings(options.ray, options.workers, ActorShare(options.ray_cores, options.ray_gpus))
    if options.workers > 1:
        raise OptionError("One worker on this machine uses all cores. Omit --workers, or set a cluster with --ray.")
    return None
