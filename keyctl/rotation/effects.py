"""The effects on one server: its file, its manifest, its restart; each followed by its proof.

Guards R1 and R10 right before each effect: no server may be about to load a file
that cannot read everything stored.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode, hash_of
from keyctl.errors import RefusedError, StoppedError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.manifests import Mount, add_encryption_flag, mount_of
from keyctl.keys.key import Key
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.plan import Plan, Stage
from keyctl.rotation.scan import name_first, scan
from keyctl.rotation.stages import next_file
from keyctl.rotation.world import Event, Reporter, Server, World

_POLL = 0.5
_REMIND = 10.0


class ServerEffects:
    """Acts on servers for one plan. `pause` is called while waiting; it raises when there is a reason to stop."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        key: Key,
        *,
        served: dict[str, str],
        reporter: Reporter,
        pause: Callable[[], None],
    ) -> None:
        self._world = world
        self._plan = plan
        self._key = key
        self._served = served
        self._reporter = reporter
        self._pause = pause

    def write_file(self, name: str, stage: Stage) -> None:
        """Put the file of `stage` on the host, made from the one of the stage before."""
        server, plan = self._world.server(name), self._plan.server(name)
        current = server.host.read(server.config_path)
        if plan.stage_of(None if current is None else current.sha256) is not Stage(stage - 1):
            raise _changed(server, server.config_path)
        content = next_file(
            None if current is None else current.content,
            stage,
            self._key,
            resources=self._plan.resources,
            entries=self._plan.entries,
            name=f"{name}:{server.config_path}",
        )
        if hash_of(content) != plan.hashes[stage]:
            raise _changed(server, server.config_path)
        self._guard(content, name)
        server.host.write(
            server.config_path,
            content,
            expected=None if current is None else current.sha256,
            in_place=self._mounts_single_file(server),
        )

    def edit_manifest(self, name: str) -> None:
        """Give the server the flag and the mount; the manifest as it was stays beside the configuration."""
        server = self._world.server(name)
        manifest = self._manifest(server)
        file = server.host.read(server.config_path)
        if file is None:
            raise _changed(server, server.config_path)
        self._guard(file.content, name)
        # NOTE: kubelet runs every file of the manifests directory, so the copy must not stay in there.
        copy = posixpath.join(
            posixpath.dirname(server.config_path), f"{posixpath.basename(manifest.path)}.before-keyctl"
        )
        if server.host.read(copy) is None:
            server.host.write(copy, manifest.content, expected=None)
        content = add_encryption_flag(
            manifest.content, config_path=server.config_path, reload=server.reloads, name=f"{name}:{manifest.path}"
        )
        server.host.write(manifest.path, content, expected=manifest.sha256)

    def restart(self, name: str, stage: Stage) -> None:
        """Restart the server and wait until it is ready with the file of `stage` loaded."""
        server = self._world.server(name)
        file = server.host.read(server.config_path)
        if file is None or self._plan.server(name).stage_of(file.sha256) is not stage:
            raise _changed(server, server.config_path)
        self._guard(file.content, name)
        server.host.restart()
        self.await_loaded((name,), stage)

    def await_loaded(self, names: tuple[str, ...], stage: Stage) -> None:
        """Wait until each of `names` is ready and reports the file of `stage`, each within its own limit."""
        clock = self._world.clock
        begun = clock.monotonic()
        reminded = begun
        waiting = {name: self._world.server(name) for name in names}
        while True:
            for name in list(waiting):
                probe = waiting[name].api.probe()
                if probe.ready and probe.loaded_hash == self._plan.server(name).hashes[stage]:
                    self._reporter.event(
                        Event("loaded", f"{name} has loaded it", {"server": name, "stage": stage.name})
                    )
                    del waiting[name]
                elif clock.monotonic() - begun > waiting[name].wait:
                    raise _never_loaded(name, probe, clock.monotonic() - begun)
            if not waiting:
                return
            if clock.monotonic() - reminded >= _REMIND:
                reminded = clock.monotonic()
                self._reporter.event(_waiting(tuple(waiting), reminded - begun, max(s.wait for s in waiting.values())))
            self._pause()
            clock.sleep(_POLL)

    def prove(self, name: str) -> ServerProbe:
        """A LIST of every encrypted resource through the server, or `StoppedError`.

        Returns what the server said of itself right before: which process it was, and what it had loaded.
        """
        server = self._world.server(name)
        probe = server.api.probe()
        for resource in self.encrypted_resources(server):
            listed = server.api.list_metadata(resource)
            if listed.problem:
                raise StoppedError(
                    f"{name} cannot list {resource}",
                    cause=listed.problem,
                    hint="keyctl verify-secrets names values that cannot be read; both keys are in place",
                    rule="R1",
                )
        return probe

    def encrypted_resources(self, server: Server) -> tuple[str, ...]:
        """Every resource that the API serves and the server's file encrypts or can decrypt."""
        file = server.host.read(server.config_path)
        if file is None:
            return ()
        config = decode(file.content, name=server.config_path).config
        return tuple(resource for resource in sorted(self._served) if effective.is_covered(config, resource))

    def _guard(self, content: bytes, name: str) -> None:
        """Open everything that is stored now with exactly the file that the server is about to load."""
        found = scan(self._world.everything(), prefix=self._world.prefix, config=decode(content, name=name).config)
        if found.unreadable:
            raise RefusedError(
                f"{found.unreadable} stored values could not be read by {name} with the file it is about to load",
                cause=name_first(found.problems),
                hint="nothing was changed by this step; keyctl verify-secrets names the values",
                rule="R1",
            )

    def _manifest(self, server: Server) -> HostFile:
        manifest = server.host.read(server.manifest_path) if server.manifest_path else None
        if manifest is None:
            raise _changed(server, server.manifest_path or "manifest")
        return manifest

    def _mounts_single_file(self, server: Server) -> bool:
        return mount_of(self._manifest(server).content, server.config_path) is Mount.SINGLE_FILE


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


def _never_loaded(name: str, probe: ServerProbe, waited: float) -> StoppedError:
    seen = (
        "it is ready with another configuration" if probe.ready else f"it is not ready: {probe.problem or 'no answer'}"
    )
    if probe.reload_failures:
        seen += f"; it refused {probe.reload_failures} reloads"
    return StoppedError(
        f"{name} has not loaded the new configuration after {waited:.0f} s",
        cause=seen,
        hint=(
            "this state is safe: every server reads every value, and no key was removed",
            f"see the log of kube-apiserver on {name}, then: keyctl rotate --resume",
        ),
    )
