"""More than Secrets: every resource by a wildcard, and plaintext that is no longer read; changes all the time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.museum.load import Load
from tests.museum.scene import ROTATE, done, names, settled
from tests.museum.site import Site, site
from tests.support.raw_etcd import heads_of

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything that the API serves is encrypted, and plaintext is read besides."""
    with site(tmp_path_factory.mktemp("resources")) as made:
        with Load(made) as load:
            done(made.seeded.keyctl("enable", "--yes", "--resources", "*.*"))
        made.nothing_lost(load)
        yield made


def test_everything_that_the_api_serves_changes_its_key_while_all_of_it_is_written(place: Site) -> None:
    was = names(place.seeded.lab, "cp1")[0]
    with Load(place) as load:
        done(place.seeded.keyctl(*ROTATE))
    place.nothing_lost(load)
    settled(place, was, "secrets", "configmaps", "leases", "namespaces", "clusterroles")


def test_plaintext_that_is_read_no_longer_takes_nothing_with_it(place: Site) -> None:
    lab, files = place.seeded.lab, place.seeded.files()
    (head,) = heads_of(lab, "secrets")
    assert all(b"identity" in file for file in files)
    with Load(place) as load:
        done(place.seeded.keyctl("rotate", "--remove-identity", "--yes"))
    place.nothing_lost(load)
    assert not any(b"identity" in file for file in place.seeded.files())
    assert heads_of(lab, "secrets") == {head}
    assert place.seeded.keyctl("verify-secrets").code == 0
