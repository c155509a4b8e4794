"""A site for each accident."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.museum.site import Site, site


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    """Three API servers, three members of etcd, Secrets in plaintext."""
    with site(tmp_path) as made:
        yield made
