"""`brats-mm serve`: serve segmentation over HTTP."""

import argparse
from dataclasses import replace
from pathlib import Path

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.generate import add_options, build_options
from brats_mm.cli.options.service import add_data_option, import_service
from brats_mm.cli.output import Console
from brats_mm.domain.options import ModelOptions
from brats_mm.errors import OptionError
from brats_mm.execution.ray_cluster import ActorShare, require_ray
from brats_mm_service.settings import (
    DicomwebSettings,
    LearningSettings,
    OidcSettings,
    QueueLimits,
    RaySettings,
    Retention,
    Settings,
    UploadLimits,
    WorkerSettings,
)

_OPTIONS = (
    *(Settings, RaySettings, ActorShare, OidcSettings, DicomwebSettings, LearningSettings),
    *(Retention, UploadLimits, QueueLimits, WorkerSettings),
)


def add(commands: Commands) -> None:
    """Add `brats-mm serve`."""
    parser = add_command(
        commands,
        "serve",
        run,
        help="serve segmentation over HTTP, on this machine by default",
        description="Serve segmentation over HTTP, with the model in a local process or on a Ray cluster. Records "
        "and files are stored in one folder. Callers on other machines need tokens. See docs/service.md.",
        epilog="examples:\n  brats-mm serve\n  brats-mm token create viewer\n  brats-mm serve --host 0.0.0.0"
        "\n  brats-mm serve --data /shared/brats-mm --ray auto --workers 8",
    )
    add_data_option(parser, "folder for records and files")
    add_options(parser, *_OPTIONS, ModelOptions)
    parser.add_argument(
        "--first-token", type=Path, metavar="FILE", help="create a token if there is none, and write it to this file"
    )
    group = parser.add_argument_group("terminal output")
    group.add_argument("-v", "--verbose", action="store_true", help="also log the output of the worker")
    group.add_argument("-q", "--quiet", action="store_true", help="print nothing before the logs")
    parser.set_defaults(json=False)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm serve` and return its exit code."""
    service = import_service()
    settings = _build_settings(options)
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


def _build_settings(options: argparse.Namespace) -> Settings:
    if options.oidc_issuer and not options.oidc_audience:
        raise OptionError("--oidc-issuer needs --oidc-audience. Set the audience of its tokens.")
    if options.dicomweb_poll is not None and not options.dicomweb_url:
        raise OptionError("--dicomweb-poll needs an archive. Set it with --dicomweb-url.")
    learning = build_options(options, LearningSettings)
    return build_options(
        options,
        Settings,
        data=options.data,
        dicomweb=build_options(options, DicomwebSettings) if options.dicomweb_url else None,
        ray=_build_ray_settings(options),
        oidc=build_options(options, OidcSettings) if options.oidc_issuer else None,
        uploads=build_options(options, UploadLimits),
        queue=build_options(options, QueueLimits),
        worker=build_options(options, WorkerSettings, model=build_options(options, ModelOptions)),
        learning=replace(learning, minutes=min(learning.minutes, learning.longest_minutes)),
        retention=build_options(options, Retention),
    )


def _build_ray_settings(options: argparse.Namespace) -> RaySettings | None:
    """Return the cluster of the workers, or None for a worker on this machine."""
    if options.workers < 1:
        raise OptionError(f"--workers is {options.workers}. It must be at least 1.")
    if options.ray is not None:
        require_ray()
        return build_options(options, RaySettings, share=build_options(options, ActorShare))
    if options.workers > 1:
        raise OptionError("One worker on this machine uses all cores. Omit --workers, or set a cluster with --ray.")
    return None
