"""glibc's heaps: how many the threads of this process may have. Knows nothing of etcd.

glibc gives threads heaps of their own, and what is freed in one of them the others cannot use. gRPC receives in its own
threads what we keep in ours: with heaps of their own a scan held 6 to 10 MB more, and was no faster.
"""

from __future__ import annotations

import ctypes

# <malloc.h>
_M_ARENA_MAX = -8


def share_one_heap() -> bool:
    """Let the threads that start from now on use the main one's heap. False where the C library has no such setting."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1))
    except (OSError, AttributeError):
        return False
