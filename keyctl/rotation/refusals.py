"""What could not be rewritten: by class, counted in full, with the first names of each, and what to do about it.

Pure, and of a fixed size however many there are. Names and messages are for
whoever runs keyctl; a record of it has neither (see `Refusals.to_record`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from keyctl.errors import StoppedError
from keyctl.kube.interface import ObjectRef, Outcome, Patched, Refusal

_NAMED = 20
_SHOWN_NAMES, _SHOWN_GROUPS = 5, 4

_NEXT = {
    Refusal.WEBHOOK_DENIED: "let webhook {by} allow updates that change nothing, or exempt these objects from it",
    Refusal.WEBHOOK_FAILED: "bring back what answers for webhook {by}, or take the webhook away",
    Refusal.CONVERSION_FAILED: "bring back the conversion webhook of {by}; its CustomResourceDefinition names it",
    Refusal.POLICY_DENIED: "exempt these objects from ValidatingAdmissionPolicy {by}, or mend them",
    Refusal.IMMUTABLE: "a rule sees a change where there is none: mend it, or create these objects anew",
    Refusal.INVALID: "these objects do not pass today's validation: mend them (kubectl edit), or delete them",
    Refusal.QUOTA: "raise the quota that is exceeded: kubectl describe quota --all-namespaces",
    Refusal.TOO_LARGE: "make these objects smaller, or delete them: etcd takes no larger ones",
    Refusal.TERMINATING: "let the namespace end; kubectl get namespace -o yaml names the finalizers that hold it",
    Refusal.FORBIDDEN: "give keyctl's user the right to {by}; check with: kubectl auth can-i {by} --all-namespaces",
    Refusal.NOT_SERVED: "install the definition of {by} again, or delete its values",
    Refusal.CONFLICT: "somebody changes these objects all the time: stop that for a moment",
    Refusal.BUSY: "see why the API servers do not write them: kubectl get --raw '/readyz?verbose', and their logs",
    Refusal.UNMOVED: "the API says that they are written and raw etcd shows another key: look at the servers' files",
    Refusal.OTHER: "see what the message says of them",
}


@dataclass(slots=True)
class Group:
    """Objects that one thing keeps from being rewritten. `first` maps the first names to what the API said."""

    refusal: Refusal
    by: str
    count: int = 0
    first: dict[str, str] = field(default_factory=dict)

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return _NEXT[self.refusal].format(by=self.by)

    def in_words(self) -> str:
        """The first names, how many more there are, and the first message."""
        names = list(self.first)[:_SHOWN_NAMES]
        more = f" and {self.count - len(names)} more" if self.count > len(names) else ""
        return f"{', '.join(names)}{more}: {next(iter(self.first.values()), '')}"

    def to_record(self) -> dict[str, object]:
        """Its class, who refuses, and how many: no names, no message."""
        return {"class": self.refusal.value, "by": self.by, "objects": self.count}

    def to_event(self) -> dict[str, object]:
        """The same with the first names, what was said of them, and what to do."""
        first = [{"object": name, "message": message} for name, message in self.first.items()]
        return {**self.to_record(), "first": first, "next": self.next_step}


class Refusals:
    """The objects of one round that were not written. `named` is how many of a class are kept by name."""

    def __init__(self, *, named: int = _NAMED) -> None:
        self._named = named
        self._groups: dict[tuple[Refusal, str], Group] = {}
        self.refused = 0

    def note(self, patched: Patched) -> None:
        """Take note of an answer; those that are no refusal are passed over."""
        if patched.refusal is None:
            return
        self.refused += patched.outcome is Outcome.REFUSED
        self._add(patched.refusal, patched.by, 1, {name_of(patched.ref): patched.message})

    def note_unmoved(self, tried: Sequence[ObjectRef]) -> None:
        """Of `tried`, which raw etcd still shows under another key, those that no refusal explains."""
        unexplained = len(tried) - sum(group.count for group in self._groups.values())
        if unexplained > 0:
            known = {name for group in self._groups.values() for name in group.first}
            names = [name for ref in tried[: 2 * self._named] if (name := name_of(ref)) not in known]
            message = "the API answers as if it were written; raw etcd shows it under another key"
            self._add(Refusal.UNMOVED, "", unexplained, dict.fromkeys(names[:unexplained], message))

    def groups(self) -> tuple[Group, ...]:
        """The largest first."""
        return tuple(sorted(self._groups.values(), key=lambda group: (-group.count, group.refusal, group.by)))

    def to_record(self) -> list[dict[str, object]]:
        """For a journal that becomes evidence: counts by class, no names of objects."""
        return [group.to_record() for group in self.groups()]

    def error(self, message: str) -> StoppedError:
        """Exit 6: what keeps which objects, and what to do; the old key stays."""
        groups = self.groups()
        more = f"; {len(groups) - _SHOWN_GROUPS} more causes" if len(groups) > _SHOWN_GROUPS else ""
        return StoppedError(
            message,
            cause="; ".join(group.in_words() for group in groups[:_SHOWN_GROUPS]) + more,
            hint=(
                "the old key stays; nothing was removed and every value is readable",
                *dict.fromkeys(group.next_step for group in groups[:_SHOWN_GROUPS]),
                "then: keyctl rotate --resume",
            ),
            rule="R15",
        )

    def _add(self, refusal: Refusal, by: str, count: int, named: dict[str, str]) -> None:
        group = self._groups.setdefault((refusal, by), Group(refusal, by))
        group.count += count
        for name, message in named.items():
            if len(group.first) < self._named:
                group.first[name] = message


def name_of(ref: ObjectRef) -> str:
    """`namespace/name`, or the name alone; with the resource unless it is a Secret."""
    name = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    return name if ref.resource == "secrets" else f"{ref.resource} {name}"
