"""One kube-apiserver on its own address: the `ApiServer` of the interface, over HTTP.

Never asks for the data of an object that may be encrypted: those are asked for
as metadata only (rule R14). Leases, endpoints, Nodes, Services, Ingresses,
APIServices, roles and their bindings carry no data and are read whole.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from keyctl.errors import UnreachableError
from keyctl.kube import discovery, fields, grants, members, own_network
from keyctl.kube.answers import Answer, NoAnswerError, denied, describe, refusal
from keyctl.kube.client import Channel, Connection
from keyctl.kube.interface import (
    Census,
    Grant,
    Listed,
    ObjectRef,
    OwnNetwork,
    Patched,
    ServerProbe,
    StoredObject,
    Transformed,
)
from keyctl.kube.metrics import PATH as METRICS
from keyctl.kube.metrics import TRANSFORMED_PATH, Metrics, parse_metrics, parse_transformed
from keyctl.kube.migration import KubeMigrations
from keyctl.kube.rewrite import METADATA, Patcher, patch_all

_JSON = "application/json"
_METADATA_LIST = METADATA.replace("PartialObjectMetadata", "PartialObjectMetadataList")
_PAGE = 500
_OK, _CREATED, _NOT_FOUND, _CONFLICT, _GONE, _TOO_MANY = 200, 201, 404, 409, 410, 429
_TRIES, _LONGEST_WAIT = 4, 5.0
_FAILED_CHECK = re.compile(r"^\[-\]([\w./-]{1,80}) failed", re.MULTILINE)
_CANARY_PREFIX = "keyctl-canary-"
_CANARY_LABEL, _CANARY_OWNER = "app.kubernetes.io/managed-by", "keyctl"
_SECRETS = "secrets"


class HttpApiServer:
    """See `ApiServer`. `name` is that of its entry in the cluster file. For one thread; `patch_empty` makes its own."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._connection = connection
        self._sleep = sleep
        self._now = now
        self._monotonic = monotonic
        self._served: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The name of its entry in the cluster file."""
        return self._name

    def close(self) -> None:
        """Close its connection."""
        self._connection.close()

    def probe(self) -> ServerProbe:
        """Readiness, loaded hash, identity, on a new connection: what a kept one reaches may be another process."""
        with self._connection.channel() as channel:
            try:
                return self._ask(channel)
            except NoAnswerError as error:
                told = self._connection.diagnosed(error)
                return ServerProbe(self._name, ready=False, problem=told.cause or str(told))
            except UnreachableError as error:
                return ServerProbe(self._name, ready=False, problem=error.cause or str(error))

    def _ask(self, channel: Channel) -> ServerProbe:
        readyz = channel.request("GET", "/readyz", accept="*/*")
        metrics = channel.request("GET", METRICS, accept="text/plain")
        asked = self._now()
        version = channel.request("GET", "/version", accept=_JSON)
        answered, clock = self._now(), self._monotonic()
        ahead = members.ahead(version.date, asked, answered)
        problems = []
        if readyz.status != _OK:
            failed = ", ".join(_FAILED_CHECK.findall(readyz.body.decode(errors="replace"))[:5])
            problems.append(f"not ready: {failed}" if failed else f"not ready: {describe(readyz)}")
        if metrics.status != _OK:
            problems.append(f"its metrics cannot be read: {describe(metrics)}")
        seen = parse_metrics(metrics.body.decode(errors="replace")) if metrics.status == _OK else Metrics()
        return ServerProbe(
            name=self._name,
            ready=readyz.status == _OK,
            loaded_hash=seen.loaded_hash,
            id_hash=seen.id_hash,
            start_time=seen.start_time,
            certificate_serial=channel.certificate_serial(),
            reloads=seen.reloads,
            reloaded_at=seen.reloaded_at,
            reload_failures=seen.reload_failures,
            kms_key_ids=seen.kms_key_ids,
            ahead=ahead,
            begun=None if ahead is None or not seen.start_time else clock - (answered + ahead - seen.start_time),
            version=fields.text(fields.parse(version.body), "gitVersion"),
            problem="; ".join(problems),
            refuses_us=denied(readyz),
        )

    def list_metadata(self, resource: str) -> Listed:
        """LIST every object of `resource`, metadata only, all pages; starts again once when the list expires."""
        group_version = self._group_version(resource)
        if group_version is None:
            return Listed(resource, 0, f"no API serves {resource}")
        path = discovery.collection_path(resource, group_version)
        for last in (False, True):
            count = 0
            for answer in self._pages(path, _METADATA_LIST):
                if answer.status == _GONE and not last:
                    break
                if denied(answer):
                    raise refusal(self._connection.url, "list", resource, answer)
                if answer.status != _OK:
                    return Listed(resource, count, describe(answer))
                count += len(fields.items(fields.parse(answer.body), "items"))
            else:
                return Listed(resource, count)
        raise RuntimeError("the second list neither ended nor failed")

    def list_objects(self, resource: str) -> Iterator[StoredObject]:
        """Every object of `resource`, metadata only, page by page; starts again once when the list expires."""
        group_version = self._group_version(resource)
        if group_version is None:
            raise UnreachableError(f"the API server at {self._connection.url} does not serve {resource}")
        path = discovery.collection_path(resource, group_version)
        for last in (False, True):
            for answer in self._pages(path, _METADATA_LIST):
                if answer.status == _GONE and not last:
                    break
                self._expect(answer, "list", resource)
                for item in fields.items(fields.parse(answer.body), "items"):
                    yield _stored_object(resource, item)
            else:
                return

    @property
    def migrations(self) -> KubeMigrations:
        """The StorageVersionMigrations as this server serves them."""
        return KubeMigrations(self._connection, self._group_version)

    def get_metadata(self, ref: ObjectRef) -> Listed:
        """GET without resourceVersion, metadata only: the server opens the stored bytes."""
        group_version = self._group_version(ref.resource)
        if group_version is None:
            return Listed(ref.resource, 0, f"no API serves {ref.resource}")
        answer = self._get(discovery.object_path(ref, group_version), METADATA)
        if denied(answer):
            raise refusal(self._connection.url, "get", ref.resource, answer)
        if answer.status in (_OK, _NOT_FOUND):
            return Listed(ref.resource, int(answer.status == _OK))
        return Listed(ref.resource, 0, describe(answer))

    def kube_system_uid(self) -> str:
        """The uid of the namespace kube-system as this server sees it."""
        answer = self._expect(self._get("/api/v1/namespaces/kube-system", METADATA), "get", "namespaces")
        uid = fields.text(fields.parse(answer.body), "metadata", "uid")
        if not uid:
            raise refusal(self._connection.url, "get", "namespaces", answer)
        return uid

    def census(self) -> Census:
        """Identity Leases, endpoints and Nodes as this server sees them."""
        leases, date = self._objects(members.LEASES, "leases.coordination.k8s.io")
        slices, _ = self._objects(members.SLICES, "endpointslices.discovery.k8s.io")
        addresses = members.slice_addresses(slices)
        if not addresses:
            endpoints, _ = self._objects(members.ENDPOINTS, "endpoints")
            addresses = members.endpoint_addresses(endpoints)
        nodes, _ = self._objects(members.NODES, "nodes")
        return Census(members.fresh_leases(leases, date), addresses, members.names(nodes), members.unready(nodes))

    def own_network(self) -> OwnNetwork:
        """See `NetworkView.own_network`."""
        unseen: list[str] = []

        def listed(path: str) -> list[object]:
            objects: list[object] = []
            for answer in self._pages(path, _JSON):
                resource = path.rpartition("/")[2]
                if denied(answer):
                    unseen.append(resource)
                elif answer.status != _NOT_FOUND:
                    objects += fields.items(fields.parse(self._expect(answer, "list", resource).body), "items")
            return objects

        services, nodes = listed(own_network.SERVICES), dict(own_network.of_nodes(listed(own_network.NODES)))
        reached = (
            *own_network.of_services(services, nodes),
            *own_network.of_slices(listed(own_network.SLICES)),
            *own_network.of_ingresses(listed(own_network.INGRESSES)),
        )
        return OwnNetwork(dict(reached), tuple(unseen), nodes)

    def grants(self) -> tuple[Grant, ...]:
        """See `RightsView.grants`."""
        places = (grants.CLUSTER_ROLES, grants.CLUSTER_BINDINGS, grants.ROLES, grants.BINDINGS)
        listed = [self._objects(path, f"{path.rpartition('/')[2]}.rbac.authorization.k8s.io")[0] for path in places]
        return tuple(grants.grants(*listed))

    def transformed(self) -> tuple[Transformed, ...]:
        """See `StorageCounters.transformed`."""
        answer = self._connection.request("GET", TRANSFORMED_PATH, accept="text/plain")
        return parse_transformed(self._expect(answer, "get", "metrics").body.decode(errors="replace"))

    def discover(self) -> dict[str, str]:
        """Every resource this server serves and can list and patch → its preferred "group/version"."""
        served: dict[str, str] = {}
        for path in ("/api", "/apis"):
            answer = self._expect(self._get(path, discovery.ACCEPT), "discover", "the API")
            document = fields.parse(answer.body)
            if not discovery.is_discovery(document):
                raise UnreachableError(
                    f"the API server at {self._connection.url} does not say in one answer what it serves",
                    cause=f"{path} has no aggregated discovery, which is on since Kubernetes 1.27",
                    hint="turn the feature gate AggregatedDiscoveryEndpoint on, or upgrade",
                )
            served |= discovery.served_resources(document)
        self._served = served
        return dict(served)

    def aggregated_groups(self) -> frozenset[str]:
        """API groups that another process serves: it holds their key (rule R18)."""
        services, _ = self._objects("/apis/apiregistration.k8s.io/v1/apiservices", "apiservices.apiregistration.k8s.io")
        return frozenset(fields.text(s, "spec", "group") for s in services if fields.find(s, "spec", "service"))

    def may(self, verb: str, resource: str, *, namespace: str | None = None) -> bool:
        """Ask a SelfSubjectAccessReview whether we may; without a namespace: in all of them."""
        group, plural = discovery.split(resource)
        attributes = {"verb": verb, "group": group, "resource": plural, "namespace": namespace or ""}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        what = "selfsubjectaccessreviews.authorization.k8s.io"
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._expect(self._connection.request("POST", path, accept=_JSON, body=review), "create", what)
        return fields.find(fields.parse(answer.body), "status", "allowed") is True

    def patch_empty(
        self,
        refs: Iterable[ObjectRef],
        *,
        workers: int,
        dry_run: bool = False,
        on_result: Callable[[Patched], None] | None = None,
    ) -> tuple[Patched, ...]:
        """Send an empty merge patch with the object's uid for each of `refs`; see `rewrite.patch_all`."""
        if not self._served:
            self.discover()
        patcher = Patcher(self._connection, self._object_path, dry_run)
        return patch_all(patcher, refs, workers=workers, on_result=on_result)

    def create_canary(self, namespace: str, name: str) -> ObjectRef:
        """Create a Secret without data that carries nothing but its name. `ValueError` unless it is named as ours.

        One of ours that an interrupted run left behind under that name is deleted first; anybody else's stays.
        """
        if not name.startswith(_CANARY_PREFIX):
            raise ValueError(f"a canary's name begins with {_CANARY_PREFIX}")
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": {_CANARY_LABEL: _CANARY_OWNER}},
            "type": "Opaque",
        }
        path = discovery.collection_path(_SECRETS, "v1", namespace)
        answer = self._connection.request("POST", path, accept=METADATA, body=secret)
        left = self._left_canary(namespace, name) if answer.status == _CONFLICT else None
        if left is not None:
            self.delete_canary(left)
            answer = self._connection.request("POST", path, accept=METADATA, body=secret)
        uid = fields.text(fields.parse(answer.body), "metadata", "uid")
        if answer.status != _CREATED or not uid:
            raise refusal(self._connection.url, "create", _SECRETS, answer)
        return ObjectRef(_SECRETS, namespace, name, uid)

    def delete_canary(self, ref: ObjectRef) -> None:
        """Delete it; gone already is fine, and so is another object of that name, which stays."""
        if not ref.name.startswith(_CANARY_PREFIX):
            raise ValueError(f"{ref.name} is no canary")
        body = {"preconditions": {"uid": ref.uid}}
        path = discovery.object_path(ref, "v1")
        answer = self._connection.request("DELETE", path, accept=METADATA, body=body)
        if answer.status not in (_OK, _NOT_FOUND, _CONFLICT):
            raise refusal(self._connection.url, "delete", _SECRETS, answer)

    def _left_canary(self, namespace: str, name: str) -> ObjectRef | None:
        path = discovery.object_path(ObjectRef(_SECRETS, namespace, name, ""), "v1")
        found = fields.parse(self._connection.request("GET", path, accept=METADATA).body)
        ours = fields.text(found, "metadata", "labels", _CANARY_LABEL) == _CANARY_OWNER
        return ObjectRef(_SECRETS, namespace, name, fields.text(found, "metadata", "uid")) if ours else None

    def _object_path(self, ref: ObjectRef) -> str | None:
        group_version = self._served.get(ref.resource)
        return discovery.object_path(ref, group_version) if group_version else None

    def _group_version(self, resource: str) -> str | None:
        """What was discovered; discovered anew when it is not there, for definitions come at any time."""
        if resource not in self._served:
            self.discover()
        return self._served.get(resource)

    def _objects(self, path: str, resource: str, *, accept: str = _JSON) -> tuple[list[object], str | None]:
        """Every object at `path`, and the server's clock at the first page."""
        objects: list[object] = []
        date = None
        for answer in self._pages(path, accept):
            self._expect(answer, "list", resource)
            objects.extend(fields.items(fields.parse(answer.body), "items"))
            date = date or answer.date
        return objects, date

    def _pages(self, path: str, accept: str) -> Iterator[Answer]:
        """The pages of a list; ends after the last one or after one that is no success."""
        separator, token = "&" if "?" in path else "?", ""
        while True:
            page = f"{path}{separator}limit={_PAGE}" + (f"&continue={quote(token, safe='')}" if token else "")
            answer = self._get(page, accept)
            yield answer
            token = fields.text(fields.parse(answer.body), "metadata", "continue")
            if answer.status != _OK or not token:
                return

    def _get(self, path: str, accept: str) -> Answer:
        """GET; a server that is too busy (429) is asked again, as late as it wishes within bounds."""
        for _ in range(_TRIES - 1):
            answer = self._connection.request("GET", path, accept=accept)
            if answer.status != _TOO_MANY:
                return answer
            self._sleep(min(answer.retry_after or 1.0, _LONGEST_WAIT))
        return self._connection.request("GET", path, accept=accept)

    def _expect(self, answer: Answer, verb: str, resource: str) -> Answer:
        if answer.status not in (_OK, _CREATED):
            raise refusal(self._connection.url, verb, resource, answer)
        return answer


def _stored_object(resource: str, item: object) -> StoredObject:
    namespace, name, uid = (fields.text(item, "metadata", field) for field in ("namespace", "name", "uid"))
    version = fields.text(item, "metadata", "resourceVersion")
    ref = ObjectRef(resource, namespace or None, name, uid)
    return StoredObject(ref, int(version) if version.isdecimal() else 0)
