"""What could not be rewritten: counted in full, named in part, told with what to do, recorded without names."""

from __future__ import annotations

import json

import pytest

from keyctl.kube.interface import ObjectRef, Outcome, Patched, Refusal
from keyctl.rotation.refusals import Refusals, name_of
from tests.support.hints import wrong_commands


def patched(number: int, refusal: Refusal | None, by: str = "", outcome: Outcome = Outcome.REFUSED) -> Patched:
    ref = ObjectRef("secrets", "shop", f"db-{number}", f"uid-{number}")
    return Patched(ref, outcome, None, 403, f"HTTP 403: no {number}", refusal, by)


def test_every_one_is_counted_and_the_first_of_each_class_are_named() -> None:
    refusals = Refusals(named=3)
    for number in range(1000):
        refusals.note(patched(number, Refusal.WEBHOOK_DENIED, "a.test"))
    for number in range(1000, 1010):
        refusals.note(patched(number, Refusal.WEBHOOK_DENIED, "b.test"))
    refusals.note(patched(2000, None, outcome=Outcome.SENT))
    first, second = refusals.groups()
    assert (first.by, first.count, list(first.first)) == ("a.test", 1000, ["shop/db-0", "shop/db-1", "shop/db-2"])
    assert (second.by, second.count) == ("b.test", 10)
    assert refusals.refused == 1010


def test_only_a_refusal_for_good_counts_as_refused() -> None:
    refusals = Refusals()
    refusals.note(patched(1, Refusal.CONFLICT, outcome=Outcome.LOOK_AGAIN))
    refusals.note(patched(2, Refusal.BUSY, outcome=Outcome.SLOWER))
    assert refusals.refused == 0
    assert {group.refusal for group in refusals.groups()} == {Refusal.CONFLICT, Refusal.BUSY}


def test_the_error_names_objects_says_who_refuses_and_what_to_do() -> None:
    refusals = Refusals()
    for number in range(7):
        refusals.note(patched(number, Refusal.WEBHOOK_DENIED, "deny.test"))
    error = refusals.error("7 values could not be rewritten")
    assert error.rule == "R15"
    assert error.cause == "shop/db-0, shop/db-1, shop/db-2, shop/db-3, shop/db-4 and 2 more: HTTP 403: no 0"
    assert error.hints[1] == "let webhook deny.test allow updates that change nothing, or exempt these objects from it"
    assert "keyctl rotate --resume" in error.hints[-1]


def test_a_record_has_neither_names_nor_messages_and_an_event_has_both() -> None:
    refusals = Refusals()
    refusals.note(patched(1, Refusal.POLICY_DENIED, "p"))
    assert refusals.to_record() == [{"class": "policy-denied", "by": "p", "objects": 1}]
    assert "db-1" not in json.dumps(refusals.to_record())
    (group,) = refusals.groups()
    assert group.to_event()["first"] == [{"object": "shop/db-1", "message": "HTTP 403: no 1"}]


def test_what_no_refusal_explains_is_told_as_such() -> None:
    refusals = Refusals(named=2)
    refusals.note(patched(0, Refusal.INVALID))
    refusals.note_unmoved([ObjectRef("secrets", "shop", f"db-{number}", "u") for number in range(5)])
    groups = {group.refusal: group for group in refusals.groups()}
    assert groups[Refusal.UNMOVED].count == 4
    assert "shop/db-0" not in groups[Refusal.UNMOVED].first
    refusals.note_unmoved([ObjectRef("secrets", "shop", "db-0", "u")] * 5)
    assert groups[Refusal.UNMOVED].count == 4, "all are explained by now"


@pytest.mark.parametrize("refusal", Refusal)
def test_every_class_has_something_to_do_that_works(refusal: Refusal) -> None:
    refusals = Refusals()
    refusals.note(patched(1, refusal, "patch secrets"))
    (group,) = refusals.groups()
    assert group.next_step
    assert "{" not in group.next_step
    assert wrong_commands("\n".join(refusals.error("x").hints)) == []


def test_an_object_is_named_with_its_resource_unless_it_is_a_secret() -> None:
    assert name_of(ObjectRef("secrets", "shop", "db", "u")) == "shop/db"
    assert name_of(ObjectRef("widgets.example.com", "shop", "w", "u")) == "widgets.example.com shop/w"
    assert name_of(ObjectRef("things.example.com", None, "t", "u")) == "things.example.com t"
