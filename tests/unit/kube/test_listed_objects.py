"""A metadata-only list, object by object: all pages, begun again when it expires, never a part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.kube.interface import ObjectRef, StoredObject
from keyctl.kube.servers import HttpApiServer
from tests.support.scripted_api import Reply, Request, reply, scripted_api, status_reply


def _item(number: int) -> dict[str, object]:
    metadata = {"namespace": "shop", "name": f"s{number}", "uid": f"u{number}", "resourceVersion": str(100 + number)}
    return {"metadata": metadata}


def _stored(number: int) -> StoredObject:
    return StoredObject(ObjectRef("secrets", "shop", f"s{number}", f"u{number}"), 100 + number)


class _Script:
    """Discovery, and the given answers to lists, one after the other."""

    def __init__(self, *lists: Reply) -> None:
        self.lists = list(lists)

    def __call__(self, request: Request) -> Reply:
        if request.path in ("/api", "/apis"):
            entries = [{"resource": "secrets", "verbs": ["list", "patch"]}] if request.path == "/api" else []
            item = {"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": entries}]}
            return reply({"kind": "APIGroupDiscoveryList", "items": [item]})
        return self.lists.pop(0)


def _page(*numbers: int, more: str = "") -> Reply:
    return reply({"metadata": {"continue": more}, "items": [_item(number) for number in numbers]})


def _listed(folder: Path, *lists: Reply, resource: str = "secrets") -> list[StoredObject]:
    with scripted_api(folder, _Script(*lists)) as api:
        found = list(HttpApiServer("cp1", api.connect()).list_objects(resource))
        asked = [one for one in api.requests if one.path.startswith("/api/v1/secrets")]
        assert all("PartialObjectMetadataList" in one.headers["Accept"] for one in asked)
    return found


def test_all_pages_come_with_names_uids_and_versions(tmp_path: Path) -> None:
    assert _listed(tmp_path, _page(1, 2, more="x"), _page(3)) == [_stored(1), _stored(2), _stored(3)]


def test_a_list_that_expires_begins_again_once_so_that_none_is_left_out(tmp_path: Path) -> None:
    expired = status_reply(410, "too old")
    found = _listed(tmp_path, _page(1, more="x"), expired, _page(1, more="y"), _page(2))
    assert found == [_stored(1), _stored(1), _stored(2)]
    with pytest.raises(UnreachableError, match="did not list secrets"):
        _listed(tmp_path, _page(1, more="x"), expired, _page(1, more="y"), expired)


def test_a_refusal_is_no_short_list(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="may not list secrets"):
        _listed(tmp_path, status_reply(403, "no"))
    with pytest.raises(UnreachableError, match="does not serve"):
        _listed(tmp_path, resource="widgets.example.com")
