"""The commands of the service: `brats-mm serve` and `brats-mm token`."""

import argparse
from datetime import datetime, timezone
from typing import Any

from brats_mm.cli.model import check_windows
from brats_mm.cli.output import Console
from brats_mm.errors import OptionError

_GIB = 2**30


def serve(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm serve`."""
    with_service = _service()
    check_windows(options)
    settings = _settings(options)
    console.say(f"Serving on http://{options.host}:{options.port}; stop with Ctrl-C. Logs follow, one JSON a line.")
    with_service.serve(settings, verbose=options.verbose)
    return 0


def token(options: argparse.Namespace, console: Console) -> int:
    """`brats-mm token`."""
    _service()
    from brats_mm_service.auth.tokens import SCOPES, Tokens
    from brats_mm_service.service import open_database

    database = open_database(options.data)
    try:
        tokens = Tokens(database)
        if options.action == "create":
            made, text = tokens.create(options.name, options.scopes or SCOPES, options.days)
            console.result(text)
            console.say(f"Token {made.id} of {made.caller}. It is shown this once; send it as `Authorization: Bearer`.")
            console.document({**_shown(made), "token": text})
        elif options.action == "revoke":
            ended = tokens.revoke(options.name)
            console.say(f"Token {ended.id} of {ended.caller} is revoked.")
            console.document(_shown(ended))
        else:
            for one in tokens.all():
                console.result("  ".join(str(value) for value in _shown(one).values()))
            console.document([_shown(one) for one in tokens.all()])
    finally:
        database.close()
    return 0


def _service() -> Any:
    """The service's package; a part of the installation that a library user need not have."""
    try:
        from brats_mm_service import server
    except ImportError as error:
        message = (
            f'The service\'s packages are not installed ({error.name} is missing). Run: pip install "brats-mm[service]"'
        )
        raise OptionError(message) from error
    return server


def _settings(options: argparse.Namespace) -> Any:
    from brats_mm_service.settings import (
        OidcSettings,
        QueueLimits,
        Retention,
        Settings,
        UploadLimits,
        WorkerSettings,
    )

    if options.oidc_issuer and not options.oidc_audience:
        message = "An OpenID Connect issuer was named without --oidc-audience. Name what its tokens are meant for."
        raise OptionError(message)
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
            bundle=options.bundle,
            device=options.device,
            window=options.window,
            overlap=options.overlap,
            backend=options.backend,
            point=options.point,
            memory_bytes=int(options.memory_gib * _GIB),
            job_s=options.job_minutes * 60.0,
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
        message = "--dicomweb-poll was given without an archive. Name it with --dicomweb-url."
        raise OptionError(message)
    return None


def _ray(options: argparse.Namespace) -> Any:
    """The cluster, if the workers are to live on one."""
    from brats_mm.execution.ray_cluster import ActorShare, require_ray
    from brats_mm_service.settings import RaySettings

    if options.workers < 1:
        message = f"--workers is {options.workers}; it must be at least 1."
        raise OptionError(message)
    if options.ray is not None:
        require_ray()
        return RaySettings(options.ray, options.workers, ActorShare(options.ray_cores, options.ray_gpus))
    if options.workers > 1:
        message = "On this machine one worker uses all cores. Leave out --workers, or name a cluster with --ray."
        raise OptionError(message)
    return None


def _shown(one: Any) -> dict[str, Any]:
    state = "revoked" if one.revoked is not None else "valid"
    if one.expires is not None and one.expires < datetime.now(timezone.utc).timestamp():
        state = "expired"
    return {
        "id": one.id,
        "caller": one.caller,
        "scopes": " ".join(one.scopes),
        "created": _date(one.created),
        "expires": "never" if one.expires is None else _date(one.expires),
        "state": state,
    }


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
