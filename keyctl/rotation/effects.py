"""The effects on one server: its file, its manifest, its restart; each followed by its proof.

Guards R1 and R10 right before each effect: no server may be about to load a file
that cannot read everything stored.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode, hash_of
from keyctl.errors import RefusedError, StoppedError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.manifests import Mount, add_encryption_flag, mount_of, read_flags
from keyctl.hosts.pod_edits import same_but_for_restarts
from keyctl.keys.key import KeyRef
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.kms_values import STOPPED_HINT, SealedValues, first_unread
from keyctl.rotation.loaded import MARGIN, REPORTS_HASH, Loaded, LoadedBy, Loads, reports
from keyctl.rotation.plan import Plan, Stage
from keyctl.rotation.scan import name_first, scan
from keyctl.rotation.server_facts import on_disk
from keyctl.rotation.stages import Files
from keyctl.rotation.switch import prove_write
from keyctl.rotation.world import Event, Reporter, Server, World

_POLL = 0.5
_REMIND = 10.0
# A server that reloads looks at its file once a minute, and sooner after it has refused it.
_LOOKS_AGAIN = 75.0


@dataclass(frozen=True, slots=True)
class Proven:
    """A server that listed everything: what it said of itself, and how many objects of each resource it listed.

    `canary` is the key that it was seen to write with, where it does not say what it has loaded.
    """

    probe: ServerProbe
    loaded: Loaded
    listed: Mapping[str, int]
    canary: KeyRef | None = None


class UnreadableThereError(RefusedError):
    """The file that a server is about to load does not read everything that is stored now (R1)."""


class NotServingError(StoppedError):
    """A server does not list what it should, or is not ready with its file: a value that it cannot read may be why."""


class ServerEffects:
    """Acts on servers for one plan. `pause` is called while waiting; it raises when there is a reason to stop.

    `loads` remembers what servers have loaded that do not say it. `kms` gives the values, as of the newest scan, that
    only KMS plugins open (R16). `write` journals.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        files: Files,
        *,
        loads: Loads,
        served: dict[str, str],
        kms: Callable[[], SealedValues],
        reporter: Reporter,
        write: Callable[[str, Mapping[str, object]], None],
        pause: Callable[[], None],
    ) -> None:
        self._world = world
        self._plan = plan
        self._write = write
        self._files = files
        self._loads = loads
        self._served = served
        self._kms = kms
        self._reporter = reporter
        self._pause = pause

    def write_file(self, name: str, stage: Stage) -> None:
        """Put the file of `stage` on the host, made from the one of the stage before it, or after it on the way back.

        Raises `RefusedError` (R8) where the file is neither, `UnreadableThereError` (R1) where the new one would not
        read everything.
        """
        server, plan = self._world.server(name), self._plan.server(name)
        current = server.host.read(server.config_path)
        have = plan.stage_of(None if current is None else current.sha256)
        if have is None or abs(have - stage) != 1:
            raise _changed(server, server.config_path)
        old = None if current is None else current.content
        content = self._files.step(old, have, stage, name=f"{name}:{server.config_path}")
        if (None if content is None else hash_of(content)) not in plan.hashes[stage]:
            raise _changed(server, server.config_path)
        self._guard(content, name)
        if content is None:
            self._remove(server)
            return
        server.host.write(
            server.config_path,
            content,
            expected=None if current is None else current.sha256,
            in_place=self._mounts_single_file(server),
        )
        self._loads.wrote(name, None if current is None else current.sha256, lambda: on_disk(server))

    def edit_manifest(self, name: str) -> None:
        """Give the server the flag and the mount; the manifest as it was stays beside the configuration."""
        server = self._world.server(name)
        manifest = self._manifest(server)
        file = server.host.read(server.config_path)
        if file is None:
            raise _changed(server, server.config_path)
        self._guard(file.content, name)
        copy = manifest_copy(server.config_path, manifest.path)
        if server.host.read(copy) is None:
            server.host.write(copy, manifest.content, expected=None)
        server.host.write(manifest.path, self._with_flag(server, manifest.content), expected=manifest.sha256)

    def restore_manifest(self, name: str) -> None:
        """Put the manifest back as it was before `edit_manifest`; `RefusedError` (R8) when it was edited since."""
        server = self._world.server(name)
        manifest = self._manifest(server)
        copy = server.host.read(manifest_copy(server.config_path, manifest.path))
        flagged = None if copy is None else self._with_flag(server, copy.content)
        if copy is None or flagged is None or not same_but_for_restarts(flagged, manifest.content, name=manifest.path):
            raise RefusedError(
                f"{manifest.path} on {name} is not the manifest that this rotation left there",
                hint="take the encryption flag and its mount out of it by hand, then: keyctl rotate --resume",
                rule="R8",
            )
        self._guard(None, name)
        server.host.write(manifest.path, copy.content, expected=manifest.sha256)

    def restart(self, name: str, stage: Stage) -> None:
        """Restart the server and wait until it is ready with the file of `stage` loaded."""
        server = self._world.server(name)
        if self.stage_at_start(name) is not stage:
            raise _changed(server, server.config_path)
        self._guard(self._content_at_start(server), name)
        self._watch(server)
        server.host.restart()
        self.await_loaded((name,), restarted=True)

    def stage_at_start(self, name: str) -> Stage | None:
        """The stage that the server has when it starts now; None for a file that is none of the plan's."""
        content = self._content_at_start(self._world.server(name))
        return self._plan.server(name).stage_of(None if content is None else hash_of(content))

    def unreadable_at_start(self, name: str) -> int:
        """How many values the server could not read if it started now."""
        content = self._content_at_start(self._world.server(name))
        config = None if content is None else decode(content, name=name).config
        return scan(self._world.everything(), prefix=self._world.prefix, config=config).unreadable

    def await_loaded(self, names: tuple[str, ...], *, restarted: bool = False) -> None:
        """Wait until each of `names` is ready with the file on its host loaded, each within its own limit.

        One that follows no changes of its file and was not `restarted` now is only waited for until it is ready: it has
        what it had, if it was never gone. The next look tells.

        Raises `NotServingError` for one that is not, and sooner for one that goes on refusing to reload it.
        """
        clock = self._world.clock
        begun = clock.monotonic()
        reminded = begun
        waiting = {name: self._world.server(name) for name in names}
        contents = {name: self._content_at_start(server) for name, server in waiting.items()}
        expected = {name: None if content is None else hash_of(content) for name, content in contents.items()}
        refusals = _Refusals(self._reporter)
        while True:
            for name in list(waiting):
                probe, loaded = self._ask(waiting[name])
                waited = clock.monotonic() - begun
                has_it = loaded.is_file(expected[name])
                if probe.ready and (has_it or not (restarted or waiting[name].reloads)):
                    fields = {"server": name, "by": loaded.by}
                    self._reporter.event(Event("loaded", f"{name} {'has loaded it' if has_it else 'is back'}", fields))
                    del waiting[name]
                elif waited > waiting[name].wait or refusals.last(probe, clock.monotonic()):
                    raise _never_loaded(probe, loaded, waited, self.stage_at_start(name))
            if not waiting:
                return
            if clock.monotonic() - reminded >= _REMIND:
                reminded = clock.monotonic()
                self._reporter.event(_waiting(tuple(waiting), reminded - begun, max(s.wait for s in waiting.values())))
            self._pause()
            clock.sleep(_POLL)

    def prove(self, name: str) -> Proven:
        """A LIST of every encrypted resource, and a GET of every value of a KMS plugin, through the server.

        One that does not say what it has loaded writes a canary, too, which every server reads. Raises
        `NotServingError` or `StoppedError` where any of it is refused. What is returned it said right before.
        """
        server = self._world.server(name)
        probe, loaded = self._ask(server)
        counts = self.prove_reads(name)
        inferred = loaded.hash is not None and loaded.by is not LoadedBy.HASH
        return Proven(probe, loaded, counts, self._write_canary(server, loaded) if inferred else None)

    def prove_reads(self, name: str) -> dict[str, int]:
        """How many objects of each encrypted resource the server lists; it reads every value of a KMS plugin, too.

        Raises as `prove` does. What a plugin sealed that is being withdrawn it need not read.
        """
        server, sealed = self._world.server(name), self._kms()
        unread = first_unread(self._world, server, sealed.stay, between=self._pause)
        if unread is not None:
            raise StoppedError(unread.message, cause=unread.cause, hint=STOPPED_HINT, rule="R16")
        counts: dict[str, int] = {}
        for resource in self.encrypted_resources(server):
            listed = server.api.list_metadata(resource)
            if listed.problem:
                if not any(item.resource == resource for item in sealed.go):
                    raise _cannot_list(name, resource, listed.problem, sealed)
                message = f"{name} cannot list {resource}, which {sealed.withdrawn} sealed: another server rewrites it"
                self._reporter.event(Event("step", message))
                continue
            counts[resource] = listed.count
        return counts

    def encrypted_resources(self, server: Server) -> tuple[str, ...]:
        """Every resource that the API serves and the server's file, or the plan, encrypts or can decrypt."""
        file = server.host.read(server.config_path)
        config = None if file is None else decode(file.content, name=server.config_path).config
        covered = (name for name in self._served if config is not None and effective.is_covered(config, name))
        return tuple(sorted({*covered, *(name for name in self._plan.resources if name in self._served)}))

    def _ask(self, server: Server) -> tuple[ServerProbe, Loaded]:
        probe = server.api.probe()
        return probe, self._loads.seen(probe, lambda: on_disk(server))

    def _watch(self, server: Server) -> None:
        """Before a restart: take note of what is there, so that what comes after it is known by that."""
        disk = on_disk(server)
        probe = server.api.probe()
        watched = self._loads.watch(probe, disk)
        if probe.loaded_hash is None and not (watched and reports(probe, REPORTS_HASH)):
            # NOTE: whoever looks later has only the clocks to tell that this start came after the file.
            self._pause()
            self._world.clock.sleep(MARGIN + 2)

    def _write_canary(self, server: Server, loaded: Loaded) -> KeyRef:
        """See which key the server writes Secrets with: that of the file it has loaded; and every server reads it."""
        plan, name = self._plan.server(server.name), f"{server.name}:{server.config_path}"
        content = self._content_at_start(server)
        have, want = plan.stage_of(None if content is None else hash_of(content)), plan.stage_of(loaded.hash)
        if have is None or want is None:
            raise _changed(server, server.config_path)
        # NOTE: the next file may be there already, for its next start or reload.
        text = content if have is want else self._files.step(content, have, want, name=name)
        config = None if text is None else decode(text, name=name).config
        writer = effective.writer(config, "secrets").ref
        fields = {"step": "canary", "server": server.name}
        self._write("intent", fields)
        prove_write(self._world, server, config, writer, tag=self._plan.rotation)
        self._write("outcome", fields)
        return writer

    def _content_at_start(self, server: Server) -> bytes | None:
        """What the server loads when it starts now; None where no flag names a file."""
        manifest = self._manifest(server) if server.manifest_path else None
        flagged = manifest is None or read_flags(manifest.content, name=manifest.path).encryption_provider_config
        if not flagged:
            return None
        file = server.host.read(server.config_path)
        if file is None:
            raise _changed(server, server.config_path)
        return file.content

    def _guard(self, content: bytes | None, name: str) -> None:
        """Open everything that is stored now with exactly the file that the server is about to load."""
        config = None if content is None else decode(content, name=name).config
        found = scan(self._world.everything(), prefix=self._world.prefix, config=config)
        if found.unreadable:
            raise UnreadableThereError(
                f"{found.unreadable} stored values could not be read by {name} with the file it is about to load",
                cause=name_first(found.problems),
                hint="nothing was changed by this step; keyctl verify-secrets names the values",
                rule="R1",
            )
        # NOTE: reading everything may take longer than the Lease lasts; whoever lost it changes nothing more (R8).
        self._pause()

    def _remove(self, server: Server) -> None:
        """Take the file away, and the copy of the manifest that came with it."""
        copy_path = manifest_copy(server.config_path, server.manifest_path or "")
        for path in (copy_path, server.config_path):
            file = server.host.read(path)
            if file is not None:
                server.host.remove(path, expected=file.sha256)

    def _with_flag(self, server: Server, manifest: bytes) -> bytes:
        name = f"{server.name}:{server.manifest_path}"
        return add_encryption_flag(manifest, config_path=server.config_path, reload=server.reloads, name=name)

    def _manifest(self, server: Server) -> HostFile:
        manifest = server.host.read(server.manifest_path) if server.manifest_path else None
        if manifest is None:
            raise _changed(server, server.manifest_path or "manifest")
        return manifest

    def _mounts_single_file(self, server: Server) -> bool:
        return mount_of(self._manifest(server).content, server.config_path) is Mount.SINGLE_FILE


