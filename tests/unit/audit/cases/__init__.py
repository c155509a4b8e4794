"""What each check must say of what: tables that `test_checks` runs, one file for each area.

A file here has a list CASES of (id, status, facts). Every case is run; a check that is not seen right, wrong, and
neither of both in one of the tables turns a test red.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from keyctl.audit.facts import Facts
from keyctl.findings import Status

# `given` are the facts one by one, or all of them with their own day.
Case = tuple[str, Status, tuple[Any, ...] | Facts]


def every() -> list[Case]:
    """The cases of every file of this folder. Raises `AttributeError` for a file without a table."""
    names = sorted(one.name for one in pkgutil.iter_modules(__path__))
    return [case for name in names for case in importlib.import_module(f"{__name__}.{name}").CASES]
