"""An EncryptionConfiguration that kube-apiserver refuses, repaired as far as there is only one way. Bytes in and out.

What the server accepts is left alone, but for the legacy kind: moving identity or correcting a resource name changes
what servers write, which only a rotation does in a safe order. Key bytes are never guessed (`secret_repairs`). Opens
no file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from keyctl.documents import Document, parse
from keyctl.encryption_config import refusals
from keyctl.encryption_config.decode import Decoded, attempt
from keyctl.encryption_config.fields import RawConfig, read_fields
from keyctl.encryption_config.judge import judge
from keyctl.encryption_config.repair.field_repairs import Done, repair_fields, todays_kind
from keyctl.encryption_config.repair.lines import Form, read_lines
from keyctl.encryption_config.repair.moves import moves
from keyctl.encryption_config.repair.relayout import relayout
from keyctl.encryption_config.repair.secret_repairs import RULES as SECRET_RULES
from keyctl.encryption_config.repair.secret_repairs import (
    Asked,
    RefusedSecret,
    refused_secrets,
    replace_secrets,
    shown_name,
)
from keyctl.encryption_config.rules import violations
from keyctl.encryption_config.server import NEWEST_SERVER, Server
from keyctl.errors import UnusableInputError
from keyctl.file_argument import file_argument
from keyctl.findings import Finding

_NOTHING_ASKED = Asked()


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a file.

    `content` is the same bytes when nothing was done. `accepted` is the server's verdict on it, None where keyctl
    does not read the form; `left` is what is still wrong with it. `unused` are the keys for which nothing was done,
    although the user said what: their structure comes first, or their text has not exactly one reading.
    """

    content: bytes = field(repr=False)
    accepted: bool | None
    done: tuple[Done, ...]
    left: tuple[Finding, ...]
    unused: tuple[str, ...] = ()


def repairs(content: bytes, *, name: str, server: Server = NEWEST_SERVER, asked: Asked = _NOTHING_ASKED) -> Repaired:
    """`content` with what `server` refuses repaired; `name` is the file as the reader knows it.

    `asked` says what becomes of secrets, and only of those that the server refuses.

    Raises what `replace_secrets` raises.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _told(content, (), (), name, server, asked.keys)
    accepted = judge(content, name=name, server=server).accepted
    if accepted is None:
        # The server may take it, and then nothing in it is for keyctl to change.
        return _told(content, (), (), name, server, asked.keys)
    text, done = (_migrated if accepted else _restructured)(text, name, server)
    replaced: tuple[Done, ...] = ()
    unused = asked.keys
    given = _with_fields(text, name, server)
    if given is not None and given.document.plain and asked.keys:
        # Lines are told as the given file counts them: what was removed stood before all others.
        removed = content.count(b"\n") - text.count("\n")
        text, replaced, unused = replace_secrets(given.document, given.config, asked)
        replaced = tuple(dataclasses.replace(one, line=one.line + removed) for one in replaced)
    refused = _refused(text, name, server)
    in_order = tuple(sorted((*done, *replaced), key=lambda one: one.line))
    return _told(text.encode(), in_order, refused, name, server, unused)


def migrated(content: bytes, *, name: str, server: Server = NEWEST_SERVER) -> Repaired:
    """`content` with today's kind in place of the legacy one, and nothing else; every key and resource stays."""
    try:
        text, done = _migrated(content.decode(), name, server)
    except UnicodeDecodeError:
        return _told(content, (), (), name, server, ())
    return _told(text.encode(), done, _refused(text, name, server), name, server, ())


def _told(
    content: bytes,
    done: tuple[Done, ...],
    refused: tuple[RefusedSecret, ...],
    name: str,
    server: Server,
    unused: tuple[str, ...],
) -> Repaired:
    judged = judge(content, name=name, server=server)
    ids = {rule.id for rule in SECRET_RULES}
    fixes = {(one.line, one.column): _way_out(one, refused, name) for one in refused}
    left = tuple(
        dataclasses.replace(finding, fix=fixes[place])
        if finding.id in ids and (place := (finding.location.line or 0, finding.location.column or 0)) in fixes
        else finding
        for finding in judged.findings
    )
    return Repaired(content, judged.accepted, done, left, unused)


