"""What a verification found, in words and as the `VerifyReport` of `keyctl/v1`. Decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from keyctl.encryption_config import effective
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Rule, Severity, Status, Table
from keyctl.keys.key import Provider
from keyctl.stored import rules
from keyctl.stored.decrypt import Reason
from keyctl.stored.display import display
from keyctl.stored.groups import Role
from keyctl.stored.judgement import ResourceResult, is_encrypted
from keyctl.stored.leftovers import LeftGroup
from keyctl.stored.source import PERHAPS_SECRETS, Area, Coverage
from keyctl.verify.leftovers import Leftovers
from keyctl.verify.values import VerifyResult

_MOST_NAMES = 4
_NO_DIGEST = "sha256-absent"
_OUTCOME_NAMES = {
    ExitCode.PLAINTEXT: "plaintext",
    ExitCode.UNREADABLE: "unreadable",
    ExitCode.STALE: "stale",
    ExitCode.RESIDUE: "residue",
    ExitCode.INCOMPLETE: "incomplete",
    ExitCode.EMPTY: "empty",
}


def to_report(result: VerifyResult) -> Report:
    """`result` for a reader and for machines (the `VerifyReport` of `keyctl/v1`)."""
    return Report(
        kind="VerifyReport",
        exit_code=result.exit_code,
        verdict=_verdict(result),
        findings=tuple(_findings(result)),
        data=_data(result),
        tables=_tables(result),
        notes=tuple(_notes(result)),
        next_steps=tuple(_next_steps(result)),
    )


_AREA_NAMES = {
    Area.LIVE: "live",
    Area.HISTORY: "history",
    Area.FREE_PAGES: "free pages",
    Area.WAL: "WAL",
    Area.SNAP_DIR: "other files",
}


def _verdict(result: VerifyResult) -> str:
    judged = result.required
    names = _summed_up(tuple(one.resource for one in judged))
    total = sum(one.values for one in judged)
    if not total:
        said = f"nothing was there to check: no value of {names} under {result.prefix}"
    elif not set(result.outcomes) - {ExitCode.RESIDUE, ExitCode.INCOMPLETE}:
        proof = "an object came out of each" if result.decrypted else "told from their heads; they were not all opened"
        said = f"{_count(total)} of {names}: all encrypted, {proof}"
    else:
        said = f"{_count(total)} of {names}: " + ", ".join(_wrong(judged))
    elsewhere = sum(one.unreadable for one in result.resources if not one.required)
    said += f"; {_count(elsewhere)} of other resources cannot be read" if elsewhere else ""
    if ExitCode.RESIDUE in result.outcomes:
        said += f"; {left_behind(result.left)} behind them"
    if ExitCode.INCOMPLETE in result.outcomes:
        said += f"; not looked at: {_listed(tuple(result.left.not_looked_at))}"
    return said


def _wrong(judged: tuple[ResourceResult, ...]) -> Iterator[str]:
    counts = {
        "plaintext": sum(one.plaintext for one in judged),
        "unreadable": sum(one.unreadable for one in judged),
        "unrecognised": sum(one.unrecognised for one in judged),
        "missing": sum(one.missing for one in judged),
        "stale": sum(one.stale for one in judged),
    }
    yield from (f"{count} {word}" for word, count in counts.items() if count)
    if not any(counts.values()):
        yield "all encrypted"


def _findings(result: VerifyResult) -> Iterator[Finding]:
    judged = result.required
    for one in judged:
        names = [name for stored in one.stored if stored.group.encoding for name in stored.group.first]
        yield from _named(rules.PLAINTEXT, f"plaintext in {one.resource}", names, one.plaintext)
    yield from sorted(_problem_findings(result), key=lambda finding: finding.id)
    for one in judged:
        names = [name for stored in one.stored if stored.stale for name in stored.group.first]
        yield from _named(rules.STALE, f"stale in {one.resource}", names, one.stale)
        if one.missing:
            message = f"{one.missing} values of {one.resource} are missing: the API knows {one.expected}, etcd holds "
            yield _finding(rules.MISSING, Status.FAIL, message + str(one.values))
    yield from _left_findings(result)
    if ExitCode.EMPTY in result.outcomes:
        yield _finding(rules.EMPTY, Status.FAIL, _verdict(result))
    for one in judged:
        if one.not_decrypted:
            message = f"{_count(one.not_decrypted)} of {one.resource} told from the head only, not opened"
            yield _finding(rules.NOT_OPENED, Status.UNKNOWN, message)
        elif one.values and not (one.plaintext or one.unreadable or one.unrecognised or one.stale or one.missing):
            message = f"{one.resource}: {_count(one.values)}, all encrypted and opened"
            yield _finding(rules.PLAINTEXT, Status.PASS, message)


def _left_findings(result: VerifyResult) -> Iterator[Finding]:
    """What is left behind, when it decides."""
    if ExitCode.RESIDUE in result.outcomes:
        for group in result.left.wrong:
            rule = rules.LEFT_RETIRED if group.retired else rules.LEFT_PLAINTEXT
            what = f"{group.resource or 'objects'} under {_key(group)}" if group.retired else group.resource
            message = f"{_AREA_NAMES[group.area]}: {'values' if group.retired else 'plaintext'} of {what or 'objects'}"
            yield from _named(rule, message, list(group.first), group.values)
    if ExitCode.INCOMPLETE in result.outcomes:
        for area in result.left.not_looked_at:
            why = "; ".join(_unread(result.left, area)) or "not looked at"
            yield rules.NOT_LOOKED_AT.finding(f"{_AREA_NAMES[area]}: {why}", status=Status.UNKNOWN)


def _key(group: LeftGroup) -> str:
    """The key of `group`, and that it is not the one that has its name now."""
    return display(str(group.ref)) + (", but other bytes of that name" if group.other_bytes else "")


def _unread(left: Leftovers, area: Area) -> Iterator[str]:
    """Why `area` does not count as looked at."""
    yield from (display(one.text) for one in left.remarks if one.area is area)
    for group in left.of(area):
        if left.is_doubtful(group):
            what = "secrets, or something else?" if group.resource == PERHAPS_SECRETS else "no secrets, but what else?"
            yield f"{_count(group.values)} in plaintext, of which only the end is left: {what}"


def _problem_findings(result: VerifyResult) -> Iterator[Finding]:
    for (resource, reason), count in sorted(result.problem_counts.items()):
        if reason is Reason.NO_IDENTITY:
            continue
        some = [one for one in result.problems if (one.resource, one.reason) == (resource, reason)]
        rule = rules.UNRECOGNISED if reason in (Reason.UNRECOGNISED, Reason.UNKNOWN_SEAL) else rules.UNREADABLE
        # NOTE: a resource that is not judged is listed; what no server can start with is judged wherever it is.
        judged = reason is not Reason.UNRECOGNISED or any(one.resource == resource for one in result.required)
        severity, status = (Severity.CRITICAL, Status.FAIL) if judged else (Severity.INFO, Status.NOT_APPLICABLE)
        for one in some:
            yield Finding(rule.id, severity, status, f"{resource}: {one.detail}", Location(etcd_key=one.etcd_key))
        if count > len(some):
            yield Finding(rule.id, severity, status, f"{count - len(some)} more like that in {resource} ({reason})")


def _named(rule: Rule, message: str, names: list[str], count: int) -> Iterator[Finding]:
    for name in names[:count]:
        yield _finding(rule, Status.FAIL, message, name)
    if count > len(names):
        yield _finding(rule, Status.FAIL, f"{message}: {count - len(names)} more")


def _finding(rule: Rule, status: Status, message: str, etcd_key: str | None = None) -> Finding:
    # What to do about stored values is one thing for all of them: the report's next steps.
    return Finding(rule.id, rule.severity, status, message, Location(etcd_key=etcd_key))


def _notes(result: VerifyResult) -> Iterator[str]:
    source = result.source
    yield f"read {_count(source.count)} under {result.prefix} of {source.location} at revision {source.revision}"
    if result.only:
        yield f"--only: judged {_listed(result.only)} and nothing else"
    if not result.configured:
        yield "no encryption configuration was given: no value was opened, and roles are unknown"
    empty = tuple(one.resource for one in result.required if not one.values)
    if empty:
        yield f"no value of {_listed(empty)} is stored"
    if source.integrity == _NO_DIGEST:
        yield "no SHA-256 vouches for the file: damage to a page can hide values; keyctl snapshot verify looks at each"
    if result.left.wrong and ExitCode.RESIDUE not in result.outcomes:
        yield f"behind the live values: {left_behind(result.left)}; --residue makes it count"
    yield from _elsewhere(result)
    number, first = result.left.elsewhere
    if number:
        yield f"behind the live values also {_count(number)} under other prefixes, not judged: {', '.join(first)}"
    yield from (f"{_AREA_NAMES[one.area]}: {display(one.text)}" for one in result.left.remarks)
    others = [one for one in result.resources if not one.required]
    if others:
        number = sum(one.values for one in others)
        of = "1 resource that is" if len(others) == 1 else f"{len(others)} resources that are"
        yield f"also there: {_count(number)} of {of} not required"
    yield from (f"the etcd holds {_count(count)} under {prefix}" for prefix, count in result.neighbours)


def _elsewhere(result: VerifyResult) -> Iterator[str]:
    number, most = result.elsewhere
    if number:
        values = "live value" if number == 1 else "live values"
        named = ", ".join(f"{prefix} ({count})" for prefix, count in most)
        yield f"{number} {values} under other prefixes: {named}; judge them with --etcd-prefix"


def _next_steps(result: VerifyResult) -> Iterator[str]:
    if ExitCode.UNREADABLE in result.outcomes:
        # NOTE: nothing may be rewritten or restarted before every value can be read, so no other step is shown.
        yield from _steps_to_read(result)
        return
    off = tuple(one.resource for one in result.required if _is_off(one))
    if off:
        names = "" if off == (effective.SECRETS,) else "".join(f" --resources {display(name)}" for name in off)
        yield f"keyctl enable{names} --dry-run    shows how to turn encryption on and rewrite what is plaintext"
    if any(one.stale or (one.plaintext and one.resource not in off) for one in result.required):
        provider = f" --provider {result.require}" if isinstance(result.require, Provider) else ""
        yield f"keyctl rotate{provider} --dry-run    shows how every value gets under one new key"
    if ExitCode.EMPTY in result.outcomes:
        yield from _steps_to_find(result)


def _steps_to_read(result: VerifyResult) -> Iterator[str]:
    reasons = {reason for (_, reason), count in result.problem_counts.items() if count} - {Reason.NO_IDENTITY}
    if reasons - {Reason.UNRECOGNISED}:
        yield "restart no API server, it may not come up again: keyctl explain R10"
    if reasons & {Reason.NOT_COVERED, Reason.UNKNOWN_KEY}:
        yield "add the key that these values were written under to the configuration as a read key, then verify again"
    if reasons & {Reason.BAD_PADDING, Reason.NOT_AUTHENTIC, Reason.NOT_AN_OBJECT}:
        yield "put the bytes back that the key of that name had when it wrote these values, then verify again"
    if reasons & {Reason.WRONG_PLACE, Reason.MALFORMED, Reason.UNKNOWN_SEAL, Reason.UNRECOGNISED}:
        yield "find out who wrote the named values, no API server did; delete them or restore them from a backup"
    if any(one.missing for one in result.required):
        yield "compare etcd and prefix with kube-apiserver's --etcd-servers, --etcd-servers-overrides and --etcd-prefix"


def _steps_to_find(result: VerifyResult) -> Iterator[str]:
    if result.source.count:
        yield "an empty answer proves nothing: create an object of these resources, then verify again"
    elif result.neighbours:
        prefix = result.neighbours[0][0]
        yield f"keyctl verify-secrets --etcd-prefix {prefix}    if kube-apiserver has that --etcd-prefix"
    else:
        yield "compare --endpoints with kube-apiserver's --etcd-servers: this etcd is empty"


def _is_off(one: ResourceResult) -> bool:
    """Whether plaintext is what the configuration asks for; without one, whether there is nothing else."""
    roles = {stored.group.role for stored in one.stored if stored.group.encoding is not None}
    encrypted = any(is_encrypted(stored.group) for stored in one.stored)
    return Role.WRITE in roles or (Role.UNKNOWN in roles and not encrypted)


def _tables(result: VerifyResult) -> tuple[Table, ...]:
    columns = ("RESOURCE", "REQUIRED", "VALUES", "PROVIDER", "KEY", "ROLE", "DECRYPTED", "STATE")
    judged = tuple(row for one in result.required for row in _rows(one))
    others = tuple(row for one in result.resources if not one.required for row in _rows(one))
    numeric = frozenset({2, 6})
    tables = (Table(columns, judged, numeric),)
    if not others:
        return tables
    # NOTE: a table of nothing but wide columns shows only where there is room for all.
    return *tables, Table(columns, others, numeric, "not required", wide_only=frozenset(range(len(columns))))


def _rows(one: ResourceResult) -> Iterator[tuple[str, ...]]:
    required = "yes" if one.required else "no"
    if not one.stored:
        yield one.resource, required, "0", "-", "-", "-", "-", "missing" if one.missing else "none"
    for stored in one.stored:
        group = stored.group
        encrypted = is_encrypted(group)
        provider = str(group.encoding or group.provider or "-")
        version = f" {group.version}" if group.provider is Provider.KMS else ""
        key = display(group.key + (f" ({group.key_id})" if group.key_id else "")) or "-"
        decrypted = str(group.decrypted) if encrypted else "-"
        state = (
            stored.state if one.required or stored.state not in ("plaintext", "stale", "unknown") else "not required"
        )
        yield one.resource, required, str(group.values), provider + version, key, str(group.role), decrypted, state


def _data(result: VerifyResult) -> dict[str, object]:
    source, judged = result.source, result.required
    names = [_OUTCOME_NAMES[outcome] for outcome in result.outcomes]
    shown = {"type": source.type, "location": source.location, "revision": source.revision}
    integrity = {} if source.integrity is None else {"integrity": source.integrity}
    return {
        "verdict": names[0] if names else "pass",
        "outcomes": names,
        "proof": "decrypted" if result.decrypted else "prefix",
        "source": shown | {"clusterId": source.cluster_id} | integrity,
        "summary": {
            "values": sum(one.values for one in judged),
            "encrypted": sum(one.encrypted for one in judged),
            "plaintext": sum(one.plaintext for one in judged),
            "stale": sum(one.stale for one in judged),
            "unreadable": sum(one.unreadable for one in judged),
            "unrecognised": sum(one.unrecognised for one in judged),
            "decrypted": sum(one.decrypted for one in judged),
            "notDecrypted": sum(one.not_decrypted for one in judged),
        },
        "resources": [_resource_data(one) for one in result.resources],
        **left_data(result.left),
        "otherPrefixes": _elsewhere_data(result),
    }


def _elsewhere_data(result: VerifyResult) -> dict[str, object]:
    live = {"values": result.elsewhere[0], "first": [prefix for prefix, _ in result.elsewhere[1]]}
    return {"values": result.left.elsewhere[0], "first": list(result.left.elsewhere[1]), "live": live}


def _resource_data(one: ResourceResult) -> dict[str, object]:
    encrypted = [
        {
            "provider": str(group.provider),
            "version": group.version,
            "key": display(group.key),
            "keyId": None if group.key_id is None else display(group.key_id),
            "values": group.values,
            "role": str(group.role),
            "decrypted": group.decrypted,
            "failed": group.failed,
            "state": state,
        }
        for group, state in ((stored.group, stored.state) for stored in one.stored)
        if is_encrypted(group)
    ]
    shown = {"resource": one.resource, "required": one.required, "values": one.values, "plaintext": one.plaintext}
    return shown | {"unrecognised": one.unrecognised, "missing": one.missing, "encrypted": encrypted}


def _count(number: int) -> str:
    return f"{number} value" if number == 1 else f"{number} values"


def _summed_up(names: tuple[str, ...]) -> str:
    if len(names) <= _MOST_NAMES:
        return _listed(names)
    first = effective.SECRETS if effective.SECRETS in names else display(names[0])
    return f"{first} and {len(names) - 1} other resources"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(display(name) for name in names)


def left_behind(left: Leftovers) -> str:
    """What is wrong behind the live values, in a few words."""
    parts = []
    for area in Area:
        plaintext = sum(one.values for one in left.wrong if one.area is area and not one.retired)
        retired = sum(one.values for one in left.wrong if one.area is area and one.retired)
        counts = [f"{plaintext} plaintext"] * bool(plaintext) + [f"{retired} under retired keys"] * bool(retired)
        parts += [f"{' and '.join(counts)} in {_AREA_NAMES[area]}"] * bool(counts)
    return ", ".join(parts)


def left_data(left: Leftovers) -> dict[str, object]:
    """The fields of the JSON contract about what lies behind the live values, and what of it was looked at."""
    history, residue = left.of(Area.HISTORY), left.of(Area.FREE_PAGES, Area.WAL, Area.SNAP_DIR)
    coverage = {**left.coverage, **dict.fromkeys(left.not_looked_at, Coverage.NOT_SCANNED)}
    return {
        "coverage": {str(area): str(coverage[area]) for area in Area},
        "remarks": [{"area": str(one.area), "text": display(one.text)} for one in left.remarks],
        "history": {"values": sum(one.values for one in history)} | _left_counts(left, history),
        "residue": _left_counts(left, residue) | {"plaintextIn": _plaintext_by_area(left, residue)},
    }


def _plaintext_by_area(left: Leftovers, groups: tuple[LeftGroup, ...]) -> dict[str, int]:
    """How much of `groups` is plaintext that should not be, by area; without areas that have none."""
    found: Counter[str] = Counter()
    for one in groups:
        if left.is_plaintext(one):
            found[str(one.area)] += one.values
    return dict(found)


def _left_counts(left: Leftovers, groups: tuple[LeftGroup, ...]) -> dict[str, object]:
    encrypted = [
        {
            "area": str(one.area),
            "resource": one.resource or None,
            "provider": str(one.ref.provider),
            "key": display(one.ref.name),
            "values": one.values,
            "retired": one.retired,
            "otherBytes": one.other_bytes,
        }
        for one in groups
        if one.ref is not None
    ]
    return {"plaintext": sum(one.values for one in groups if left.is_plaintext(one)), "encrypted": encrypted}
