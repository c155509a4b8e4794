"""One check of `keyctl doctor`: a finding with the place it has on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from keyctl.errors import ExitCode, KeyctlError
from keyctl.findings import Evidence, Finding, Rule, Status
from keyctl.reports.checklist import Line, Mark
from keyctl.rotation.diagnosis.look import sentence
from keyctl.rotation.diagnosis.outcome import DECISIVE, exit_code


class Area(StrEnum):
    """What belongs together, in the order of the screen."""

    CLUSTER = "cluster"
    ETCD = "etcd"
    SERVERS = "API servers"
    HOSTS = "files on their hosts"
    KEYS = "keys and snapshots"
    STATE = "rotation"
    VALUES = "stored values"


@dataclass(frozen=True, slots=True)
class Item:
    """One check. `label` is what was looked at; `gap`: it failed because something could not be reached."""

    area: Area
    label: str
    finding: Finding
    gap: bool = False

    @property
    def mark(self) -> Mark:
        """How it came out."""
        match self.finding.status:
            case Status.FAIL:
                return Mark.FAILED if self.finding.severity in DECISIVE else Mark.WARNING
            case Status.PASS:
                return Mark.OK
        return Mark.NOT_CHECKED

    @property
    def line(self) -> Line:
        """It on a screen."""
        where = self.finding.location.etcd_key
        text = f"{self.finding.message}: {where}" if where else self.finding.message
        fix = self.finding.fix if self.mark is not Mark.OK else None
        return Line(self.mark, self.label, text, fix or "")


@dataclass(frozen=True, slots=True)
class Checks:
    """Makes the items of one area under their rules."""

    area: Area

    def ok(self, rule: Rule, label: str, message: str, *, evidence: Evidence = Evidence.E2) -> Item:
        """It was looked at, and it is right."""
        return Item(self.area, label, rule.finding(message, status=Status.PASS, evidence=evidence))

    def bad(self, rule: Rule, label: str, message: str, *, fix: str | None = None) -> Item:
        """It was looked at, and it is wrong; how wrong is the rule's severity."""
        return Item(self.area, label, rule.finding(message, fix=fix, evidence=Evidence.E2))

    def out_of_reach(self, rule: Rule, label: str, message: str, *, fix: str | None = None) -> Item:
        """It could not be reached, or refused us."""
        return Item(self.area, label, rule.finding(message, fix=fix, evidence=Evidence.E2), gap=True)

    def unknown(self, rule: Rule, label: str, message: str, *, fix: str | None = None) -> Item:
        """It was not looked at; `message` says why."""
        return Item(self.area, label, rule.finding(message, status=Status.UNKNOWN, fix=fix, evidence=Evidence.E0))

    def tried(self, rule: Rule, label: str, good: str, act: Callable[[], object]) -> Item:
        """`good` when `act` ends; what it raises is what is wrong."""
        try:
            act()
        except KeyctlError as error:
            return self.of_error(rule, label, error)
        return self.ok(rule, label, good)

    def of_error(self, rule: Rule, label: str, error: KeyctlError) -> Item:
        """An expected error as a check that failed."""
        make = self.out_of_reach if error.exit_code is ExitCode.UNREACHABLE else self.bad
        return make(rule, label, sentence(error), fix="; ".join(error.hints) or None)


def exit_code_of(items: Iterable[Item]) -> ExitCode:
    """See `outcome.exit_code`."""
    found = tuple(items)
    return exit_code(
        (item.finding for item in found if not item.gap), gaps=(item.finding for item in found if item.gap)
    )
