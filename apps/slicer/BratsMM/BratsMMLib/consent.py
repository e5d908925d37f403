"""Decide whether volumes would leave this machine, and describe them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from BratsMMLib.failures import NotAllowed
from BratsMMLib.sequences import Sequence


def check_url(text: str) -> str:
    """Return a service's address without a trailing slash.

    Raises:
        NotAllowed: the address is invalid.
    """
    url = text.strip().rstrip("/")
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname or place.username or place.query or place.fragment:
        raise NotAllowed(f"“{text}” is not the address of a service. Use one such as http://127.0.0.1:8000.")
    return url


def is_local(url: str) -> bool:
    """Return whether an address is a loopback address: 127.0.0.1, [::1] or localhost."""
    host = (urlsplit(url.strip()).hostname or "").lower().rstrip(".")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def format_consent(url: str, sequences: Iterable[Sequence]) -> str:
    """Return the text of the check box: which data leave the machine, and where they go."""
    names = ", ".join(sequence.label for sequence in sequences) or "the chosen"
    host = urlsplit(url.strip()).netloc or "that machine"
    return (
        f"Send the voxels and the geometry of {names} to {host}. Names of patients, files and nodes and DICOM fields "
        "are not sent, but images of a head can identify a person."
    )


def check_consent(url: str, *, agreed: bool) -> None:
    """Check that the volumes stay on this machine, or that the user agreed to send them.

    Raises:
        NotAllowed: the user did not agree.
    """
    if agreed or is_local(url):
        return
    raise NotAllowed(
        f"{url} is another machine. Tick the box that allows sending the volumes there, or use a service here."
    )
