"""Configuration files and manifests of a simulated cluster, with the comments that people leave in them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from keyctl.keys.key import Key, Provider
from tests.support.sim_server import CONFIG_PATH, Spec

KEY_1 = Key(Provider.AESCBC, "key1", bytes(range(32)))
KEY_0 = Key(Provider.AESCBC, "key0", bytes(range(64, 96)))

_ENTRY = """\
  - resources: [{resources}]  # what matters most
    providers:
{element}      - identity: {{}}
"""
_STATIC = """\
      - {provider}:
          keys:
            # the key of last year
            - name: {name}
              secret: {secret}
"""
_KMS = """\
      - kms:
          apiVersion: v2
          name: {name}  # runs as a static pod
          endpoint: unix:///run/kms/{name}.sock
"""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A KMS v2 plugin."""

    name: str


def secret_of(key: Key) -> str:
    """The bytes of `key` as a configuration writes them."""
    return base64.b64encode(key.material).decode()


def configuration(*entries: tuple[tuple[str, ...], Key | Plugin]) -> bytes:
    """A configuration with one entry for each of `entries`: its resources, and what writes them."""
    text = "# kept by the platform team\napiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
    text += "resources:\n"
    for resources, writer in entries:
        quoted = ", ".join(f'"{resource}"' for resource in resources)
        text += _ENTRY.format(resources=quoted, element=_element(writer))
    return (text + "# the end\n").encode()


def _element(writer: Key | Plugin) -> str:
    if isinstance(writer, Plugin):
        return _KMS.format(name=writer.name)
    return _STATIC.format(provider=writer.provider, name=writer.name, secret=secret_of(writer))


SECRETS = configuration((("secrets",), KEY_1))
EVERYTHING = configuration((("secrets",), KEY_1), (("*.*",), KEY_0))
KMS_SECRETS = configuration((("secrets",), Plugin("vault")))
KMS_CONFIGMAPS = configuration((("secrets",), KEY_1), (("configmaps",), Plugin("vault")))


def manifest(
    spec: Spec, *, encrypts: bool, overrides: tuple[str, ...] = (), etcd: str = "https://10.0.0.9:2379"
) -> bytes:
    """The static pod manifest of one server. `overrides` are resources kept in a second etcd."""
    flags = ["kube-apiserver", f"--etcd-servers={etcd}", "--etcd-prefix=/registry", "--authorization-mode=Node,RBAC"]
    if overrides:
        flags.append("--etcd-servers-overrides=" + ",".join(f"/{name}#https://10.0.0.8:2379" for name in overrides))
    if encrypts:
        flags.append(f"--encryption-provider-config={CONFIG_PATH}")
    if encrypts and spec.reloads:
        flags.append("--encryption-provider-config-automatic-reload=true")
    mounts = [("/etc/kubernetes/pki", "k8s-certs")]
    if encrypts:
        mounts.append((CONFIG_PATH if spec.single_file else CONFIG_PATH.rpartition("/")[0], "enc"))
    lines = ["# written by kubeadm", "apiVersion: v1", "kind: Pod", "metadata:", "  name: kube-apiserver", "spec:"]
    lines += ["  containers:", "  - command:", *(f"    - {flag}" for flag in flags)]
    lines += [
        f"    image: registry.example/kube-apiserver:{spec.version}",
        "    name: kube-apiserver",
        "    volumeMounts:",
    ]
    for path, name in mounts:
        lines += [f"    - mountPath: {path}", f"      name: {name}", "      readOnly: true"]
    lines += ["  hostNetwork: true", "  volumes:"]
    for path, name in mounts:
        lines += ["  - hostPath:", f"      path: {path}", f"    name: {name}"]
    return ("\n".join(lines) + "\n").encode()
