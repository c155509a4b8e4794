"""The few series of a kube-apiserver's metrics that keyctl reads. Text in, values out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

_LOADED = "apiserver_encryption_config_controller_last_config_info"
_START = "process_start_time_seconds"
# Since 1.30 one counter with a label for the outcome, before that one of its own.
_RELOADS = "apiserver_encryption_config_controller_automatic_reloads_total"
_FAILURES = "apiserver_encryption_config_controller_automatic_reload_failures_total"

# NOTE: servers before 1.37 may ignore the filter and send all their metrics, two megabytes and more.
PATH = "/metrics?" + urlencode({"name[]": (_LOADED, _START, _RELOADS, _FAILURES)}, doseq=True)

_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? +(?P<value>\S+)(?: +-?\d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Metrics:
    """See `ServerProbe`. `loaded_hash` is None also when there are several: then none is known to be in force."""

    loaded_hash: str | None = None
    id_hash: str | None = None
    start_time: float = 0.0
    reload_failures: int = 0


def parse_metrics(text: str) -> Metrics:
    """Read the Prometheus text format; series of other names are skipped."""
    loaded: set[tuple[str, str]] = set()
    start_time, failures = 0.0, 0.0
    for line in text.splitlines():
        if not line.startswith((_LOADED, _START, _RELOADS, _FAILURES)) or not (match := _SERIES.fullmatch(line)):
            continue
        labels = dict(_LABEL.findall(match["labels"] or ""))
        value = _number(match["value"])
        match match["name"]:
            case name if name == _LOADED and value == 1:
                loaded.add((labels.get("hash", ""), labels.get("apiserver_id_hash", "")))
            case name if name == _START:
                start_time = value
            case name if name == _FAILURES or (name == _RELOADS and labels.get("status") == "failure"):
                failures += value
    only_hash, only_id = loaded.pop() if len(loaded) == 1 else ("", "")
    return Metrics(only_hash or None, only_id or None, start_time, int(failures))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if abs(value) < 1e15 else 0.0
