"""The formats that `--report FORMAT=PATH` knows. A new format is one file and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keyctl.findings import Report
from keyctl.reports import json, junit

FORMATS: Mapping[str, Callable[[Report], str]] = {"json": json.render, "junit": junit.render}
