"""Every rule about encryption configurations, in the order of their ids. `keyctl explain` and the docs print it."""

from __future__ import annotations

from keyctl.encryption_config import advice, key_advice, refusals, step_rules, unread
from keyctl.findings import Rule

RULES: tuple[Rule, ...] = (
    *advice.RULES,
    *refusals.RULES,
    *unread.RULES,
    *step_rules.RULES,
    *key_advice.RULES,
)
