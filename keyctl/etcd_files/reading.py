"""Deliver the values of an open database, with the help of a second process where that is quicker.

The child goes through the records and says where each value is; this process
reads it there. Without a child both are done here, with the same answer.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.etcd_files.forked import forked
from keyctl.etcd_files.mvcc import Standing
from keyctl.etcd_files.records import Find, Reader, twice, values_of
from keyctl.stored.display import display
from keyctl.stored.source import Value
