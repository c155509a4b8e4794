"""Encryption flags of static pod manifests, put where they belong: renamed, moved to kube-apiserver, mounted.

Pure: contents in, contents out; what is changed is told, what is left says why. Guesses nothing: where two values
contradict each other, both stay. Writes no file.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from keyctl.documents import parse
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.findings import Finding, Rule
from keyctl.hosts.encryption_flags import CONFIG_FLAG, RELOAD_FLAG, REMOVED_FLAG, EncryptionFlags, file_path
from keyctl.hosts.manifest_rules import MISPLACED, REMOVED, UNMOUNTED, judge_manifest
from keyctl.hosts.manifests import add_encryption_flag
from keyctl.hosts.pod import Pod, Word, field_of, items_of, pods, text_of
from keyctl.hosts.pod_edits import with_shorter_name, without_item
from keyctl.hosts.spare_mount import spare_mount, volume_is_used

_EXPERIMENTAL = re.compile("experimental[-_](?=encryption[-_]provider[-_]config)")


@dataclass(frozen=True, slots=True)
class Done:
    """One repair. `line` is where the file had what went or was renamed, or where it now has what came."""

    rule: str
    file: str
    line: int
    sentence: str


@dataclass(frozen=True, slots=True)
class ManifestRepair:
    """`contents` holds the changed files only; `left` is what is still wrong with the files as they then are.

    `contents` is in the order in which the files must be written: a flag comes to its kube-apiserver before it leaves
    another program. `reads` names the manifests whose kube-apiserver will read another file than before, or see it
    for the first time: each with that file, as a path of its host, or None where that cannot be told.
    """

    contents: Mapping[str, bytes]
    done: tuple[Done, ...]
    left: tuple[Finding, ...]
    reads: Mapping[str, PurePosixPath | None]


@dataclass(frozen=True, slots=True)
class _Place:
    """One container: the `index`-th of the manifest `file`."""

    file: str
    index: int


def repair_manifests(manifests: Mapping[str, bytes]) -> ManifestRepair:
    """The manifests, by file name, with what can be repaired without a guess repaired. Twice is the same as once.

    A flag that stands with another program goes to the manifest of kube-apiserver among `manifests`; of several,
    to the one in the same directory. Raises `UnusableInputError` when a file is no pod manifest, or its
    kube-apiserver is started in a way that hides the flags.
    """
    work = _Work(manifests)
    servers, others = work.places()
    seen = {server: work.sees(server) for server in servers}
    for server in servers:
        with work.step(server, REMOVED):
            work.rename(server)
    for target, sources in work.targets(servers, others).items():
        work.move(sources, target)
    for server in servers:
        with work.step(server, UNMOUNTED):
            work.mount(server)
    receivers = {server.file for server in servers}
    files = sorted(work.contents, key=lambda file: file not in receivers)
    contents = {file: work.contents[file] for file in files if work.contents[file] != manifests[file]}
    sees = {server: work.sees(server) for server in servers}
    reads = {server.file: place for server, (value, place) in sees.items() if value and seen[server] != sees[server]}
    return ManifestRepair(contents, tuple(work.done), work.left(), reads)


class _Work:
    """The files as they are so far. Each edit reads them anew, so places in the text are never out of date."""

    def __init__(self, manifests: Mapping[str, bytes]) -> None:
        self.contents = dict(manifests)
        self.done: list[Done] = []
        self._reasons: dict[tuple[str, str], str] = {}

    def places(self) -> tuple[list[_Place], list[_Place]]:
        """The containers that are kube-apiservers, and the others."""
        servers: list[_Place] = []
        others: list[_Place] = []
        for file in self.contents:
            for index, pod in enumerate(self._pods(file)):
                (servers if pod.is_api_server else others).append(_Place(file, index))
        return servers, others

    @contextmanager
    def step(self, place: _Place, rule: Rule) -> Iterator[None]:
        """All or nothing: what a refused edit had changed in any file is taken back, and the reason kept."""
        contents, done = dict(self.contents), list(self.done)
        try:
            yield
        except (RefusedError, UnusableInputError) as error:
            self.contents, self.done = contents, done
            self._leave(place, rule, f"do it by hand: {error}" + (f" ({error.cause})" if error.cause else ""))

    def sees(self, place: _Place) -> tuple[str, PurePosixPath | None]:
        """What the flag of a kube-apiserver names, "" without it, and where that is on its host, if it is known."""
        flags = self._flags(place)
        value = flags.config[-1].value if flags.config else ""
        path = file_path(value)
        mount = self._pod(place).covering(path) if path is not None else None
        if path is None or mount is None or mount.outside == PurePosixPath():
            return value, None
        return value, mount.outside / path.relative_to(mount.inside)

    def left(self) -> tuple[Finding, ...]:
        """What is wrong now, with what stood against its repair."""
        return tuple(
            dataclasses.replace(finding, fix=self._reasons.get((name, finding.id), finding.fix))
            for name, content in self.contents.items()
            for finding in judge_manifest(content, name)
        )

    def rename(self, place: _Place) -> None:
        """Give the removed flag its new name; where that stands already with the same value, remove the old one."""
        flags = self._flags(place)
        if len(flags.values) > 1:
            self._leave(place, REMOVED, "find out which of the files is the right one, and delete the other flag")
            return
        for index, flag in reversed(list(enumerate(flags.removed))):
            line = flag.words[0].node.span.line
            if index or flags.config:
                self._tell(REMOVED, place, line, f"removed --{REMOVED_FLAG}: --{CONFIG_FLAG} names the same file")
                self._drop(place, flag.words)
            else:
                self._tell(REMOVED, place, line, f"renamed --{REMOVED_FLAG} to --{CONFIG_FLAG}")
                word, pod = flag.words[0], self._pod(place)
                # The edits so far were behind this word, but they made the nodes new.
                word = next(new for new in pod.words() if (new.field, new.index) == (word.field, word.index))
                self.contents[place.file] = with_shorter_name(pod.document, word, _EXPERIMENTAL)

    def mount(self, place: _Place) -> None:
        """Mount the directory of the file, unless something is mounted there or it is not clear which file."""
        flags = self._flags(place)
        path = file_path(flags.config[-1].value) if flags.config else None
        if path is None or len(flags.values) > 1 or self._pod(place).covering(path) is not None:
            return
        self._add(place, flags.config[-1].value, UNMOUNTED, reload=False)

    def targets(self, servers: list[_Place], others: list[_Place]) -> dict[_Place, list[_Place]]:
        """For each kube-apiserver the other containers whose flags belong to it."""
        found: dict[_Place, list[_Place]] = {}
        for source in others:
            if not self._flags(source).all:
                continue
            near = [server for server in servers if _directory(server) == _directory(source)] or servers
            if len(near) == 1:
                found.setdefault(near[0], []).append(source)
            elif near:
                self._leave(source, MISPLACED, "name this file together with the one manifest the flag belongs to")
            else:
                self._leave(source, MISPLACED, "name the manifest of kube-apiserver together with this one")
        return found

    def move(self, sources: list[_Place], target: _Place) -> None:
        """Give `target` the flags of `sources`, and take them away there; nothing when they contradict each other."""
        flags = [self._flags(place) for place in (*sources, target)]
        values = frozenset[str]().union(*(one.values for one in flags))
        reloads = frozenset[bool]().union(*(one.reloads for one in flags))
        for source in sources:
            if len(values) > 1 or len(reloads) > 1:
                what = CONFIG_FLAG if len(values) > 1 else RELOAD_FLAG
                others = " and ".join(dict.fromkeys(place.file for place in (*sources, target)))
                self._leave(source, MISPLACED, f"decide on one value of --{what}, given differently in {others}")
            elif not values:
                self._leave(source, MISPLACED, f"name the file first, with --{CONFIG_FLAG} in {target.file}")
            else:
                with self.step(source, MISPLACED):
                    (value,) = values
                    self._give(source, target, value, reload=True in reloads)
                    self._take(source, file_path(value))

    def _give(self, source: _Place, target: _Place, value: str, *, reload: bool) -> None:
        has = self._flags(target)
        if has.files and (has.reload or not reload):
            return
        path = file_path(value)
        if path is None:
            raise RefusedError(f"the value of --{CONFIG_FLAG} in {source.file} is no plain absolute path")
        given = self._pod(source)
        if given.covering(path) is not None and given.showing(path) is None:
            raise RefusedError(f"{source.file} mounts something else of the host at {path.parent}")
        if has.removed:
            raise RefusedError(f"{target.file} has the flag under its removed name")
        self._add(target, value, MISPLACED, reload=reload)

    def _add(self, place: _Place, value: str, rule: Rule, *, reload: bool) -> None:
        path = PurePosixPath(value)
        had, mounted = self._flags(place), self._pod(place).showing(path)
        self.contents[place.file] = add_encryption_flag(
            self.contents[place.file], config_path=value, reload=reload, name=place.file
        )
        flags, mount = self._flags(place), self._pod(place).showing(path)
        if not had.config:
            self._tell(rule, place, flags.config[-1].words[0].node.span.line, f"added --{CONFIG_FLAG}={value}")
        if reload and not had.reload:
            self._tell(rule, place, flags.reload[-1].words[0].node.span.line, f"added --{RELOAD_FLAG}")
        if mount is not None and mounted is None:
            self._tell(rule, place, mount.node.span.line, f"mounted {path.parent} into kube-apiserver")

    def _take(self, place: _Place, path: PurePosixPath | None) -> None:
        pod = self._pod(place)
        flags = EncryptionFlags.of(pod).all
        spare = spare_mount(pod, path, flags) if path is not None else None
        for flag in reversed(flags):
            line = flag.words[0].node.span.line
            self._tell(MISPLACED, place, line, f"removed --{flag.name}, which {pod.name} does not know")
        for flag in flags:
            self._drop(place, flag.words)
        if spare is not None:
            line = spare.node.span.line
            self._tell(MISPLACED, place, line, f"removed the mount of {spare.inside}, which served that flag only")
            self._unmount(place, spare.index, spare.volume)

    def _drop(self, place: _Place, words: tuple[Word, ...]) -> None:
        for word in reversed(words):
            pod = self._pod(place)
            self.contents[place.file] = without_item(pod.document, pod.container, word.field, word.index)

    def _unmount(self, place: _Place, index: int, volume: str | None) -> None:
        pod = self._pod(place)
        self.contents[place.file] = without_item(pod.document, pod.container, "volumeMounts", index)
        pod = self._pod(place)
        names = [text_of(field_of(item, "name")) for item in items_of(field_of(pod.spec, "volumes"))]
        if volume is not None and names.count(volume) == 1 and not volume_is_used(pod, volume):
            self.contents[place.file] = without_item(pod.document, pod.spec, "volumes", names.index(volume))

    def _tell(self, rule: Rule, place: _Place, line: int, sentence: str) -> None:
        self.done.append(Done(rule.id, place.file, line, sentence))

    def _leave(self, place: _Place, rule: Rule, reason: str) -> None:
        self._reasons[place.file, rule.id] = reason

    def _pods(self, file: str) -> tuple[Pod, ...]:
        return pods(parse(self.contents[file], name=file))

    def _pod(self, place: _Place) -> Pod:
        return self._pods(place.file)[place.index]

    def _flags(self, place: _Place) -> EncryptionFlags:
        return EncryptionFlags.of(self._pod(place))


def _directory(place: _Place) -> PurePosixPath:
    return PurePosixPath(place.file).parent
