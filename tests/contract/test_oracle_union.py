"""kube-apiserver's own loader takes every union configuration, and opens with it what each accident left."""

from __future__ import annotations

import pytest

from keyctl.rotation.diagnosis.diagnose import diagnose
from keyctl.rotation.diagnosis.readability import renamed
from tests.support import seal
from tests.support.accidents import PREFIX
from tests.support.oracle import oracle
from tests.unit.rotation.accident_cases import CASES


@pytest.mark.parametrize("name", CASES)
def test_a_server_with_the_union_reads_every_value_that_is_not_lost(name: str) -> None:
    made = diagnose(CASES[name].facts).union
    assert made is not None
    opened = 0
    for content in (made.text(as_json=False), made.text(as_json=True)):
        assert oracle().load(content).error == ""
        for group in CASES[name].facts.values or ():
            where = PREFIX + f"/{group.resource}/default/one".encode()
            plain = seal.secret("one")
            if not group.lost:
                stored = plain if group.plain else seal.seal(renamed(group), where, plain)
                assert oracle().decrypt(content, group.resource, where, stored).plain == plain
                opened += 1
    assert opened or CASES[name].lost
