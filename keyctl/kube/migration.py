"""StorageVersionMigrations of a cluster, over one API server: created, looked at, deleted. Never waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from keyctl.errors import RefusedError
from keyctl.kube import discovery, fields
from keyctl.kube.answers import Answer, refusal, shown
from keyctl.kube.client import Connection
from keyctl.kube.interface import MIGRATION_VERSIONS, MIGRATIONS, Migration, MigrationState

_JSON = "application/json"
_MANAGER_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
_OK, _CREATED, _NOT_FOUND, _CONFLICT = 200, 201, 404, 409
# What follows may be a value of an object (R14).
_VALUES_FOLLOW = "Invalid value"


class KubeMigrations:
    """See `Migrations`. `group_version` answers what a resource is served as."""

    def __init__(self, connection: Connection, group_version: Callable[[str], str | None]) -> None:
        self._connection = connection
        self._group_version = group_version

    def find(self, name: str) -> Migration | None:
        """The one of that name, None when there is none."""
        answer = self._connection.request("GET", self._path(name), accept=_JSON)
        return None if answer.status == _NOT_FOUND else self._read(answer, "get")

    def create(self, name: str, resource: str) -> Migration:
        """Create it; one that is there already under that name, for that resource, is returned as it is."""
        group, plural = discovery.split(resource)
        body = {
            "apiVersion": self._served(),
            "kind": "StorageVersionMigration",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "keyctl"}},
            "spec": {"resource": {"group": group, "resource": plural}},
        }
        answer = self._connection.request("POST", self._path(), accept=_JSON, body=body)
        if answer.status != _CONFLICT:
            return self._read(answer, "create")
        found = self.find(name)
        if found is None or found.resource != resource:
            raise RefusedError(
                f"there is another StorageVersionMigration called {name}",
                hint=f"look at it, and delete it: kubectl delete storageversionmigration {name}",
            )
        return found

    def delete(self, migration: Migration) -> None:
        """Delete exactly this one; gone already is fine, and so is another one of its name, which stays."""
        body = {"preconditions": {"uid": migration.uid}}
        answer = self._connection.request("DELETE", self._path(migration.name), accept=_JSON, body=body)
        if answer.status not in (_OK, _NOT_FOUND, _CONFLICT):
            raise refusal(self._connection.url, "delete", MIGRATIONS, answer)

    def manager_silent_for(self) -> float | None:
        """Seconds, by the server's clock, since kube-controller-manager renewed its Lease; None where unknown."""
        answer = self._connection.request("GET", _MANAGER_LEASE, accept=_JSON)
        renewed = fields.text(fields.parse(answer.body), "spec", "renewTime")
        if answer.status != _OK or not renewed or not answer.date:
            return None
        try:
            since = datetime.fromisoformat(renewed)
            return max(0.0, (parsedate_to_datetime(answer.date) - since).total_seconds())
        except (ValueError, TypeError):
            return None

    def _read(self, answer: Answer, verb: str) -> Migration:
        if answer.status not in (_OK, _CREATED):
            raise refusal(self._connection.url, verb, MIGRATIONS, answer)
        document = fields.parse(answer.body)
        group, plural = (fields.text(document, "spec", "resource", part) for part in ("group", "resource"))
        state, message = _state(document)
        return Migration(
            name=fields.text(document, "metadata", "name"),
            uid=fields.text(document, "metadata", "uid"),
            resource=f"{plural}.{group}" if group else plural,
            state=state,
            message=message,
        )

    def _served(self) -> str:
        group_version = self._group_version(MIGRATIONS)
        if group_version is None or group_version not in MIGRATION_VERSIONS:
            raise RefusedError(
                "this API server serves no StorageVersionMigration that keyctl can use",
                cause=f"it serves {group_version}" if group_version else "it serves none",
                hint="go on without: keyctl rotate --resume --engine patch",
            )
        return group_version

    def _path(self, name: str = "") -> str:
        collection = discovery.collection_path(MIGRATIONS, self._served())
        return f"{collection}/{quote(name, safe='')}" if name else collection


def _state(document: object) -> tuple[MigrationState, str]:
    """The furthest condition that is true, and what it says as far as that is no value of an object."""
    conditions = fields.items(document, "status", "conditions")
    true = {fields.text(one, "type"): one for one in conditions if fields.text(one, "status") == "True"}
    for name, state in (
        ("Failed", MigrationState.FAILED),
        ("Succeeded", MigrationState.SUCCEEDED),
        ("Running", MigrationState.RUNNING),
    ):
        if name in true:
            return state, shown(fields.text(true[name], "message").partition(_VALUES_FOLLOW)[0])
    return MigrationState.PENDING, ""