def _way_out(secret: RefusedSecret, refused: tuple[RefusedSecret, ...], name: str) -> str:
    """What can be done about this one of the `refused` secrets of the file `name`."""
    file, key = file_argument(name), shown_name(secret.name) or "NAME"
    if len({one.provider for one in refused if one.name == secret.name}) > 1:
        # One key for two providers would be wrong again.
        key = f"{secret.provider}:{key}"
    fix = f"put the key in: keyctl config fix {file} --supply {key}=KEYFILE, or make a new one: --generate {key}"
    return (
        f"if that is what it is: keyctl config fix {file} --reencode {key}; or {fix}" if secret.readings == 1 else fix
    )


def _migrated(text: str, name: str, server: Server) -> tuple[str, tuple[Done, ...]]:
    """`text` with today's kind, when that is certain to change nothing else."""
    changed, done = todays_kind(text, name=name)
    before, after = (attempt(one.encode(), name=name, server=server) for one in (text, changed))
    if isinstance(before, Decoded):
        safe = isinstance(after, Decoded) and after.config == before.config
        return (changed, done) if safe else (text, ())
    return changed, done


def _restructured(text: str, name: str, server: Server) -> tuple[str, tuple[Done, ...]]:
    """`text`, which the server refuses, with its fields repaired, and its indentation rebuilt if that is called for."""
    start, removed = _from_first_document(text, name, server)
    fixed, done = repair_fields(start, name=name, server=server)
    rebuilt = relayout(start)
    if rebuilt is not None and rebuilt != start:
        # Also where the fields alone would do: YAML may have joined lines to one value that nobody meant.
        refixed, redone = repair_fields(rebuilt, name=name, server=server)
        if _is_settled(refixed, name, server):
            rule = _first_rule(start, name, server)
            moved = tuple(Done(rule, line, sentence) for line, sentence in moves(start, rebuilt))
            fixed, done = refixed, (*moved, *redone)
    shifted = tuple(dataclasses.replace(one, line=one.line + len(removed)) for one in done)
    return fixed, (*removed, *shifted)


def _from_first_document(text: str, name: str, server: Server) -> tuple[str, tuple[Done, ...]]:
    """`text` without the markers of empty documents before the first that holds something."""
    if not any(one.id == refusals.FIRST_DOCUMENT.id for one in judge(text.encode(), name=name, server=server).findings):
        return text, ()
    lines = read_lines(text)
    heads: list[int] = []
    for index, line in enumerate(lines):
        if line.form is Form.MARKER:
            heads.append(index)
        elif line.form not in (Form.BLANK, Form.COMMENT):
            break
    sentence = "the empty document at the start is gone: kube-apiserver reads the first one only"
    done = tuple(Done(refusals.FIRST_DOCUMENT.id, lines[index].number, sentence) for index in heads[:-1])
    return "".join(str(line) for index, line in enumerate(lines) if index not in heads[:-1]), done


@dataclass(frozen=True, slots=True)
class _Given:
    """A document all of whose fields are in their places, whatever they hold."""

    document: Document
    config: RawConfig


def _with_fields(text: str, name: str, server: Server) -> _Given | None:
    try:
        document = parse(text.encode(), name=name)
    except UnusableInputError:
        return None
    fields = read_fields(document, server)
    nameless = any(one.rule is refusals.NO_NAME for one in violations(fields.config, server))
    return None if fields.violations or nameless else _Given(document, fields.config)


def _refused(text: str, name: str, server: Server) -> tuple[RefusedSecret, ...]:
    given = _with_fields(text, name, server)
    return refused_secrets(given.config) if given is not None else ()


def _is_settled(text: str, name: str, server: Server) -> bool:
    """Whether the server accepts `text`, or refuses nothing but bytes of secrets."""
    result = attempt(text.encode(), name=name, server=server)
    return isinstance(result, Decoded) or all(one.rule in SECRET_RULES for one in result)


def _first_rule(text: str, name: str, server: Server) -> str:
    result = attempt(text.encode(), name=name, server=server)
    if isinstance(result, Decoded):
        raise RuntimeError("a text that is accepted needs no other indentation")
    return result[0].rule.id