def manifest_copy(config_path: str, manifest_path: str) -> str:
    """Where the manifest as it was is kept: kubelet runs every file of its own directory, so not in there."""
    return posixpath.join(posixpath.dirname(config_path), f"{posixpath.basename(manifest_path)}.before-keyctl")


def _cannot_list(name: str, resource: str, problem: str, sealed: SealedValues) -> NotServingError:
    # NOTE: what a plugin sealed, keyctl cannot open, so it cannot name what a server does not read of it.
    plain = ("keyctl verify-secrets names values that cannot be read; no key was destroyed",)
    by_plugin = any(item.resource == resource for item in sealed.stay)
    hint = STOPPED_HINT if by_plugin else plain
    return NotServingError(
        f"{name} cannot list {resource}", cause=problem, hint=hint, rule="R16" if by_plugin else "R1"
    )


def _changed(server: Server, path: str) -> RefusedError:
    return RefusedError(
        f"{path} on {server.name} is not what this rotation left there",
        hint="find out who manages that file; put the expected one back, then: keyctl rotate --resume",
        rule="R8",
    )


def _waiting(names: tuple[str, ...], elapsed: float, limit: float) -> Event:
    who = ", ".join(names)
    return Event(
        "wait",
        f"waiting for {who} to load the file: {elapsed:.0f} s of at most {limit:.0f} s",
        {"servers": list(names), "elapsed": round(elapsed), "limit": round(limit)},
    )


