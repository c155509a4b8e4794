"""The evidence bundle of one finished rotation: its journal records, each line bound to the one before by a hash.

Writes only what the journal holds, hence no key bytes. What the records must say
is judged in `keyctl.rotation.evidence_check`, never here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keyctl.errors import UnusableInputError
from keyctl.keys.private_files import place

FORMAT = "keyctl/evidence/v1"
FILE_NAME = "evidence.jsonl"
# What the chain adds to a record.
LINKS = frozenset({"n", "previous", "hash"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """A bundle on disk: how many `records` it has, and the last line's hash, "sha256:<hex>"."""

    path: Path
    records: int
    sha256: str


def canonical(value: Mapping[str, object]) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, ASCII. `ValueError` for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(text: str) -> str:
    """The hash of an ASCII text, as "sha256:<hex>"."""
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def write(directory: Path, records: Sequence[Mapping[str, object]]) -> Evidence:
    """Make `directory`/evidence.jsonl from the records of one finished rotation, oldest first.

    The file is 0600 in a 0700 directory, synced, and whole or not there. An earlier
    one of the same rotation is replaced. Raises `UnusableInputError` when the
    directory holds anything else under that name, `OSError` when it cannot be
    written; `ValueError` for records that are not one rotation's, up to its end.
    """
    rotation = _rotation(records)
    path = directory / FILE_NAME
    _check_replaceable(path, rotation)
    lines, last = [], digest(FORMAT)
    for number, record in enumerate(records, 1):
        linked = {**record, "n": number, "previous": last}
        last = digest(canonical(linked))
        lines.append(canonical({**linked, "hash": last}) + "\n")
    place(path, "".join(lines).encode("ascii"))
    return Evidence(path, len(lines), last)


def _rotation(records: Sequence[Mapping[str, object]]) -> object:
    rotations = {record.get("rotation") for record in records}
    if len(rotations) != 1 or records[-1].get("kind") != "end":
        raise ValueError("evidence is made of all the records of one rotation, the last of which is its end")
    if any(LINKS & record.keys() for record in records):
        raise ValueError(f"a record has a field that the chain needs: {', '.join(sorted(LINKS))}")
    return rotations.pop()


def _check_replaceable(path: Path, rotation: object) -> None:
    """Evidence of another rotation is never written over."""
    try:
        first = path.read_bytes().split(b"\n", 1)[0]
    except FileNotFoundError:
        return
    try:
        there = json.loads(first)
    except (ValueError, RecursionError):
        there = None
    if not isinstance(there, dict) or there.get("rotation") != rotation:
        raise UnusableInputError(
            f"{path} is there already and is no evidence of this rotation", hint="move that file away"
        )
