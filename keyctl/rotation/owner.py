"""Who owns the configuration file (rule R12): some distributions rotate it, or write it anew, their own way."""

from __future__ import annotations

from keyctl.errors import RefusedError
from keyctl.rotation.world import World

# Distributions that own the file and rotate it their own way: R12.
_OWNERS = {
    "k3s": "k3s secrets-encrypt rotate-keys",
    "rke2": "rke2 secrets-encrypt rotate-keys",
    "openshift": "the kube-apiserver operator (oc patch apiserver cluster)",
    "talos": "talosctl, in the machine configuration",
    "eks": "the provider's console",
    "gke": "the provider's console",
    "aks": "the provider's console",
}
# Distributions that render the file from a template of their own.
_TEMPLATED = ("kubespray", "kops", "cluster-api")


def check_owner(world: World, version: str, *, enabling: bool, template_updated: bool) -> None:
    """Refuse where somebody else would undo the change. `version` is what an API server says of itself.

    Raises `RefusedError` naming the distribution's own way.
    """
    owner = world.distribution if world.distribution in _OWNERS else _owner_by_version(version)
    if owner in _OWNERS:
        raise RefusedError(
            f"{owner} owns the encryption configuration of this cluster",
            hint=f"rotate with {_OWNERS[owner]}; keyctl verify-secrets checks the result",
            rule="R12",
        )
    if template_updated:
        return
    if world.distribution in _TEMPLATED:
        raise RefusedError(
            f"{world.distribution} would write its own encryption configuration over this one",
            hint="update its template too, then say so with --template-updated",
            rule="R12",
        )
    kubeadm = f"{world.prefix}/configmaps/kube-system/kubeadm-config".encode()
    if enabling and world.etcd_of("configmaps").get(kubeadm) is not None:
        raise RefusedError(
            "the next kubeadm upgrade would drop the encryption flag from the manifest",
            cause="ConfigMap kube-system/kubeadm-config exists",
            hint="add encryption-provider-config and its mount to apiServer in ClusterConfiguration "
            "(kubectl -n kube-system edit configmap kubeadm-config), then say so with --template-updated",
            rule="R12",
        )


def _owner_by_version(version: str) -> str:
    return next((owner for owner in _OWNERS if f"+{owner}" in version or f"-{owner}" in version), "")
