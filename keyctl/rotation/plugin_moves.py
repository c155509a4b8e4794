"""From static keys to a KMS v2 plugin and back: what must be so before, and what is said of it (rule R16). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig, KmsReader
from keyctl.encryption_config.plugin import Plugin
from keyctl.errors import RefusedError
from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.plan import FileChange, Goal, OldKey
from keyctl.rotation.reach import changes
from keyctl.rotation.scan import KMS_LIMIT, Scan
from keyctl.rotation.server_facts import ServerFacts

# KMS v2 needs no feature gate from this one on.
_OLDEST = (1, 29)
# Measured; docs/kms.md has the table.
TRADE_OFF = (
    "  ! static keys survive an outage of the KMS for ever; a KMS v2 plugin survives three minutes of writes",
    "  ! an API server that starts while the plugin or its KMS is away is never ready: no control-plane reboot then",
)


def check_place(servers: Sequence[ServerFacts], entries: tuple[int, ...], plugin: Plugin | None) -> None:
    """`plugin`, where one is to write, can stand in `entries` of every file, and every server takes it."""
    if plugin is None:
        return
    _check_entries(servers[0].config or EncryptionConfig(()), entries, plugin)
    _check_versions(servers)


def _check_entries(config: EncryptionConfig, entries: tuple[int, ...], plugin: Plugin) -> None:
    """One entry changes, and no provider has the name of `plugin` yet: kube-apiserver takes a name once in a file."""
    if len(entries) != 1:
        raise RefusedError(
            f"{len(entries)} entries would be written by the plugin {plugin.name}",
            cause="kube-apiserver takes the name of a KMS v2 plugin once in a file",
            hint="move one entry at a time, each to a plugin name of its own: --resources",
            rule="R16",
        )
    here = {ref.name: index for index, ref in _plugins(config)}
    if plugin.name in here:
        raise RefusedError(
            f"resources[{here[plugin.name]}] of the file has a KMS plugin called {plugin.name} already",
            cause="a name means the same plugin for ever: stored values name their plugin",
            hint="give the new plugin a name that was never used, with --kms-name",
            rule="R5",
        )
    if any(index in entries for index, _ in _plugins(config)):
        raise RefusedError(
            f"resources[{entries[0]}] of the file has another KMS plugin",
            hint="move to a static key first: keyctl rotate --provider aescbc, with --resources",
            rule="R16",
        )


def _check_versions(servers: Sequence[ServerFacts]) -> None:
    """Every server takes KMS v2 without a feature gate, and lets us read which key its plugin has."""
    for facts in servers:
        if not facts.probe.start_time:
            raise RefusedError(
                f"the metrics of {facts.server.name} cannot be read",
                cause=facts.probe.problem or "they hold no start time",
                hint="allow it, for they tell which key a plugin has: kubectl auth can-i get /metrics",
                rule="R16",
            )
        found = re.match(r"v?(\d+)\.(\d+)", facts.probe.version)
        if found is None or (int(found[1]), int(found[2])) < _OLDEST:
            raise RefusedError(
                f"{facts.server.name} is {facts.probe.version or 'of an unknown version'}",
                cause="KMS v2 is for every cluster since Kubernetes 1.29",
                hint="upgrade it first, or stay with a static key",
                rule="R16",
            )


def check_count(config: EncryptionConfig | None, change: FileChange, found: Scan, plugin: Plugin | None) -> None:
    """Every value that `plugin` will hold, where one is to write, can be asked for through each server, one by one."""
    if plugin is None:
        return
    moving = sum(g.values for g in found.groups if not g.infrastructure and changes(config, change, g.resource))
    total = moving + found.kms_values
    if total > KMS_LIMIT:
        raise RefusedError(
            f"{total} values would be under a KMS plugin: too many to ask each server for each",
            cause=f"keyctl cannot open them itself, and proves at most {KMS_LIMIT} of them one by one",
            hint="move fewer resources, with --resources",
            rule="R16",
        )


def leaving(
    servers: Sequence[ServerFacts], entries: tuple[int, ...], goal: Goal, provider: Provider | None
) -> Plugin | None:
    """The plugin that writes `entries` and is to leave them for a static key; None where none does.

    Raises `RefusedError` where a way back could not be written: for a v1 plugin, or several, or where the servers'
    files reach it at different places.
    """
    config = servers[0].config
    if goal is not Goal.ROTATE or provider in {None, Provider.KMS} or config is None:
        return None
    writers = {index: config.entries[index].providers[0].readers[0] for index in entries}
    held = [(index, reader) for index, reader in writers.items() if isinstance(reader, KmsReader)]
    if not held:
        return None
    index, reader = held[0]
    if len(entries) > 1 or reader.version != "v2":
        raise RefusedError(
            f"{reader.ref} writes resources[{index}] of the file, and is not all that would change",
            cause="one entry at a time leaves a plugin, and of version v2 only",
            hint="say which one with --resources",
            rule="R16",
        )
    found = {_settings(facts, index) for facts in servers}
    if len(found) > 1:
        raise RefusedError(
            f"the servers' files reach the plugin {reader.name} at different endpoints",
            cause=", ".join(sorted(plugin.endpoint for plugin in found)),
            hint="make the files equal first: the way back puts one endpoint into all of them",
            rule="R16",
        )
    return found.pop()


def old_plugin(plugin: Plugin | None, entries: tuple[int, ...]) -> tuple[OldKey, ...]:
    """The plugin as what leaves `entries`; nothing for None. It has no bytes, and so no fingerprint."""
    return () if plugin is None else (OldKey(plugin.ref, "", entries),)


def _settings(facts: ServerFacts, index: int) -> Plugin:
    if facts.file is None:
        raise RuntimeError("no file")
    raw = decode(facts.file.content, name=facts.server.name).raw.entries[index].providers[0].kms
    if raw is None:
        raise RuntimeError("no plugin where one was")
    return Plugin(raw.name.text, raw.endpoint.text, raw.timeout.text if raw.timeout else None)


def _plugins(config: EncryptionConfig) -> list[tuple[int, KeyRef]]:
    return [
        (index, reader.ref)
        for index, entry in enumerate(config.entries)
        for element in entry.providers
        for reader in element.readers
        if isinstance(reader, KmsReader)
    ]
