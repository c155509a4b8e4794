from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from keyctl.etcd import heap

# Prints how many heaps glibc has after two threads kept something beyond what Python's own allocator hands out.
_COUNT_HEAPS = """
import ctypes, threading
{first}
held, both = [], threading.Barrier(2)
def keep():
    both.wait()
    held.append(bytearray(5000))
    both.wait()
threads = [threading.Thread(target=keep) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def heaps_after(first: str) -> int:
    program = _COUNT_HEAPS.format(first=first)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other heaps")
def test_what_speaks_to_etcd_keeps_all_threads_on_one_heap() -> None:
    assert heaps_after("import keyctl.etcd.rpc") == 1
    assert heaps_after("") > 1


def test_a_c_library_without_that_setting_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert heap.share_one_heap() is False


def test_where_the_c_library_cannot_be_asked_all_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: object) -> object:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert heap.share_one_heap() is False
