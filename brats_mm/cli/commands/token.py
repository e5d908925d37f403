"""`brats-mm token`: create, list and revoke tokens for the service."""

import argparse
from datetime import datetime, timezone
from typing import Any

from brats_mm.cli.command import Commands, add_command
from brats_mm.cli.options.common import add_json_option
from brats_mm.cli.options.service import add_data_option, import_service
from brats_mm.cli.output import Console
from brats_mm.errors import OutputError


def add(commands: Commands) -> None:
    """Add `brats-mm token`."""
    parser = add_command(
        commands,
        "token",
        run,
        help="create, list and revoke tokens for the service",
        description="Create, list and revoke tokens for the service. A token is shown once and stored as a hash.",
        epilog="examples:\n  brats-mm token create viewer --days 90\n  brats-mm token list\n  brats-mm token revoke ID",
    )
    parser.add_argument("action", choices=("create", "list", "revoke"), help="action")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="caller, or ID of the token to revoke")
    scopes = "any of jobs:read jobs:write metrics models:write (default: all but the last)"
    parser.add_argument("--scopes", nargs="*", default=[], metavar="SCOPE", help=scopes)
    parser.add_argument("--days", type=float, metavar="D", help="days until the token expires")
    add_data_option(parser, "data folder of the service")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the token")
    add_json_option(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Run `brats-mm token` and return its exit code."""
    import_service()
    from brats_mm_service.auth.tokens import DEFAULT_SCOPES, Tokens
    from brats_mm_service.service import open_database

    database = open_database(options.data)
    try:
        tokens = Tokens(database)
        if options.action == "create":
            token, text = tokens.create(options.name, options.scopes or DEFAULT_SCOPES, options.days)
            try:
                console.result(text)
                console.document({**_describe(token), "token": text})
            except OutputError:  # nobody has the token
                tokens.revoke(token.id)
                raise
            console.say(
                f"Token {token.id} of {token.caller}. It is not shown again. Send it as `Authorization: Bearer`."
            )
        elif options.action == "revoke":
            revoked = tokens.revoke(options.name)
            console.say(f"Revoked token {revoked.id} of {revoked.caller}.")
            console.document(_describe(revoked))
        else:
            for token in tokens.all():
                console.result("  ".join(str(value) for value in _describe(token).values()))
            console.document([_describe(token) for token in tokens.all()])
    finally:
        database.close()
    return 0


def _describe(token: Any) -> dict[str, Any]:
    state = "revoked" if token.revoked is not None else "valid"
    if token.expires is not None and token.expires < datetime.now(timezone.utc).timestamp():
        state = "expired"
    return {
        "id": token.id,
        "caller": token.caller,
        "scopes": " ".join(token.scopes),
        "created": _format_date(token.created),
        "expires": "never" if token.expires is None else _format_date(token.expires),
        "state": state,
    }


def _format_date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
