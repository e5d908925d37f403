"""Read the address-space limit of this process."""

import sys


def address_space() -> int:
    """Return the address space in bytes that this process may use (`ulimit -v`), or `sys.maxsize` without a limit."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return sys.maxsize
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
