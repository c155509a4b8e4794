"""What k3s and RKE2 wrote on their Nodes, and the certificate that a server presents."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from keyctl.errors import UnreachableError
from keyctl.kube.annotations import rotation_stages
from keyctl.pki.presented import presented
from keyctl.rotation.diagnosis.look import stage_of
from tests.support.scripted_api import Reply, Request, reply, scripted_api, status_reply

HASH = "c" * 64


def nodes(request: Request) -> Reply:
    assert "as=PartialObjectMetadataList" in request.headers["Accept"]
    items = [
        {"metadata": {"name": "n1", "annotations": {"k3s.io/encryption-config-hash": f"prepare-{HASH}"}}},
        {"metadata": {"name": "n2", "annotations": {"rke2.io/encryption-config-hash": f"start-{HASH}", "x": "y"}}},
        {"metadata": {"name": "n3"}},
    ]
    return reply({"items": items})


def test_the_stages_are_read_as_metadata_only(tmp_path: Path) -> None:
    with scripted_api(tmp_path, nodes) as api:
        told = rotation_stages(api.connect())
    assert told == (("n1", "k3s", f"prepare-{HASH}"), ("n2", "rke2", f"start-{HASH}"))
    stages = [stage_of(*one) for one in told]
    assert [(one.stage, one.hash) for one in stages if one is not None] == [("prepare", HASH), ("start", HASH)]


@pytest.mark.parametrize("text", ["", "start", f"-{HASH}", "start-short", f"start{HASH}"])
def test_anything_else_is_no_stage(text: str) -> None:
    assert stage_of("n1", "k3s", text) is None


def test_a_refused_list_is_an_error(tmp_path: Path) -> None:
    with scripted_api(tmp_path, lambda _: status_reply(403, "no")) as api, pytest.raises(UnreachableError):
        rotation_stages(api.connect())


def test_the_certificate_of_a_server_is_seen_without_trusting_it(tmp_path: Path) -> None:
    with scripted_api(tmp_path, nodes) as api:
        parts = urlsplit(api.url)
        found = presented(str(parts.hostname), int(parts.port or 0), 5.0)
    assert found is not None
    assert found.not_after > found.not_before
    assert presented("127.0.0.1", 1, 1.0) is None
