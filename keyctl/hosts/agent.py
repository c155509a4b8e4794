"""A control-plane host whose own agent fetches its file: what is wanted is published, what the agent reports is read.

Nothing is known of the host but that report: of the encryption configuration and
the manifest, and of no other file. It says what stands on the disk; what a server
has loaded only the server itself can say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.hosts.interface import HostFile, HostUnreachableError
from keyctl.hosts.refusals import changed, check_size, other_than, sha256
from keyctl.keys.distribution import Distribution, Report, ReportedFile, Wanted

_LOOK_EVERY = 0.5
# A standby that answers by itself is behind for milliseconds; longer than this, Vault has gone back.
_BEHIND = 3.0
# An agent reports every ten minutes: older than this, two of its reports are missing.
_OLD = timedelta(minutes=25)


class Openers(Protocol):
    """What a configuration opens, by ids: `keyctl.encryption_config.openers`. Hosts decode none."""

    def __call__(self, content: bytes, *, name: str) -> Mapping[str, str]:
        """Id → name. Raises `UnusableInputError` for a file that kube-apiserver would refuse."""
        ...


class AgentHost:
    """The files of the API server `name`, of which its agent writes the one at `config_path`.

    What is published must be reported to be there within `wait` seconds. `now` is this machine's clock: a report
    whose own clock says another time than that, by more than 25 minutes, is none of the file as it is.
    """

    def __init__(
        self,
        name: str,
        distribution: Distribution,
        *,
        config_path: str,
        wait: float,
        openers: Openers,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._distribution = distribution
        self._config_path = config_path
        self._wait = wait
        self._openers = openers
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._newest = 0

    @property
    def name(self) -> str:
        """Which API server's host this is."""
        return self._name

    def read(self, path: str) -> HostFile | None:
        """See `Host.read`: the file as the agent last reported it."""
        return _host_file(self._reported(self._report(), path))

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        """See `Host.write`. Returns once the agent has reported the file; `StoppedError` when it does not."""
        check_size(self._name, path, len(content))
        if path != self._config_path:
            raise self._writes_one_file(path)
        before = self._require(path, expected)
        opened = {} if before is None else self._openers(before.content, name=f"{self._name}:{path}")
        kept = self._openers(content, name=f"{self._name}:{path}")
        lets_go = tuple(sorted(set(opened) - set(kept)))
        seq = self._distribution.want(self._name, Wanted(self._text(path, content), expected, lets_go, in_place))
        return self._await(path, content, seq)

    def remove(self, path: str, *, expected: str) -> None:
        """See `Host.remove`. Raises `RefusedError`: no agent takes a file away."""
        self._require(path, expected)
        raise RefusedError(
            f"host {self._name}: {path} is to be removed, which its agent does not do",
            hint="reach this server as type local or ssh in the cluster file, then: keyctl rotate --resume",
        )

    def sweep(self, path: str) -> tuple[str, ...]:
        """See `Host.sweep`. What was published and never applied is taken back; an agent sweeps its own temporaries.

        Raises `StoppedError` when the agent does not answer to that: it may be about to apply it.
        """
        rendition = self._distribution.current() if path == self._config_path else None
        wanted = rendition.files.get(self._name) if rendition else None
        if wanted is None:
            return ()
        found = _host_file(self._reported(self._report(), path))
        if found is None or found.sha256 != wanted.sha256:
            self._until(path, self._distribution.want(self._name, None), lambda _: True)
        return ()

    def free_bytes(self, path: str) -> int | None:  # noqa: ARG002 — the interface's
        """See `Host.free_bytes`: the room beside the configuration, as the agent last reported it."""
        return self._report().free

    def restart(self) -> None:
        """See `Host.restart`. An agent restarts nothing: always `StoppedError`."""
        raise StoppedError(
            f"host {self._name}: its agent restarts nothing",
            hint="restart kube-apiserver on that node yourself, then: keyctl rotate --resume",
        )

    def _require(self, path: str, expected: str | None) -> HostFile | None:
        found = self.read(path)
        if (found.sha256 if found else None) != expected:
            raise changed(self._name, path, other_than(expected, found.sha256 if found else None))
        return found

    def _await(self, path: str, content: bytes, seq: int) -> HostFile:
        def is_there(report: Report) -> bool:
            if any(file.path == path and file.content == content for file in report.files):
                return True
            # NOTE: what it refuses it goes on refusing; what failed, its next turn may mend.
            if report.passing:
                return False
            raise self._refused(path, report)

        found = _host_file(self._reported(self._until(path, seq, is_there), path))
        if found is None:
            raise changed(self._name, path, "right after it was reported it was gone")
        return found

    def _until(self, path: str, seq: int, is_done: Callable[[Report], bool]) -> Report:
        """The report of the agent on rendition `seq` or a later one, once `is_done`."""
        begun = self._monotonic()
        while True:
            report = self._look()
            if report is not None and report.seq >= seq and is_done(report):
                return report
            if self._monotonic() - begun > self._wait:
                if report is not None and report.seq >= seq:
                    raise self._refused(path, report)
                raise self._silent(path, report)
            self._sleep(_LOOK_EVERY)

    def _look(self) -> Report | None:
        """The last report; not one from before what was seen already, while that may be a standby's."""
        begun = self._monotonic()
        report = self._distribution.reported(self._name)
        while (report.seq if report else 0) < self._newest and self._monotonic() - begun < _BEHIND:
            self._sleep(_LOOK_EVERY)
            report = self._distribution.reported(self._name)
        self._newest = report.seq if report else 0
        return report

    def _report(self) -> Report:
        report = self._look()
        if report is None:
            raise HostUnreachableError(
                f"host {self._name}: its agent has never reported to {self._distribution.location}",
                hint=f"start it on that node: keyctl agent --server {self._name}",
            )
        now = self._now()
        # NOTE: one from the future is no newer for it: a clock that is ahead would hide an agent that is dead.
        if abs(now - datetime.fromisoformat(report.at)) > _OLD:
            raise self._outdated(report, now)
        return report

    def _outdated(self, report: Report, now: datetime) -> HostUnreachableError:
        return HostUnreachableError(
            f"host {self._name}: what its agent last reported is not of now",
            cause=f"by the clock of its node that was at {report.at}, and by the one here it is {now.isoformat()}",
            hint=(
                "see on that node whether it runs and reaches Vault: systemctl status keyctl-agent",
                "it reports every ten minutes, and soon after Vault is back; if it does, compare the clocks",
            ),
        )

    def _reported(self, report: Report, path: str) -> ReportedFile:
        for file in report.files:
            if file.path == path:
                if file.content is not None:
                    check_size(self._name, path, len(file.content))
                return file
        if report.refused:
            raise HostUnreachableError(
                f"host {self._name}: its agent could not read {path}",
                cause=report.refused,
                hint=f"see to it on that node, then run there: keyctl agent --server {self._name} --once",
            )
        raise HostUnreachableError(
            f"host {self._name}: its agent does not report {path}",
            cause=f"it reports {', '.join(file.path for file in report.files) or 'no file'}",
            hint="name the same paths, encryptionConfig and manifest, in the cluster file here and on that node",
        )

    def _text(self, path: str, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise UnusableInputError(
                f"host {self._name}: {path} is to hold what is no text", hint="an EncryptionConfiguration is UTF-8"
            ) from None

    def _writes_one_file(self, path: str) -> RefusedError:
        return RefusedError(
            f"host {self._name}: {path} is to be written, and its agent writes {self._config_path} only",
            hint="reach this server as type local or ssh in the cluster file, then run this again",
            rule="R13",
        )

    def _refused(self, path: str, report: Report) -> StoppedError:
        return StoppedError(
            f"host {self._name}: its agent does not put the new {path} in place",
            cause=report.refused or "it reports another file, and no reason",
            hint=(
                "the file on that node is as it was",
                "see to the cause there; once the agent follows again: keyctl rotate --resume",
            ),
        )

    def _silent(self, path: str, report: Report | None) -> StoppedError:
        last = f"it last reported at {report.at}" if report else "it never reported"
        return StoppedError(
            f"host {self._name}: its agent has not taken up the change of {path} within {self._wait:g} s",
            cause=last,
            hint=(
                "see on that node whether it runs and reaches Vault: systemctl status keyctl-agent",
                "once it does: keyctl rotate --resume",
                "if it only takes longer, set host.wait in the cluster file (45s at most)",
            ),
        )


def _host_file(file: ReportedFile) -> HostFile | None:
    if file.content is None:
        return None
    return HostFile(file.path, file.content, sha256(file.content), file.mode)
