"""Of several answers to one question the one with the higher evidence counts, and the others are told."""

from __future__ import annotations

from keyctl.audit.claims import Claim, settle
from keyctl.findings import Evidence, Location

E1, E2, E3 = Evidence.E1, Evidence.E2, Evidence.E3


def claim(yes: bool, evidence: Evidence, question: str = "secrets") -> Claim:
    return Claim(question, yes, f"{question} {yes}", Location(), evidence)


def test_higher_evidence_counts_whoever_speaks_first() -> None:
    for claims in ([claim(True, E1), claim(False, E3)], [claim(False, E3), claim(True, E1)]):
        (settled,) = settle(claims)
        assert settled.counts == claim(False, E3)
        assert (settled.agreeing, settled.against) == ((), (claim(True, E1),))


def test_a_right_answer_of_higher_evidence_does_not_hide_a_wrong_one_of_lower() -> None:
    (settled,) = settle([claim(False, E1), claim(True, E2), claim(True, E1)])
    assert settled.counts == claim(True, E2)
    assert (settled.agreeing, settled.against) == ((claim(True, E1),), (claim(False, E1),))


def test_of_equal_evidence_a_no_counts() -> None:
    (settled,) = settle([claim(True, E3), claim(False, E3)])
    assert settled.counts == claim(False, E3)


def test_each_question_is_answered_by_itself() -> None:
    found = list(settle([claim(True, E1), claim(False, E3, "configmaps"), claim(True, E3)]))
    assert [(one.counts.question, one.counts.yes) for one in found] == [("secrets", True), ("configmaps", False)]
    assert not any(one.against for one in found)
