"""Whether the cluster can rewrite by itself, and we may have it do so, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keyctl.errors import RefusedError
from keyctl.kube.interface import MIGRATION_VERSIONS, MIGRATIONS, ApiServer
from keyctl.rotation.plan import Engine

# Migrations go through the garbage collector's cache, which has everything but these.
_UNCOLLECTED = frozenset({"events", "events.events.k8s.io"})
_VERBS = ("create", "get", "delete")
_WITHOUT = "leave --engine out: keyctl sends the patches itself"


def check_engine(engine: Engine, api: ApiServer, served: Mapping[str, str], changing: Iterable[str]) -> None:
    """Raise `RefusedError` when `engine` cannot rewrite the resources that are `changing`, or we may not use it."""
    if engine is not Engine.SVM:
        return
    version = served.get(MIGRATIONS)
    if version not in MIGRATION_VERSIONS:
        raise _refused(
            "this cluster serves no StorageVersionMigration that keyctl can use",
            f"it serves {version}" if version else "it serves none",
            "1.37 serves v1; 1.35 and 1.36 need the feature gate StorageVersionMigrator on API servers and "
            "controller manager, and --runtime-config=storagemigration.k8s.io/v1beta1=true",
        )
    uncollected = sorted(_UNCOLLECTED.intersection(changing))
    if uncollected:
        raise _refused(
            f"a StorageVersionMigration does not reach {uncollected[0]}",
            "it goes through the garbage collector's cache, which has none of them",
        )
    for verb in _VERBS:
        if not api.may(verb, MIGRATIONS):
            hint = f"kubectl auth can-i {verb} {MIGRATIONS}"
            raise _refused(f"you may not {verb} {MIGRATIONS}", "SelfSubjectAccessReview says no", hint)


def _refused(message: str, cause: str, *hints: str) -> RefusedError:
    return RefusedError(message, cause=cause, hint=(*hints, _WITHOUT), rule="preflight")
