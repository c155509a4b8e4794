"""Control planes that others run: whether Secrets are under a key of the owner's, and whether an operator encrypts."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.check import API_SERVERS, Check, Subjects, check, check_beside
from keyctl.audit.checks.mappings import REST
from keyctl.audit.facts import About, Facts, Program
from keyctl.audit.live.stored_values import StoredValues
from keyctl.audit.operated import ManagedPlane, OperatorEncryption
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.findings import Rule, Severity
from keyctl.stored.display import display

OWN_KEY = Rule(
    "KC-ENC-015",
    Severity.MEDIUM,
    "a managed control plane encrypts without a key of yours",
    "On EKS, GKE and AKS the provider runs the API servers; its own interface says whether Secrets are under a key "
    "that you can take away. Judged from what orders the cluster (eksctl, Cluster API, Config Connector) and from what "
    "aws eks describe-cluster, gcloud container clusters describe and az aks show print, saved as JSON.",
    "enable encryption of Secrets with a customer's key there",
    "CIS benchmarks of EKS, GKE and AKS, 5.3.1",
    REST,
)
OPENSHIFT = Rule(
    "KC-ENC-016",
    Severity.INFO,
    "OpenShift is not told to encrypt",
    "The operator encrypts when APIServer/cluster has spec.encryption.type; its conditions say what it believes, not "
    "what is stored.",
    "set spec.encryption.type, and read the stored values",
    "CIS OpenShift benchmark, 1.2.29",
    REST,
)

_PLANES: Subjects[ManagedPlane | Program] = Subjects(
    About.API_SERVER, lambda facts: (*facts.of(ManagedPlane), *API_SERVERS.of(facts))
)
_OPERATORS: Subjects[OperatorEncryption | Program] = Subjects(
    About.API_SERVER, lambda facts: (*facts.of(OperatorEncryption), *API_SERVERS.of(facts))
)
_ENCRYPTING = frozenset({"aescbc", "aesgcm", "KMS"})
_PLAIN = frozenset({"", "identity"})
_SECRETS = "secrets"


@check(OWN_KEY, _PLANES)
def managed(plane: ManagedPlane | Program) -> Iterator[Verdict]:
    """Does not apply where the API server is one's own."""
    if isinstance(plane, Program):
        yield not_applicable("self-managed", f"{plane.name} is run by its owner", plane)
        return
    name = f"{plane.product} {display(plane.name)}"
    if plane.doubt:
        yield unknown(f"whether {name} has a key of its owner's is not known: {plane.doubt}", plane)
    elif plane.key:
        yield passed(f"{name} encrypts Secrets with {display(plane.key)}", plane)
    else:
        yield failed(f"{name} has no key of its owner's for Secrets", plane)


@check_beside(OPENSHIFT, _OPERATORS)
def openshift(told: OperatorEncryption | Program, facts: Facts) -> Iterator[Verdict]:
    """What the operator is told, beside what is stored. Does not apply where no operator starts the API server."""
    if isinstance(told, Program):
        yield not_applicable("not-openshift", f"{told.name} is not started by an operator", told)
        return
    plain = _stored_plain(facts)
    if told.doubt:
        yield unknown(told.doubt, told)
    elif told.type in _PLAIN:
        yield failed("spec.encryption.type does not say that anything is encrypted", told)
    elif told.type not in _ENCRYPTING:
        yield unknown(f"{display(told.type)} is no type of encryption that is known here", told)
    elif plain:
        yield failed(f"the operator is told to encrypt with {told.type}, and {plain} Secrets are in plaintext", told)
    else:
        yield passed(f"the operator is told to encrypt with {told.type}; what is stored is KC-DAT-101", told)


def _stored_plain(facts: Facts) -> int:
    live = (one for one in facts.of(StoredValues) if one.live)
    return sum(one.plaintext for values in live for one in values.resources if one.resource == _SECRETS)


CHECKS: tuple[Check, ...] = (
    managed,
    openshift,
)
