"""Read the address-space limit of this process."""

import sys


def address_space() -> int:
    """Return the address space available to this process in bytes (`ulimit -v`), or `sys.maxsize` if unlimited."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return sys.maxsize
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
