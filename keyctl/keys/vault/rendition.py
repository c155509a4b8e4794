"""What stands in the entries that rotation and node agents share: fields in, values out. Pure.

Decoding errors are raised without the text they are about: it holds keys.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from keyctl.keys.distribution import Rendition, Report, ReportedFile, Wanted

_CURRENT = "keyctl/current/v1"
_APPLIED = "keyctl/applied/v1"


class OtherClusterError(ValueError):
    """The entry is of another cluster, which `args[0]` names."""


def rendition_fields(rendition: Rendition, *, cluster: str) -> dict[str, object]:
    """What is stored of a rendition; it holds keys."""
    return {
        "format": _CURRENT,
        "cluster": cluster,
        "seq": rendition.seq,
        "files": {name: _wanted_fields(wanted) for name, wanted in rendition.files.items()},
    }


def digest(rendition: Rendition, *, cluster: str) -> str:
    """Over everything in a rendition."""
    text = json.dumps(rendition_fields(rendition, cluster=cluster), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def decode_rendition(fields: Mapping[str, object], *, cluster: str) -> Rendition:
    """The rendition that `fields` hold. Raises `ValueError`, and `OtherClusterError` for that of another cluster."""
    _check(fields, _CURRENT, cluster)
    files = fields.get("files")
    if not isinstance(files, dict):
        raise ValueError("no files")
    return Rendition(_number(fields, "seq"), {str(name): _wanted(entry) for name, entry in files.items()})


def report_fields(report: Report, *, cluster: str) -> dict[str, object]:
    """What is stored of a report; it holds keys."""
    return {
        "format": _APPLIED,
        "cluster": cluster,
        "server": report.server,
        "seq": report.seq,
        "files": [_file_fields(file) for file in report.files],
        "refused": report.refused,
        "at": report.at,
        "free": report.free,
        "seen": report.seen,
        "passing": report.passing,
    }


def decode_report(fields: Mapping[str, object], *, cluster: str, server: str) -> Report:
    """The report that `fields` hold. Raises `ValueError`, and `OtherClusterError` for that of another cluster."""
    _check(fields, _APPLIED, cluster)
    files, free, passing = fields.get("files"), fields.get("free"), fields.get("passing")
    if _text(fields, "server") != server or not isinstance(files, list):
        raise ValueError("another server")
    if not isinstance(passing, bool) or datetime.fromisoformat(_text(fields, "at")).tzinfo is None:
        raise ValueError("of another type")
    return Report(
        server=server,
        seq=_number(fields, "seq"),
        files=tuple(_file(entry) for entry in files),
        refused=_text(fields, "refused"),
        at=_text(fields, "at"),
        free=free if isinstance(free, int) else None,
        seen=_number(fields, "seen"),
        passing=passing,
    )


def _wanted_fields(wanted: Wanted) -> dict[str, object]:
    return {
        "text": wanted.text,
        "replaces": wanted.replaces,
        "letsGo": list(wanted.lets_go),
        "inPlace": wanted.in_place,
    }


def _wanted(entry: object) -> Wanted:
    if not isinstance(entry, dict):
        raise ValueError("not a mapping")
    lets_go, replaces, in_place = entry.get("letsGo"), entry.get("replaces"), entry.get("inPlace")
    if not isinstance(lets_go, list) or not all(isinstance(one, str) for one in lets_go):
        raise ValueError("not a list of texts")
    if not isinstance(replaces, str | None) or not isinstance(in_place, bool):
        raise ValueError("of another type")
    return Wanted(_text(entry, "text"), replaces, tuple(lets_go), in_place)


def _file_fields(file: ReportedFile) -> dict[str, object]:
    # NOTE: whatever stands on a disk, text or not.
    content = None if file.content is None else base64.b64encode(file.content).decode()
    return {"path": file.path, "content": content, "mode": file.mode}


def _file(entry: object) -> ReportedFile:
    if not isinstance(entry, dict):
        raise ValueError("not a mapping")
    content, mode = entry.get("content"), entry.get("mode")
    if not isinstance(content, str | None) or not isinstance(mode, int | None):
        raise ValueError("of another type")
    held = None if content is None else base64.b64decode(content, validate=True)
    return ReportedFile(_text(entry, "path"), held, mode)


def _check(fields: Mapping[str, object], form: str, cluster: str) -> None:
    owner = fields.get("cluster")
    if isinstance(owner, str) and owner != cluster:
        raise OtherClusterError(owner)
    if fields.get("format") != form or owner != cluster:
        raise ValueError("another format")


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError("not a text")
    # NOTE: JSON can spell halves of characters, which no file can hold.
    value.encode()
    return value


def _number(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise ValueError("not a number")
    return value