class _Refusals:
    """Watches the counts of refused reloads while servers are waited for: what one refuses, it goes on refusing."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._before: dict[tuple[str, float], int] = {}
        self._since: dict[tuple[str, float], float] = {}

    def last(self, probe: ServerProbe, now: float) -> bool:
        """Whether the server has refused its file, and has had the time to think again."""
        process = (probe.name, probe.start_time)
        refused = probe.reload_failures - self._before.setdefault(process, probe.reload_failures)
        if refused and process not in self._since:
            self._since[process] = now
            message = f"{probe.name} has refused to load the file; it looks at it again within a minute"
            self._reporter.event(Event("wait", message, {"server": probe.name, "refused": probe.reload_failures}))
        return process in self._since and now - self._since[process] > _LOOKS_AGAIN


def _never_loaded(probe: ServerProbe, loaded: Loaded, waited: float, stage: Stage | None) -> NotServingError:
    name = probe.name
    if not probe.ready:
        seen = f"it is not ready: {probe.problem or 'no answer'}"
    else:
        seen = "it is ready with another configuration" if loaded.by else loaded.doubt
    if probe.reload_failures:
        seen += f"; it refused {probe.reload_failures} reloads"
    # NOTE: one that refuses its file would not come up with it.
    restart = " or restart it" if probe.ready and loaded.by and not probe.reload_failures else ""
    return NotServingError(
        f"{name} has not loaded the new configuration after {waited:.0f} s",
        cause=seen,
        hint=(
            "its file is without a key that left: nothing was found under that key, and the key store has it"
            if stage in {Stage.RETIRED, Stage.BASE}
            else "this state is safe: every server reads every value",
            *((f"{name}: {loaded.mend}",) if loaded.mend else ()),
            f"see the log of kube-apiserver on {name}{restart}, then: keyctl rotate --resume",
        ),
        rule="R9",
    )
