"""Every rule about encryption configurations, in the order of their ids. `keyctl explain` and the docs print it."""

from __future__ import annotations

from keyctl.encryption_config import refusals, unread
from keyctl.encryption_config.checks import advice, key_advice
from keyctl.encryption_config.views import step_rules
from keyctl.findings import Rule

RULES: tuple[Rule, ...] = (
    *advice.RULES,
    *refusals.RULES,
    *unread.RULES,
    *step_rules.RULES,
    *key_advice.RULES,
)
