"""A plan that people agreed to before it is carried out: what was asked for, and what it was made from.

Pure. It holds no key: the new one is made when the plan is applied. What was
observed is kept as hashes and names, so that a later run can say whether any of
it is another thing now. Values come and go in a live cluster: their number is in
the lines that were read, and decides nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from keyctl.encryption_config.plugin import plugin_from_record
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.plan import Engine, Goal, History
from keyctl.rotation.preflight import Facts, Wish
from keyctl.rotation.reach import reached
from keyctl.rotation.world import EtcdPlace, World

_VERSION, _KIND = "keyctl/v1", "RotationPlan"
_NOTHING = "none"
# So many of the differences are named.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class AgreedPlan:
    """`wish` for `cluster`, shown as `lines`; `observed` maps what was looked at to what was found, both for people.

    `made` is the time of the look, as ISO 8601.
    """

    cluster: str
    made: str
    wish: Wish
    lines: tuple[str, ...]
    observed: Mapping[str, str]

    def to_text(self) -> str:
        """As a JSON document that `read` takes, with a digest of itself."""
        fields = self._fields()
        return json.dumps({**fields, "digest": _digest(fields)}, indent=2, ensure_ascii=True) + "\n"

    def _fields(self) -> dict[str, object]:
        wish = self.wish
        return {
            "apiVersion": _VERSION,
            "kind": _KIND,
            "cluster": self.cluster,
            "made": self.made,
            "wish": {
                "goal": wish.goal.value,
                "provider": None if wish.provider is None else wish.provider.value,
                "resources": None if wish.resources is None else list(wish.resources),
                "newName": wish.new_name,
                "compromised": None if wish.compromised is None else str(wish.compromised),
                "allowDowntime": wish.allow_downtime,
                "templateUpdated": wish.template_updated,
                "history": wish.history.value,
                "engine": wish.engine.value,
                "secondPass": wish.second_pass,
                "plugin": None if wish.plugin is None else wish.plugin.to_record(),
            },
            "lines": list(self.lines),
            "observed": dict(self.observed),
        }


def observed(world: World, facts: Facts) -> dict[str, str]:
    """Everything that a plan for `facts` was made from and that stays as it is while nobody changes it."""
    found = {
        "uid of the cluster": facts.uid,
        "storage prefix": world.prefix,
        "etcd endpoints": " ".join(world.etcds[0].endpoints),
        "etcd overrides": " ".join(
            ",".join(place.resources) + "=" + ",".join(place.endpoints) for place in world.etcds[1:]
        ),
        "API servers": " ".join(server.name for server in world.servers),
        "members of the etcds": " ".join(_identity(place) for place in world.etcds),
        "key store": world.store.location,
        "place of snapshots": str(world.snapshot_directory),
        "settle time": f"{world.settle:g} s",
    }
    for one in facts.servers:
        server = one.server
        identity = (server.url_host, server.hostname, server.advertise_address)
        found[f"address of {server.name}"] = " ".join(part or "-" for part in identity)
        manifest = server.host.read(server.manifest_path) if server.manifest_path else None
        found[f"{server.config_path} on {server.name}"] = one.file.sha256 if one.file else _NOTHING
        found[f"{server.manifest_path} on {server.name}"] = manifest.sha256 if manifest else _NOTHING
        found[f"what {server.name} has loaded"] = one.loaded.hash or _NOTHING
        found[f"version of {server.name}"] = one.probe.version
        found[f"activation of {server.name}"] = "reload" if server.reloads else "restart"
    # NOTE: with a wildcard in the file, what is installed decides what is rewritten.
    resources = reached(facts.servers[0].config, facts.change, facts.served)
    return found | {f"resource {name}": "changes" for name in resources}


def _identity(place: EtcdPlace) -> str:
    """Its cluster, which a restored one does not share, and its members."""
    members = place.etcd.status()
    return ",".join(sorted({f"{member.cluster_id}/{member.member_id}" for member in members}))


def require_the_same(plan: AgreedPlan, now: Mapping[str, str]) -> None:
    """Raise `RefusedError` (R8) naming what is another thing than when `plan` was made."""
    names = sorted({*plan.observed, *now})
    other = [name for name in names if plan.observed.get(name) != now.get(name)]
    if other:
        more = f"; and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
        raise RefusedError(
            f"the plan of {plan.made} no longer fits: {_change(other[0], plan.observed, now)}",
            cause="; ".join(_change(name, plan.observed, now) for name in other[1:_NAMED]) + more or None,
            hint="make a new plan and look at it again, with --dry-run and --plan-file",
            rule="R8",
        )


def read(content: bytes, *, name: str) -> AgreedPlan:
    """The plan in the file `name`. Raises `UnusableInputError` for any other file, and for one that was edited."""
    try:
        fields = json.loads(content)
        digest = fields.pop("digest")
        if (fields["apiVersion"], fields["kind"]) != (_VERSION, _KIND):
            raise ValueError("another kind of document")
        wish, resources = fields["wish"], fields["wish"]["resources"]
        plan = AgreedPlan(
            cluster=str(fields["cluster"]),
            made=str(fields["made"]),
            wish=Wish(
                goal=Goal(wish["goal"]),
                provider=None if wish["provider"] is None else Provider(wish["provider"]),
                resources=None if resources is None else tuple(map(str, resources)),
                new_name=None if wish["newName"] is None else str(wish["newName"]),
                compromised=None if wish["compromised"] is None else _ref(wish["compromised"]),
                allow_downtime=bool(wish["allowDowntime"]),
                template_updated=bool(wish["templateUpdated"]),
                history=History(wish["history"]),
                engine=Engine(wish["engine"]),
                second_pass=bool(wish["secondPass"]),
                # NOTE: plans of before have none.
                plugin=None if wish.get("plugin") is None else plugin_from_record(wish["plugin"]),
            ),
            lines=tuple(map(str, fields["lines"])),
            observed={str(key): str(value) for key, value in fields["observed"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnusableInputError(
            f"{name} is no plan of a rotation", hint="keyctl rotate --dry-run --plan-file PLAN writes one"
        ) from None
    if digest != _digest(fields):
        raise UnusableInputError(
            f"{name} was changed after it was made",
            cause="its digest is that of another text",
            hint="make a new plan: keyctl rotate --dry-run --plan-file PLAN",
        )
    return plan


def _ref(text: str) -> KeyRef:
    provider, _, name = text.partition("/")
    return KeyRef(Provider(provider), name)


def _change(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    return f"{name} was {_short(before.get(name, _NOTHING))}, and is {_short(now.get(name, _NOTHING))}"


def _short(found: str) -> str:
    """A hash as far as it takes to see that it is another one."""
    return found[: len("sha256:") + 12] if found.startswith("sha256:") else found or _NOTHING


def _digest(fields: Mapping[str, object]) -> str:
    text = json.dumps(fields, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
