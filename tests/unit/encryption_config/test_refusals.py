from __future__ import annotations

import pytest

from keyctl.encryption_config import refusals, unread
from keyctl.encryption_config.checks import advice
from keyctl.findings import Rule, Severity
from tests.support.encryption_documents import DOCUMENTS

_RULES = (*advice.RULES, *refusals.RULES, *unread.RULES)
_SHOWN = {rule for document in DOCUMENTS for rule in document.rules}


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.id)
def test_every_rule_has_a_hand_made_document_that_the_oracle_judges_too(rule: Rule) -> None:
    assert rule.id in _SHOWN


def test_the_documents_show_no_rule_that_is_not_there() -> None:
    assert {rule.id for rule in _RULES} >= _SHOWN


def test_each_document_is_there_once_and_has_a_name_of_its_own() -> None:
    assert len({document.name for document in DOCUMENTS}) == len(DOCUMENTS)
    asked = {(document.content, document.kubernetes, document.kms_v1) for document in DOCUMENTS}
    assert len(asked) == len(DOCUMENTS)


def test_the_hundreds_of_an_id_say_who_refuses() -> None:
    assert {rule.id[:-2] for rule in refusals.RULES} == {"KC-CFG-1"}
    assert {rule.id[:-2] for rule in unread.RULES} == {"KC-CFG-2"}
    assert len({rule.id for rule in _RULES}) == len(_RULES)


def test_what_stops_a_server_is_critical_and_what_keyctl_cannot_judge_is_high() -> None:
    assert {rule.severity for rule in refusals.RULES} == {Severity.CRITICAL}
    assert {rule.severity for rule in unread.RULES} == {Severity.HIGH}


@pytest.mark.parametrize("rule", [*refusals.RULES, *unread.RULES], ids=lambda rule: rule.id)
def test_a_rule_says_why_in_sentences_and_what_to_do_in_one_line(rule: Rule) -> None:
    assert rule.why.endswith(".")
    assert rule.source
    for line in (rule.title, rule.fix):
        assert line
        assert not line.endswith(".")
        assert "\n" not in line
