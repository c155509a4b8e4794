"""Read everything in every etcd with all keys of a rotation in hand, and say what stands under which.

What any server may have written, now or earlier in this rotation, opens under
the configuration of stage PROMOTED: it reads the new key and the old ones. It is
made from whichever file is found, with the key store's copies of what that lacks.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import RefusedError, StoppedError
from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.kms_values import SealedValues
from keyctl.rotation.plan import Plan, Stage, Way
from keyctl.rotation.scan import Scan, name_first, scan
from keyctl.rotation.stages import IDENTITY, Files
from keyctl.rotation.world import World

ROUND_LIMIT = 20_000
_NAME = "encryption configuration"


@dataclass(frozen=True, slots=True)
class Configs:
    """What every server reads and writes at three stages of the plan; `archive` has the old keys from the store.

    `entries` are the entries that change; `plaintext` those that read plaintext at one end of the way only.
    """

    added: EncryptionConfig
    promoted: EncryptionConfig
    retired: EncryptionConfig | None
    archive: EncryptionConfig
    entries: frozenset[int]
    plaintext: frozenset[int]

    def changes(self, resource: str) -> bool:
        """Whether what writes `resource` is what this rotation says: its first entry is one that changes."""
        covering = effective.covering_entries(self.promoted, resource)
        return bool(covering) and covering[0] in self.entries

    def loses_plaintext(self, resource: str) -> bool:
        """Whether plaintext of `resource` is read at one end of the way only."""
        return not self.plaintext.isdisjoint(effective.covering_entries(self.promoted, resource))


class Readings:
    """Scans for one plan on one way. `last` is the newest scan."""

    def __init__(self, world: World, plan: Plan, files: Files, *, way: Way, served: Collection[str]) -> None:
        self._world = world
        self._plan = plan
        self._files = files
        self._way = way
        self._served = served
        self._configs: Configs | None = None
        self.last: Scan | None = None

    @property
    def leaving(self) -> tuple[KeyRef, ...]:
        """The keys under which nothing may be at the end of this way."""
        return self._plan.leaving(self._way)

    @property
    def configs(self) -> Configs:
        """The configurations of the plan's stages, from the first file that is one of the plan's.

        Raises `RefusedError` (R8) when no server has such a file.
        """
        if self._configs is None:
            content, stage = self._any_file()
            self._configs = self._make_configs(content, stage)
        return self._configs

    def writer(self, resource: str) -> KeyRef:
        """The key that is to write `resource` at the end of this way."""
        config = self.configs.added if self._way is Way.BACK else self.configs.promoted
        return effective.writer(config, resource).ref

    def scan(self) -> Scan:
        """Everything, now. Raises `StoppedError` (R10) for a value that no key opens."""
        # NOTE: values that no API serves (R18) are found by looking: their resources are those seen last time.
        groups = self.last.groups if self.last else ()
        seen = (group.resource for group in groups if not group.infrastructure)
        resources = {*self._served, *self._plan.resources, *seen}
        found = scan(
            self._world.everything(),
            prefix=self._world.prefix,
            config=self.configs.promoted,
            want={resource: self.writer(resource) for resource in resources if self.configs.changes(resource)},
            work_limit=ROUND_LIMIT,
        )
        if found.unreadable:
            raise StoppedError(
                f"{found.unreadable} stored values open with no key of this rotation",
                cause=name_first(found.problems),
                hint=(
                    "nothing else is touched; keyctl verify-secrets names them all",
                    "find the key or delete the objects, then: keyctl rotate --resume",
                ),
                rule="R10",
            )
        self._require_all_named(found)
        self.last = found
        return found

    def sealed(self) -> SealedValues:
        """What only KMS plugins open, as of the newest scan (R16)."""
        found = self.last.kms if self.last else ()
        if self._withdrawn is None:
            return SealedValues(found)
        # NOTE: an entry that changes has no other plugin than the one that came.
        changing = {name for name in {item.resource for item in found} if self.configs.changes(name)}
        go = tuple(item for item in found if item.resource in changing)
        return SealedValues(tuple(item for item in found if item.resource not in changing), go, self._withdrawn)

    @property
    def _withdrawn(self) -> KeyRef | None:
        """The plugin that goes out of use again on the way back."""
        back = self._way is Way.BACK and self._plan.new.provider is Provider.KMS
        return self._plan.new if back else None

    def _require_all_named(self, found: Scan) -> None:
        """R16: of what is to be read through every server, `found` names every one. Raises `StoppedError`."""
        if found.kms_values <= len(found.kms):
            return
        going = sum(group.values for group in found.groups if group.ref == self._withdrawn)
        if going and found.kms_values == going:
            return
        raise StoppedError(
            f"{found.kms_values} values are under KMS plugins: too many to ask each server for each",
            cause=f"no more than {len(found.kms)} are asked for, and one that is not asked for is not proven",
            hint=(
                "no further step is taken; delete what is not needed, then: keyctl rotate --resume",
                "or go back: keyctl rotate --abort",
            ),
            rule="R16",
        )

    def under_leaving(self, found: Scan) -> int:
        """How many values stand under a leaving key: any value of any etcd, whatever was asked for (R3)."""
        static = found.leaving([ref for ref in self.leaving if ref != IDENTITY])
        if IDENTITY not in self.leaving:
            return static
        plain = (g for g in found.groups if g.ref == IDENTITY and not g.infrastructure)
        return static + sum(group.values for group in plain if self.configs.loses_plaintext(group.resource))

    def elsewhere(self, found: Scan) -> int:
        """How many values of the resources that change are not under the key that is to write them, orphans too."""
        changing = (g for g in found.groups if not g.infrastructure and self.configs.changes(g.resource))
        return sum(group.values for group in changing if group.ref != self.writer(group.resource))

    def in_place(self, found: Scan) -> int:
        """How many values of the resources that change are under the key that is to write them."""
        changing = (g for g in found.groups if not g.infrastructure and self.configs.changes(g.resource))
        return sum(group.values for group in changing if group.ref == self.writer(group.resource))

    def _any_file(self) -> tuple[bytes | None, Stage]:
        for server in self._world.servers:
            file = server.host.read(server.config_path)
            stage = self._plan.server(server.name).stage_of(None if file is None else file.sha256)
            if stage is not None:
                return None if file is None else file.content, stage
        raise RefusedError(
            "no API server's encryption configuration is what this rotation left there",
            cause="somebody else changed the files of all of them",
            hint="find out who manages them; put the expected files back, then: keyctl rotate --resume",
            rule="R8",
        )

    def _make_configs(self, content: bytes | None, stage: Stage) -> Configs:
        change = self._plan.change
        promoted = self._files.walk(content, stage, Stage.PROMOTED, name=_NAME)
        last = len(_config(promoted).entries) - 1
        appended = {last} if change.appended or change.whole else set()
        entries = frozenset({*change.entries, *appended})
        kept = (old.entries for old in self._plan.old if old.ref == IDENTITY)
        plaintext = frozenset({*change.added_to, *appended, *chain.from_iterable(kept)})
        added = self._files.walk(promoted, Stage.PROMOTED, Stage.ADDED, name=_NAME)
        if not self._plan.retires:
            config = _config(promoted)
            return Configs(_config(added), config, None, config, entries, plaintext)
        retired = self._files.walk(promoted, Stage.PROMOTED, Stage.RETIRED, name=_NAME)
        archive = self._files.walk(retired, Stage.RETIRED, Stage.PROMOTED, name=_NAME)
        return Configs(
            _config(added), _config(promoted), _config(retired), _config(archive), entries=entries, plaintext=plaintext
        )


def _config(content: bytes) -> EncryptionConfig:
    return decode(content, name=_NAME).config
