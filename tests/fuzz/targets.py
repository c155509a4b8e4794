"""What the fuzzer calls with every input. A target returns what was said, or lets the `KeyctlError` through."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from keyctl.encryption_config.decode import Decoded, decode
from keyctl.encryption_config.editing import edit
from keyctl.encryption_config.judge import Judged, judge
from keyctl.encryption_config.repair.masking import masked_diff
from keyctl.encryption_config.repair.relayout import relayout
from keyctl.encryption_config.repair.repairs import migrated, repairs
from keyctl.encryption_config.server import NEWEST, OLDEST, Server
from keyctl.encryption_config.views.compare import compare
from keyctl.encryption_config.views.explain import explained, fate_fields
from keyctl.encryption_config.views.resource_view import probes, reader_mark, view_fields
from keyctl.errors import KeyctlError
from keyctl.findings import Finding, Location
from keyctl.hosts.manifest_repair import repair_manifests
from keyctl.hosts.manifest_rules import is_pod_manifest, judge_manifest
from keyctl.hosts.manifests import add_encryption_flag, go_seconds, mount_of, read_flags
from keyctl.keys.key import Key, Provider
from tests.fuzz.findings import Said, Target, refused
from tests.fuzz.seeds import API_SERVER, CONFIGURATION

NAME = "enc.yaml"
_OTHER = decode(CONFIGURATION, name=NAME).config
# Editing takes KMS v1 for granted, and so what only some servers load.
_ANY_SERVER = Server(kms_v1_gate=True)
_KEY = Key(Provider.AESGCM, "fuzzed", bytes(range(32)))


def configuration(content: bytes) -> Said:
    """`decode` and `judge`, which must be of one mind; of what they accept, everything that is shown of it."""
    server = _server(content)
    judged = judge(content, name=NAME, server=server)
    try:
        decoded = decode(content, name=NAME, server=server)
        said = Said("accepted", _views(decoded), (repr(decoded), repr(decoded.config), repr(decoded.raw)))
    except KeyctlError as error:
        said = refused(error)
    _one_mind(judged, said)
    lines = (*said.lines, *_told(judged.findings))
    return Said(f"{said.kind} {_ids(judged.findings)}", lines, (*said.shown, repr(judged)))


def repair(content: bytes) -> Said:
    """`repairs` and `migrated`: a second time is the same as once, and what is accepted stays accepted."""
    server = _server(content)
    before = judge(content, name=NAME, server=server).accepted
    done = repairs(content, name=NAME, server=server)
    again = repairs(done.content, name=NAME, server=server)
    if again.content != done.content:
        raise AssertionError("a second repair changes more")
    if (before, done.accepted) in ((True, False), (True, None), (None, False)):
        raise AssertionError(f"accepted was {before} and is {done.accepted}")
    migrated(content, name=NAME, server=server)
    laid = relayout(content.decode("utf-8", "replace"))
    if laid is not None and relayout(laid) != laid:
        raise AssertionError("a second layout changes more")
    texts = (one.decode("utf-8", "replace") for one in (content, done.content))
    diff = masked_diff(*texts, name=NAME)
    lines = (*_told(done.left), *(one.sentence for one in done.done))
    kind = f"{before} to {done.accepted} by {sorted({one.rule_id for one in done.done})}"
    return Said(kind, lines, (repr(done),), diff=tuple(diff.split("\n")))


def edits(content: bytes) -> Said:
    """The edits of a rotation on what a server accepts: there and back again."""
    entries = tuple(range(len(decode(content, name=NAME, server=_ANY_SERVER).config.entries)))
    added = edit.add_reader(content, _KEY, entries=entries, name=NAME)
    if edit.remove_reader(added, _KEY.ref, entries=entries, name=NAME) != content:
        raise AssertionError("adding a key and removing it leaves another file")
    promoted = edit.promote(added, _KEY.ref, entries=entries, name=NAME)
    edit.demote(promoted, _KEY.ref, entries=entries, name=NAME)
    edit.add_identity(content, entries=entries, name=NAME)
    edit.add_entry(content, ("fuzzed.example.com",), _KEY, name=NAME)
    return Said("edited")


def manifest(content: bytes) -> Said:
    """What of a static pod's manifest keyctl reads, judges, repairs and adds to."""
    is_pod_manifest(content)
    flags = read_flags(content, name=NAME)
    derived = (flags.etcd_servers, flags.etcd_servers_overrides, flags.automatic_reload, flags.request_timeout)
    go_seconds(flags.request_timeout or "")
    mount = mount_of(content, flags.encryption_provider_config or "/etc/enc.yaml", name=NAME)
    findings = judge_manifest(content, NAME)
    added = add_encryption_flag(content, config_path="/etc/keyctl/enc.yaml", reload=True, name=NAME)
    if add_encryption_flag(added, config_path="/etc/keyctl/enc.yaml", reload=True, name=NAME) != added:
        raise AssertionError("adding the flag twice changes more")
    return Said(f"flags {mount} {[bool(one) for one in derived]} {_ids(findings)}", quoting=_told(findings))


def manifests(content: bytes) -> Said:
    """The repair of a manifest beside that of a kube-apiserver."""
    repaired = repair_manifests({NAME: content, "kube-apiserver.yaml": API_SERVER})
    again = repair_manifests({NAME: content, "kube-apiserver.yaml": API_SERVER} | dict(repaired.contents))
    if again.contents:
        raise AssertionError("a second repair changes more")
    kind = f"repaired {sorted(repaired.contents)} {sorted({one.rule for one in repaired.done})} {_ids(repaired.left)}"
    return Said(kind, quoting=(*_told(repaired.left), *(one.sentence for one in repaired.done)))


def _one_mind(judged: Judged, said: Said) -> None:
    if (judged.accepted is True) != (said.kind == "accepted"):
        raise AssertionError(f"judge says {judged.accepted}, decode says {said.kind}")
    if judged.accepted is not True and not judged.findings:
        raise AssertionError("refused without a reason")


def _views(decoded: Decoded) -> tuple[str, ...]:
    """What `config show`, `explain` and `diff` say of a configuration, the names of resources and keys aside."""
    config = decoded.config
    for resource in probes(config)[:20]:
        explanation = explained(config, resource)
        view_fields(explanation.view)
        for fate in explanation.fates:
            fate_fields(fate)
        for reader in explanation.view.readers:
            reader_mark(reader)
    compared = (compare(config, _OTHER), compare(_OTHER, config), compare(config, config), compare(None, config))
    if not compared[2].same or not compared[2].safe:
        raise AssertionError("a configuration differs from itself")
    return tuple(line for one in compared for line in _told(one.findings(Location(file=NAME))))


def _server(content: bytes) -> Server:
    """One that depends on the input alone, so that an input does the same again."""
    number = zlib.crc32(content)
    return Server(OLDEST + number % (NEWEST - OLDEST + 1), (None, True, False)[number // 100 % 3])


def _told(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(line for finding in findings for line in (finding.message, finding.fix or "-"))


def _ids(findings: Iterable[Finding]) -> list[str]:
    return sorted({finding.id for finding in findings})


TARGETS: tuple[Target, ...] = (configuration, repair, edits, manifest, manifests)
