"""Other hands in the middle of a rotation: a file that somebody edits, an old file that a template puts back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.lab.plane import Lab
from keyctl.rotation.plan import State
from tests.museum.load import Load
from tests.museum.scene import RESUME, ROTATE, WAY_ON, done, names, settled, told
from tests.museum.site import Site, site

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Every test leaves it with a finished rotation."""
    with site(tmp_path_factory.mktemp("hands")) as made:
        done(made.seeded.keyctl("enable", "--yes"))
        yield made


def file_of(lab: Lab, server: str) -> Path:
    return lab.layout.server(server).encryption_config


def test_a_file_that_somebody_edits_half_way_stops_it_and_once_it_is_back_the_rotation_ends(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    with Load(place) as load:
        rotating = place.start(*ROTATE)
        rotating.wait_for(State.READABLE)
        right = file_of(lab, "cp3").read_bytes()
        file_of(lab, "cp3").write_bytes(right + b"# rendered again\n")
        told(rotating.wait(), 5, "R8", "cp3", "find out who manages that file", WAY_ON)
        again = place.seeded.keyctl(*RESUME)
        told(again, 5, "R8", "the encryption configuration of cp3 was changed by somebody else", WAY_ON)
        assert names(lab, "cp3")[0] == was
        file_of(lab, "cp3").write_bytes(right)
        done(place.seeded.keyctl(*RESUME))
    place.nothing_lost(load)
    settled(place, was)


def test_an_old_file_that_a_template_puts_back_half_way_is_noticed_and_nothing_is_lost(place: Site) -> None:
    lab, was = place.seeded.lab, names(place.seeded.lab, "cp1")[0]
    rendered = file_of(lab, "cp2").read_bytes()
    with Load(place) as load:
        rotating = place.start(*ROTATE)
        rotating.wait_for(State.SWITCHED)
        newer = file_of(lab, "cp2").read_bytes()
        file_of(lab, "cp2").write_bytes(rendered)
        told(rotating.wait(), 5, "R8", "cp2", "find out who manages that file; put the newer file back", WAY_ON)
        assert was in names(lab, "cp1")
        file_of(lab, "cp2").write_bytes(newer)
        done(place.seeded.keyctl(*RESUME))
    place.nothing_lost(load)
    settled(place, was)
