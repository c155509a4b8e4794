"""Manifests as a tutorial's reader has them and as the repair makes them, and the repair done twice."""

from __future__ import annotations

from keyctl.hosts.manifest_repair import ManifestRepair, repair_manifests

FILE = "/etc/kubernetes/enc/enc.yaml"
FLAG = f"--encryption-provider-config={FILE}"
ETCD = """\
# kept by hand
apiVersion: v1
kind: Pod
metadata:
  name: etcd
spec:
  containers:
  - command:
    - etcd
    - --data-dir=/var/lib/etcd   # ours
    # read in a tutorial
    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml
    - --encryption-provider-config-automatic-reload
    # the image is pinned
    image: registry.example/etcd:3.7.3-0
    name: etcd
    volumeMounts:
    - mountPath: /var/lib/etcd
      name: etcd-data
    # from the same tutorial
    - mountPath: /etc/kubernetes/enc
      name: enc
      readOnly: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/enc
      type: DirectoryOrCreate
    name: enc
  - hostPath:
      path: /var/lib/etcd
    name: etcd-data
"""
ETCD_AFTER = """\
# kept by hand
apiVersion: v1
kind: Pod
metadata:
  name: etcd
spec:
  containers:
  - command:
    - etcd
    - --data-dir=/var/lib/etcd   # ours
    # read in a tutorial
    # the image is pinned
    image: registry.example/etcd:3.7.3-0
    name: etcd
    volumeMounts:
    - mountPath: /var/lib/etcd
      name: etcd-data
    # from the same tutorial
  volumes:
  - hostPath:
      path: /var/lib/etcd
    name: etcd-data
"""
SERVER = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - kube-apiserver
    - --etcd-servers=https://127.0.0.1:2379  # here
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki
    name: k8s-certs
"""
SERVER_AFTER = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - kube-apiserver
    - --etcd-servers=https://127.0.0.1:2379  # here
    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml
    - --encryption-provider-config-automatic-reload=true
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
    - mountPath: /etc/kubernetes/enc
      name: keyctl-encryption
      readOnly: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki
    name: k8s-certs
  - hostPath:
      path: /etc/kubernetes/enc
      type: DirectoryOrCreate
    name: keyctl-encryption
"""
CONFIG_LINE = "    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml\n"
HERE = "    - --etcd-servers=https://127.0.0.1:2379  # here\n"


def repair(**texts: str) -> tuple[ManifestRepair, dict[str, str]]:
    """The repair of the files NAME.yaml, and what they are after it; repairing again must change nothing."""
    before = {f"{name}.yaml": text.encode() for name, text in texts.items()}
    repaired = repair_manifests(before)
    after = {**before, **repaired.contents}
    assert all(repaired.contents[name] != before[name] for name in repaired.contents)
    again = repair_manifests(after)
    assert (again.contents, again.done, again.left) == ({}, (), repaired.left)
    return repaired, {name.removesuffix(".yaml"): content.decode() for name, content in after.items()}


def server_with(*lines: str) -> str:
    """The server's manifest with more flags, as they stand in the file, and the file's directory mounted."""
    flags = "".join(f"    - {line}\n" for line in lines)
    return SERVER.replace(HERE, HERE + flags).replace("/etc/kubernetes/pki", "/etc/kubernetes")


def left(repaired: ManifestRepair) -> list[str]:
    return [f"{finding.location.file} {finding.id}" for finding in repaired.left]
