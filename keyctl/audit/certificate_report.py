"""Certificates and what was found about them as a `Report`: a table with a row for each, findings, the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from keyctl.audit.certificate_files import Placed
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Report, Severity, Status, Table
from keyctl.pki.inventory import Inventory
from keyctl.pki.trust import Link, Match

_SEVERITIES = tuple(Severity)
_COLUMNS = ("STATE", "FILE", "USE", "SUBJECT", "NAMES", "EXPIRES", "SIGNED BY", "KEY")
_KEYS = {Match.OWN: "its own", Match.OTHER: "another", Match.UNREADABLE: "?", Match.ABSENT: "-"}


def report(
    placed: tuple[Placed, ...],
    inventory: Inventory,
    findings: tuple[Finding, ...],
    *,
    bar: Severity | None,
    today: date,
) -> Report:
    """Everything there is to say. `bar` is the least severity that counts, None where none does."""
    failed = [one for one in findings if one.status is Status.FAIL]
    counting = [one for one in failed if bar is not None and _SEVERITIES.index(one.severity) <= _SEVERITIES.index(bar)]
    unknown = [one for one in findings if one.status is Status.UNKNOWN]
    code = ExitCode.FINDINGS if counting else ExitCode.UNEVALUATED if unknown or not placed else ExitCode.OK
    rows = tuple(_row(one, _about(one, placed, findings), today) for one in placed)
    data: dict[str, object] = {
        "date": today.isoformat(),
        "filesLookedInto": inventory.looked,
        "certificates": [_document(one) for one in placed],
    }
    tables = (Table(_COLUMNS, rows, wide_only=frozenset({3})),) if rows else ()
    verdict = _verdict(placed, failed, unknown, inventory)
    return Report("CertificateReport", code, verdict, findings, data, tables)


def _verdict(
    placed: Sequence[Placed], failed: Sequence[Finding], unknown: Sequence[Finding], inventory: Inventory
) -> str:
    if not placed:
        return f"no certificate was found in the {inventory.looked} files that were looked into"
    parts = [f"{_counted(len(placed), 'certificate')}: "]
    parts.append(_counted(len(failed), "finding") if failed else "nothing wrong was found")
    if unknown:
        parts.append(f"; {len(unknown)} could not be judged")
    return "".join(parts)


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def _row(one: Placed, about: Sequence[Finding], today: date) -> tuple[str, ...]:
    said = one.found.described
    days = (said.not_after.date() - today).days
    number = f" #{one.found.number}" if one.found.number > 1 else ""
    return (
        _state(about),
        f"{one.found.path}{number}",
        _use(one),
        said.subject,
        ", ".join(said.names) or "-",
        f"{said.not_after:%Y-%m-%d} ({days} d)",
        _signer(one),
        _KEYS[one.pair.match],
    )


def _about(one: Placed, placed: Sequence[Placed], findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """What is said about its file, without what is of another certificate there."""
    beside = [other.found.described.subject for other in placed if other.found.path == one.found.path]
    others = tuple(f"{subject} " for subject in beside if subject != one.found.described.subject)
    there = (finding for finding in findings if finding.location.file == one.found.path)
    return tuple(finding for finding in there if not finding.message.startswith(others))


def _state(about: Sequence[Finding]) -> str:
    """The worst of it."""
    failed = [finding.severity for finding in about if finding.status is Status.FAIL]
    if failed:
        return min(failed, key=_SEVERITIES.index)
    return "unknown" if any(finding.status is Status.UNKNOWN for finding in about) else "ok"


def _use(one: Placed) -> str:
    said = one.found.described
    if said.is_ca:
        return "CA"
    if said.usages is None:
        return "anything"
    return ", ".join(word for word, may in (("server", said.serves), ("client", said.asks)) if may) or "neither"


def _signer(one: Placed) -> str:
    signer = one.signer
    name = signer.by.described.common_name or signer.by.path if signer.by else one.found.described.issuer
    match signer.link:
        case Link.ITSELF:
            return "itself"
        case Link.SIGNED:
            return name
        case Link.ABSENT:
            return f"? {name}"
        case Link.OTHER_KEY | Link.NO_CA:
            return f"not {name}"


def _document(one: Placed) -> dict[str, object]:
    said, signer, pair = one.found.described, one.signer, one.pair
    return {
        "file": one.found.path,
        "number": one.found.number,
        "role": one.role.what if one.role else None,
        "use": _use(one),
        "subject": said.subject,
        "issuer": said.issuer,
        "names": list(said.names),
        "notBefore": said.not_before.isoformat(),
        "notAfter": said.not_after.isoformat(),
        "serial": f"{said.serial:x}",
        "publicKeySha256": said.spki,
        "keyType": said.key_type,
        "keyBits": said.key_bits or None,
        "signedBy": signer.by.path if signer.by and signer.link in (Link.ITSELF, Link.SIGNED) else None,
        "chain": signer.link.name.lower().replace("_", "-"),
        "key": pair.key.path if pair.key else None,
        "keyMatches": {Match.OWN: True, Match.OTHER: False}.get(pair.match),
    }
