"""The text of one server's configuration file at each stage. Key bytes pass through here and stay here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from shlex import quote

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode, hash_of
from keyctl.encryption_config.editing import edit
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, StaticReader
from keyctl.encryption_config.plugin import Writer
from keyctl.errors import RefusedError
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.rotation.plan import FileChange, Goal, OldKey, Stage

IDENTITY = KeyRef(Provider.IDENTITY, "")
# More texts than this for one server means that the edits do not lead back to where they came from.
_MOST_TEXTS = 16


def entries_to_change(
    config: EncryptionConfig | None, resources: tuple[str, ...] | None, goal: Goal
) -> tuple[int, ...]:
    """The entries of the file that get the new key; entries that `enable` has yet to append are not among them.

    Raises `RefusedError` when the goal does not fit the file.
    """
    if goal is Goal.DISABLE and not resources and (config is None or not _has_static_writer(config)):
        raise RefusedError(
            "nothing is encrypted with a static key",
            cause="no server has the encryption flag" if config is None else "no entry is written with one",
            rule="preflight",
        )
    if goal is Goal.ENABLE:
        return _plaintext_entries(config, resources or ())
    if config is None:
        raise RefusedError(
            "this cluster encrypts nothing yet",
            cause="no server has the encryption flag",
            hint="turn it on first: keyctl enable",
            rule="preflight",
        )
    selected = edit.selected_entries(config, resources)
    if goal is Goal.DISABLE and resources:
        _check_whole(config, selected, resources)
    return _with_spare_plaintext(config, selected) if goal is Goal.REMOVE_IDENTITY else selected


def entries_of(config: EncryptionConfig | None, refs: tuple[KeyRef, ...]) -> tuple[int, ...]:
    """Every entry that has one of `refs`, the names of one key.

    Raises `RefusedError` where none has it, or where plaintext writes.
    """
    found = () if config is None else sorted({index for ref in refs for index in effective.holders(config, ref)})
    if config is None or not found:
        raise RefusedError(
            f"no server's file has {refs[0]}: there is nothing to take it out of",
            cause="no server has the encryption flag" if config is None else "no entry reads or writes with it",
            hint="keyctl verify-secrets tells which keys values stand under",
            rule="preflight",
        )
    for index in found:
        if isinstance(config.entries[index].providers[0].readers[0], IdentityReader):
            what = config.entries[index].resources
            raise RefusedError(
                f"plaintext writes {', '.join(what)}, and {refs[0]} only reads there",
                cause=f"resources[{index}] of the file has identity first",
                hint=f"finish that first: keyctl disable {resource_options(what)}",
                rule="preflight",
            )
    return tuple(found)


def _plaintext_entries(config: EncryptionConfig | None, resources: tuple[str, ...]) -> tuple[int, ...]:
    """The entries in which plaintext writes `resources` now; what no entry covers gets one of its own."""
    if config is None:
        return ()
    encrypted = [name for name in resources if not isinstance(effective.writer(config, name), IdentityReader)]
    if encrypted:
        rest = [name for name in resources if name not in encrypted]
        raise RefusedError(
            f"{encrypted[0]} is encrypted already: {effective.writer(config, encrypted[0]).ref} writes it",
            hint=(
                *([f"to encrypt what is not yet: keyctl enable {resource_options(rest)}"] if rest else []),
                f"to change the key: keyctl rotate {resource_options(encrypted)}",
            ),
            rule="preflight",
        )
    covered = tuple(resource for resource in resources if effective.is_covered(config, resource))
    return edit.selected_entries(config, covered) if covered else ()


def _check_whole(config: EncryptionConfig, entries: tuple[int, ...], resources: tuple[str, ...]) -> None:
    """Turning encryption off is for all that an entry names: no Secret becomes plaintext that nobody spoke of."""
    asked = set(map(effective.GroupResource.parse, resources))
    for index in entries:
        named = config.entries[index].resources
        others = [name for name in named if effective.GroupResource.parse(name) not in asked]
        if others:
            raise RefusedError(
                f"{others[0]} would become plaintext, too",
                cause=f"resources[{index}] of the file is one entry for {', '.join(named)}",
                hint=(
                    f"to turn all of it off: keyctl disable {resource_options(dict.fromkeys((*resources, *named)))}",
                    "a single resource is not taken out of its entry: leave it encrypted otherwise",
                ),
                rule="preflight",
            )


def resource_options(resources: Iterable[str]) -> str:
    """`resources` as the command line takes them."""
    return " ".join(f"--resources {quote(resource)}" for resource in resources)


def _with_spare_plaintext(config: EncryptionConfig, selected: tuple[int, ...]) -> tuple[int, ...]:
    """Those of `selected` that read plaintext besides the key that writes."""
    found = tuple(index for index in selected if index in effective.holders(config, IDENTITY))
    if not found:
        raise RefusedError(
            "no plaintext is read there any more",
            cause="identity is in none of these entries: " + _places(selected),
            hint="there is nothing to do; keyctl verify-secrets proves that no value is in plaintext",
            rule="preflight",
        )
    writers = {config.entries[index].providers[0].readers[0].ref for index in found}
    if IDENTITY in writers:
        raise RefusedError(
            "plaintext writes there: it cannot be taken away",
            cause="identity is first in one of " + _places(found),
            hint="encrypt first: keyctl enable",
            rule="R3",
        )
    if len(writers) > 1:
        raise RefusedError(
            f"these entries are written under different keys: {' and '.join(sorted(map(str, writers)))}",
            cause="identity is in all of " + _places(found),
            hint="take identity out of one after the other, with --resources",
            rule="preflight",
        )
    return found


def _places(entries: tuple[int, ...]) -> str:
    return ", ".join(f"resources[{index}]" for index in entries)


def _has_static_writer(config: EncryptionConfig) -> bool:
    return any(isinstance(entry.providers[0].readers[0], StaticReader) for entry in config.entries)


def file_change(
    config: EncryptionConfig | None, *, resources: tuple[str, ...], entries: tuple[int, ...], goal: Goal
) -> FileChange:
    """What changes in a file that says `config`, None where there is no file."""
    if config is None:
        return FileChange(resources, (), (), whole=True)
    if goal is Goal.REMOVE_IDENTITY:
        return FileChange(resources, entries, ())
    if goal is not Goal.DISABLE:
        missing = tuple(resource for resource in resources if not effective.is_covered(config, resource))
        return FileChange(resources, entries, entries, appended=missing)
    places = tuple(
        (index, position)
        for index in entries
        for position, element in enumerate(config.entries[index].providers)
        if element.provider is Provider.IDENTITY
    )
    there = {index for index, _ in places}
    return FileChange(resources, entries, tuple(index for index in entries if index not in there), places=places)


def old_keys(config: EncryptionConfig | None, entries: tuple[int, ...], goal: Goal) -> tuple[OldKey, ...]:
    """What `entries` read and is to leave: the static keys, each with all of `entries` that hold it, or plaintext."""
    if config is None:
        return ()
    if goal is Goal.REMOVE_IDENTITY:
        return (OldKey(IDENTITY, "", entries),)
    found: dict[KeyRef, OldKey] = {}
    for element in (element for index in entries for element in config.entries[index].providers):
        before: KeyRef | None = None
        for reader in element.readers:
            if not isinstance(reader, StaticReader):
                continue
            holders = tuple(i for i in effective.holders(config, reader.ref) if i in entries)
            found.setdefault(reader.ref, OldKey(reader.ref, reader.key.fingerprint, holders, before))
            before = reader.ref
    return tuple(found.values())


class Files:
    """Makes the texts of one rotation's files, from one stage to the next, either way.

    `new` is None for plaintext. `old` are the old keys as the key store gives them, and
    the plugin that leaves: what is used where a file gets one of them back.
    """

    def __init__(
        self, change: FileChange, planned: tuple[OldKey, ...], new: Writer | None, old: Sequence[Writer]
    ) -> None:
        self._change = change
        self._planned = planned
        self._new = new
        self._ref = IDENTITY if new is None else new.ref
        self._old = {key.ref: key for key in old}

    def step(self, content: bytes | None, have: Stage, want: Stage, *, name: str) -> bytes | None:
        """The file of stage `want`, a neighbour of `have`, made from that of `have`. None is "no file".

        Raises `RefusedError` where the file does not allow the change.
        """
        if have is Stage.BASE and want is Stage.ADDED:
            return self._added(content, name)
        if content is None:
            raise RuntimeError(f"no file to make stage {want.name} from")
        match have, want:
            case Stage.ADDED, Stage.BASE:
                return self._withdrawn(content, name)
            case Stage.ADDED, Stage.PROMOTED:
                return edit.promote(content, self._ref, entries=self._entries(content, name), name=name)
            case Stage.PROMOTED, Stage.ADDED:
                places = {index: place for index, place in self._change.places if place}
                return edit.demote(content, self._ref, entries=self._entries(content, name), name=name, places=places)
            case Stage.PROMOTED, Stage.RETIRED:
                for planned in self._planned:
                    content = edit.remove_reader(content, planned.ref, entries=planned.entries, name=name)
                return content
            case Stage.RETIRED, Stage.PROMOTED:
                return self._put_back(content, name)
        raise RuntimeError(f"no way from stage {have.name} to {want.name}")

    def walk(self, content: bytes | None, have: Stage, want: Stage, *, name: str) -> bytes:
        """The file of stage `want`, as many stages away as it may be. Not for `BASE`."""
        while have is not want:
            following = Stage(have + (1 if want > have else -1))
            content = self.step(content, have, following, name=name)
            have = following
        if content is None:
            raise RuntimeError("no file at this stage")
        return content

    def hashes(self, base: bytes | None, *, retires: bool, name: str) -> tuple[tuple[str | None, ...], ...]:
        """For each stage the hashes, as a server reports them, of every text that this rotation may place there.

        `base` is the file as it is. Without `retires` the last stage has none.
        """
        top = Stage.RETIRED if retires else Stage.PROMOTED
        texts: dict[Stage, list[bytes | None]] = {stage: [] for stage in Stage}
        todo: list[tuple[Stage, bytes | None]] = [(Stage.BASE, base)]
        while todo:
            stage, text = todo.pop()
            if text in texts[stage]:
                continue
            texts[stage].append(text)
            if sum(map(len, texts.values())) > _MOST_TEXTS:
                raise RuntimeError(f"the edits of {name} do not lead back")
            neighbours = [Stage(n) for n in (stage - 1, stage + 1) if Stage.BASE <= n <= top]
            todo += [(neighbour, self.step(text, stage, neighbour, name=name)) for neighbour in neighbours]
        return tuple(tuple(None if text is None else hash_of(text) for text in texts[stage]) for stage in Stage)

    def _added(self, content: bytes | None, name: str) -> bytes:
        change = self._change
        if content is None:
            return edit.new_document(change.resources, self._key(), key_first=False)
        if self._new is None:
            return edit.add_identity(content, entries=change.added_to, name=name) if change.added_to else content
        if change.added_to:
            content = edit.add_reader(content, self._new, entries=change.added_to, name=name)
        return edit.add_entry(content, change.appended, self._key(), name=name) if change.appended else content

    def _put_back(self, content: bytes, name: str) -> bytes:
        """The file with the old keys: the first of each list right behind the writer, the others behind it."""
        first = [planned for planned in reversed(self._planned) if planned.beside is None]
        for planned in (*first, *(planned for planned in self._planned if planned.beside is not None)):
            if planned.ref == IDENTITY:
                content = edit.add_identity(content, entries=planned.entries, name=name)
                continue
            key = self._old[planned.ref]
            content = edit.add_reader(content, key, entries=planned.entries, beside=planned.beside, name=name)
        return content

    def _withdrawn(self, content: bytes, name: str) -> bytes | None:
        change = self._change
        if change.whole:
            return None
        if change.appended:
            content = edit.remove_entry(content, len(decode(content, name=name).config.entries) - 1, name=name)
        if change.added_to:
            content = edit.remove_reader(content, self._ref, entries=change.added_to, name=name)
        return content

    def _entries(self, content: bytes, name: str) -> tuple[int, ...]:
        """The entries that the new key writes, or is to; where it did so already, nothing moves."""
        if any(planned.ref == IDENTITY for planned in self._planned):
            return ()
        last = len(decode(content, name=name).config.entries) - 1
        places = dict(self._change.places)
        moving = (index for index in self._change.entries if places.get(index) != 0)
        return (*moving, *((last,) if self._change.appended or self._change.whole else ()))

    def _key(self) -> Key:
        if not isinstance(self._new, Key):
            raise RuntimeError("plaintext needs no new entry, and a plugin gets none")
        return self._new
