"""Run the service with uvicorn until it is stopped."""

from contextlib import ExitStack

import uvicorn

from brats_mm.execution.ray_cluster import connect
from brats_mm_service.app import create_app
from brats_mm_service.auth.tokens import Tokens
from brats_mm_service.connections import build_server_config
from brats_mm_service.logs import log, start_logging
from brats_mm_service.service import open_database
from brats_mm_service.settings import Settings, check_settings


def serve(settings: Settings, *, verbose: bool) -> None:
    """Run the service until a signal arrives.

    Raises:
        OptionError: the settings are invalid, the address is in use, or the cluster does not exist.
    """
    start_logging(verbose=verbose)
    database = open_database(settings.data)
    try:
        check_settings(settings, has_tokens=Tokens(database).has_valid_token())
    finally:
        database.close()
    with ExitStack() as cluster:
        if settings.ray is not None:
            cluster.enter_context(connect(settings.ray.address))
        _run(settings)


def _run(settings: Settings) -> None:
    app = create_app(settings)
    log("serving", host=settings.host, port=settings.port, tokens=settings.needs_tokens)
    config = build_server_config(app, settings, host=settings.host, port=settings.port, timeout_graceful_shutdown=5)
    uvicorn.Server(config).run()
