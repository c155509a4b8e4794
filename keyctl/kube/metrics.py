"""The few series of a kube-apiserver's metrics that keyctl reads. Text in, values out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from keyctl.kube.interface import Transformed

_START = "process_start_time_seconds"
_PREFIX = "apiserver_encryption_config_controller_"
_LOADED = f"{_PREFIX}last_config_info"
# Since 1.30 one counter with a label for the outcome; from 1.28 to 1.33 one for each. None is there before the first.
_RELOADS = f"{_PREFIX}automatic_reloads_total"
_SUCCESSES = f"{_PREFIX}automatic_reload_success_total"
_FAILURES = f"{_PREFIX}automatic_reload_failures_total"
_RELOADED_AT = f"{_PREFIX}automatic_reload_last_timestamp_seconds"
# When the Status of each KMS v2 plugin last named which key, since 1.27.
_KMS_KEY_AT = "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds"
_NAMES = (_LOADED, _START, _RELOADS, _SUCCESSES, _FAILURES, _RELOADED_AT, _KMS_KEY_AT)
_TRANSFORMED = "apiserver_storage_transformation_operations_total"

# NOTE: servers before 1.37 may ignore the filter and send all their metrics, two megabytes and more.
PATH = "/metrics?" + urlencode({"name[]": _NAMES}, doseq=True)
TRANSFORMED_PATH = "/metrics?" + urlencode({"name[]": _TRANSFORMED})

_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? +(?P<value>\S+)(?: +-?\d+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Metrics:
    """See `ServerProbe`. `loaded_hash` is None also when there are several: then none is known to be in force."""

    loaded_hash: str | None = None
    id_hash: str | None = None
    start_time: float = 0.0
    reload_failures: int = 0
    reloads: int = 0
    reloaded_at: float = 0.0
    kms_key_ids: Mapping[str, str] = field(default_factory=dict)


def parse_metrics(text: str) -> Metrics:
    """Read the Prometheus text format; series of other names are skipped."""
    loaded: set[str] = set()
    ids: set[str] = set()
    kms: dict[str, tuple[float, str]] = {}
    start_time = reloaded_at = 0.0
    # NOTE: 1.30 to 1.33 count one reload under the new name and under the old one.
    counts = {(outcome, old): 0.0 for outcome in ("success", "failure") for old in (True, False)}
    for name, labels, value in _series(text, _NAMES):
        status = labels.get("status", "")
        if name == _START:
            start_time = value
            continue
        if name == _LOADED and value == 1:
            loaded.add(labels.get("hash", ""))
        elif name in _OLD_COUNTERS:
            counts[_OLD_COUNTERS[name], True] += value
        elif name == _RELOADS and (status, False) in counts:
            counts[status, False] += value
        elif name == _RELOADED_AT and status == "success":
            reloaded_at = max(reloaded_at, value)
        elif name == _KMS_KEY_AT:
            plugin = labels.get("provider_name", "")
            kms[plugin] = max(kms.get(plugin, (0.0, "")), (value, labels.get("key_id_hash", "")))
        else:
            continue
        ids |= {labels["apiserver_id_hash"]} if "apiserver_id_hash" in labels else set()
    return Metrics(
        loaded_hash=_only(loaded),
        id_hash=_only(ids),
        start_time=start_time,
        reload_failures=int(max(counts["failure", True], counts["failure", False])),
        reloads=int(max(counts["success", True], counts["success", False])),
        reloaded_at=reloaded_at,
        kms_key_ids={plugin: key_id for plugin, (_, key_id) in kms.items() if key_id},
    )


def parse_transformed(text: str) -> tuple[Transformed, ...]:
    """Every counter of values that were read from etcd, or written there, as the Prometheus text format has them."""
    return tuple(
        Transformed(
            resource=labels.get("resource", ""),
            written=labels.get("transformation_type") == "to_storage",
            prefix=labels.get("transformer_prefix", ""),
            succeeded=labels.get("status") == "OK",
            count=int(value),
        )
        for _, labels, value in _series(text, (_TRANSFORMED,))
    )


def _series(text: str, names: tuple[str, ...]) -> list[tuple[str, dict[str, str], float]]:
    lines = (line for line in text.splitlines() if line.startswith(names))
    return [
        (match["name"], dict(_LABEL.findall(match["labels"] or "")), _number(match["value"]))
        for line in lines
        if (match := _SERIES.fullmatch(line))
    ]


def _only(found: set[str]) -> str | None:
    """The one member, None where there is none, or several, or an empty one."""
    return next(iter(found)) or None if len(found) == 1 else None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if abs(value) < 1e15 else 0.0


_OLD_COUNTERS = {_SUCCESSES: "success", _FAILURES: "failure"}
