"""What a rotation that came to its end is told with: what was proven, and where the evidence is."""

from __future__ import annotations

import sys

import click

from keyctl.cli.progress import JsonLines
from keyctl.keys.key import KeyRef
from keyctl.rotation.exposure import Exposed
from keyctl.rotation.outline import counted
from keyctl.rotation.plan import Goal, Plan, State
from keyctl.rotation.session import Finished
from keyctl.rotation.world import Event


def last_words(finished: Finished, *, output: str, quiet: bool) -> None:
    """Print the result, as text or as one JSON event; what to do next goes to stderr."""
    plan, found, state = finished.plan, finished.scan, finished.state
    sentence = _sentence(finished)
    evidence = finished.evidence
    if output == "json":
        fields = {
            "rotation": plan.rotation,
            "key": str(plan.new),
            "underKey": _under(finished, plan.new),
            "values": found.values,
            "revision": found.revision,
            "evidence": str(evidence.path),
            "evidenceHash": evidence.sha256,
            **({} if finished.exposed is None else {"exposed": finished.exposed.to_record()}),
        }
        JsonLines().event(Event(state.value, sentence, fields))
        return
    click.echo(sentence)
    click.echo(f"evidence: {evidence.path.parent} ({evidence.records} records, last hash {evidence.sha256})")
    if finished.exposed is not None:
        click.echo("\n".join(_exposed(finished.exposed, plan)))
    if sys.stderr.isatty() and not quiet:
        click.echo("next: keyctl verify-secrets", err=True)


def _exposed(exposed: Exposed, plan: Plan) -> list[str]:
    stood = f"{counted(exposed.objects, 'object')} stood under {plan.compromised} at some time"
    lines = [f"leaked: {stood}: change what they hold where it was issued; the list: {exposed.path}"]
    if exposed.unnamed:
        lines.append(f"leaked: {counted(exposed.unnamed, 'piece')} in freed pages of etcd no longer tell their object")
    if exposed.missed:
        lines.append(f"not looked at: {counted(exposed.missed, 'snapshot')} that needs the key; the list says which")
    return lines


def _sentence(finished: Finished) -> str:
    plan, found = finished.plan, finished.scan
    what = ", ".join(plan.resources)
    read = f"{counted(found.values, 'value')} read at etcd revision {found.revision}, every one opens"
    if found.kms_values:
        read += f", {found.kms_values} of them through each server and its KMS plugin only"
    if finished.state is State.ABORTED and plan.goal is Goal.REMOVE_IDENTITY:
        return f"aborted: every server reads plaintext of {what} as before; {read}"
    if finished.state is State.ABORTED:
        return f"aborted: no value is under {plan.new}, which is in no file; {read}"
    stands = f"{counted(_under(finished, plan.new), 'value')} under {plan.new}, none of {what} under another key"
    if finished.state is State.VERIFIED:
        return f"verified: {stands}; {read}"
    if plan.goal is Goal.REMOVE_IDENTITY:
        return f"retired: plaintext of {what} is read by no server and there is none; {stands}; {read}"
    gone = ", ".join(map(str, plan.old_refs))
    return f"retired: {gone} is in no file and no value is under it; {stands}; {read}"


def _under(finished: Finished, ref: KeyRef) -> int:
    return sum(group.values for group in finished.scan.groups if group.ref == ref and not group.infrastructure)
