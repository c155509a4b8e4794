"""Take a server that joined the cluster into a rotation that is under way, or refuse and say what it lacks (R11).

A server that joins has a file from before, or none that anybody planned. It is
one of the rotation's once its file is, to the byte, one that the plan has for a
server that was there: then that server's texts are its own from there on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keyctl.errors import RefusedError
from keyctl.rotation.plan import Plan, ServerPlan, Stage, plan_from_record, server_from_record, server_to_record
from keyctl.rotation.server_facts import check_file, check_flags, look
from keyctl.rotation.world import Server, World

_WAY_ON = "then: keyctl rotate --resume"


@dataclass(frozen=True, slots=True)
class Joined:
    """A server that joined, with the texts of the server whose file it has, and where that stands."""

    plan: ServerPlan
    like: str
    stage: Stage

    def to_record(self) -> dict[str, object]:
        """As JSON-ready fields for the journal."""
        return {"server": self.plan.name, "like": self.like, "stage": self.stage.name, **server_to_record(self.plan)}


def plan_of(records: Sequence[Mapping[str, object]]) -> Plan:
    """The plan of the rotation that `records` begin with, with the servers that joined since.

    Raises `UnusableInputError` for records that are none.
    """
    fields = records[0].get("plan")
    plan = plan_from_record(fields if isinstance(fields, dict) else {})
    joined = tuple(server_from_record(record) for record in records if record.get("kind") == "joined")
    return replace(plan, servers=(*plan.servers, *joined))


def joined_servers(world: World, plan: Plan) -> tuple[Joined, ...]:
    """The servers of the cluster file that `plan` does not know, each fit to be taken in.

    Raises `RefusedError` (R11) when one is not, or when a server of the plan is not listed any more.
    """
    listed, planned = {server.name for server in world.servers}, {server.name for server in plan.servers}
    if planned - listed:
        gone = min(planned - listed)
        raise RefusedError(
            f"the cluster file lists other API servers than this rotation began with: {gone} is missing",
            cause="what it has loaded, or loads when it comes back, has to be known to the end",
            hint=f"list {gone} again, and bring it up if it is down, {_WAY_ON}",
            rule="R11",
        )
    return tuple(_joined(world, plan, server) for server in world.servers if server.name not in planned)


def _joined(world: World, plan: Plan, server: Server) -> Joined:
    facts = look(server)
    if not facts.probe.ready:
        raise RefusedError(
            f"API server {server.name} has joined, and is not ready",
            cause=facts.probe.problem or None,
            hint=f"bring it up, {_WAY_ON}",
            rule="R11",
        )
    check_flags(world, facts)
    sha256 = None if facts.file is None else facts.file.sha256
    for like in plan.servers:
        stage = like.stage_of(sha256)
        if stage is not None:
            check_file(facts)
            return Joined(replace(like, name=server.name), like.name, stage)
    first = world.server(plan.servers[0].name)
    raise RefusedError(
        f"API server {server.name} has joined with an encryption configuration that is none of this rotation's",
        hint=(
            f"copy {first.config_path} of {first.name} to {server.config_path} of {server.name} (mode 600)",
            f"make {server.name} load it, {_WAY_ON}",
        ),
        rule="R11",
    )
