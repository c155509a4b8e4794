"""What files tell of API servers that are run by others: a cloud provider, or OpenShift's operator. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.findings import Evidence, Location

# Why checks of API servers and etcd do not apply to a managed control plane: the word that programs read.
MANAGED = "managed-control-plane"


@dataclass(frozen=True, slots=True)
class ManagedPlane:
    """A control plane of EKS, GKE or AKS. `key` is the customer's that Secrets are under, "" for none.

    `doubt` says why that is not known: the value is put in later, or the change is not done.
    """

    product: str
    name: str
    key: str
    location: Location
    doubt: str = ""
    evidence: Evidence = Evidence.E1


@dataclass(frozen=True, slots=True)
class OperatorEncryption:
    """What OpenShift's operator is told: `type` as it stands in spec.encryption.type, "" where nothing does."""

    type: str
    location: Location
    doubt: str = ""
    evidence: Evidence = Evidence.E1
