"""Options of `brats-mm serve` and `brats-mm token`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path("brats-mm-data")


def add_serve(commands: Any, formatter: Any, add_model_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """`brats-mm serve`."""
    parser = commands.add_parser(
        "serve",
        help="serve segmentation over HTTP, on this machine unless told otherwise",
        description="Serve segmentation over HTTP: one process with the model, or workers on a Ray cluster; records "
        "and files in one folder. Other machines can call only with tokens. docs/service.md has the whole of it.",
        epilog="examples:\n  brats-mm serve\n  brats-mm token create viewer\n  brats-mm serve --host 0.0.0.0"
        "\n  brats-mm serve --data /shared/brats-mm --ray auto --workers 8",
        formatter_class=formatter,
    )
    _add_place(parser)
    _add_cluster(parser)
    _add_callers(parser)
    _add_archive(parser)
    _add_limits(parser)
    add_model_options(parser)
    group = parser.add_argument_group("output on the terminal")
    group.add_argument("--verbose", action="store_true", help="log the worker's own output too")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing before the logs")
    parser.set_defaults(json=False)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="folder for records and files")
    parser.add_argument(
        "--datastore", type=Path, metavar="DIR", help="folder of cases that viewers may name; read only"
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="port to listen on")


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what computes", "one process on this machine, unless a cluster is named")
    group.add_argument("--ray", metavar="ADDRESS", help="workers on a Ray cluster: its address, auto, or local")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="how many, on the cluster")
    group.add_argument("--ray-cores", type=float, default=2, metavar="N", help="cores that each of them gets")
    group.add_argument("--ray-gpus", type=float, default=0, metavar="N", help="GPUs, or the share of one, that it gets")


def _add_callers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may call")
    group.add_argument("--require-tokens", action="store_true", help="ask for tokens on this machine too")
    group.add_argument("--allow-host", nargs="*", default=[], metavar="NAME", help="further host names of this service")
    group.add_argument("--allow-origin", nargs="*", default=[], metavar="ORIGIN", help="web pages that may call (CORS)")
    group.add_argument("--oidc-issuer", metavar="URL", help="accept access tokens of this OpenID Connect issuer")
    group.add_argument("--oidc-audience", metavar="NAME", help="what those tokens must be meant for")


def _add_archive(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("archive (PACS)", "studies are fetched from it and results stored there")
    group.add_argument("--dicomweb-url", metavar="URL", help="DICOMweb root; nothing else is ever called")
    group.add_argument("--dicomweb-token-file", type=Path, metavar="FILE", help="bearer token, or header `Name: value`")
    group.add_argument("--dicomweb-ca", type=Path, metavar="FILE", help="certificates to check the archive's against")
    group.add_argument("--dicomweb-no-verify", action="store_true", help="do not check the archive's certificate")
    group.add_argument("--dicomweb-poll", type=float, metavar="SECONDS", help="segment new studies: look this often")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    group.add_argument("--keep-hours", type=float, default=24.0, metavar="H", help="results are deleted after this")
    group.add_argument("--keep-records-days", type=float, default=7.0, metavar="D", help="then the job's record, after")
    group.add_argument("--max-file-gib", type=float, default=0.5, metavar="GIB", help="largest uploaded file")
    group.add_argument("--max-upload-gib", type=float, default=2.0, metavar="GIB", help="largest request")
    group.add_argument("--min-free-gib", type=float, default=1.0, metavar="GIB", help="disk space to leave free")
    group.add_argument("--max-queued", type=int, default=100, metavar="N", help="jobs that may wait")
    group.add_argument("--max-queued-per-caller", type=int, default=50, metavar="N", help="jobs of one caller")
    group.add_argument("--memory-gib", type=float, default=16.0, metavar="GIB", help="most memory of the worker")
    group.add_argument("--job-minutes", type=float, default=60.0, metavar="MIN", help="longest time of a job")


def add_token(commands: Any, formatter: Any) -> None:
    """`brats-mm token`."""
    parser = commands.add_parser(
        "token",
        help="make, list and revoke tokens of callers of the service",
        description="Make, list and revoke tokens of callers of the service. A token is shown once and kept as a hash.",
        epilog="examples:\n  brats-mm token create viewer --days 90\n  brats-mm token list\n  brats-mm token revoke ID",
        formatter_class=formatter,
    )
    parser.add_argument("action", choices=("create", "list", "revoke"), help="what to do")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="the caller, or the token's id to revoke")
    parser.add_argument("--scopes", nargs="*", default=[], metavar="SCOPE", help="any of jobs:read jobs:write metrics")
    parser.add_argument("--days", type=float, metavar="D", help="the token ends after this")
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="the service's data folder")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the token alone")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
