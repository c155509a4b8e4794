"""The checks that a framework asks for, by the ids that stand beside each check. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from keyctl.audit.checks import meta
from keyctl.audit.checks.catalogue import RULES


def controls_of(framework: str, *, among: Collection[str] | None = None) -> Mapping[str, tuple[str, ...]]:
    """Check → the framework's ids for it, of those in `among`; with the checks of the audit about itself."""
    prefix = f"{framework}/"
    found: dict[str, tuple[str, ...]] = {}
    for rule in RULES:
        named = (one.removeprefix(prefix) for one in rule.mappings if one.startswith(prefix))
        controls = tuple(one for one in named if among is None or one in among)
        if controls:
            found[rule.id] = controls
    return found | {rule.id: () for rule in (meta.WAIVERS, meta.COVERAGE)}
