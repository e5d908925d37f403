"""Read the address-space limit of this process."""

import sys


def address_space() -> int:
    """Bytes of address space that this process may use (`ulimit -v`); `sys.maxsize` without a limit."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return sys.maxsize
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
