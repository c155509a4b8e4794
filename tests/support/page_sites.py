"""Where the commands of pages are run: which sites there are, and the folder that a reader of a page is in.

The files that pages name by example (`enc.yaml`, `waivers.yaml`, `/etc/kubernetes`) are there, made up and with random
keys. `SITES` says which test runs a site; starting servers is that test's work.
"""

from __future__ import annotations

import base64
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pyrage
import yaml

from tests.support.kubeadm_pki import KubeadmPki
from tests.support.pages import ROOT, Block, blocks, pages

# A site of `<!-- run: SITE -->` → the test that runs the blocks of it.
SITES: Mapping[str, str] = {
    "an empty folder": "tests/unit/docs/test_folder_pages.py",
    "a folder": "tests/unit/docs/test_folder_pages.py",
    "a lab": "tests/live/test_docs.py",
    "an etcd with users": "tests/live/test_docs.py",
    "beside an OpenBao": "tests/live/test_docs.py",
    "beside a KMS plugin": "tests/live/test_docs.py",
    "a lab of its own": "tests/docs/test_first_rotation.py",
    "nothing running": "tests/docs/test_tutorial.py",
}
# Where a page means a place of the reader's machine, and nothing of this one's may be touched.
_TOPS = ("etc", "var", "mnt", "backup", "opt", "srv")
_WAIVER = "waivers:\n- {{id: KC-ENC-007, owner: ann, reason: a lab, expires: {}}}\n"
_SERVER = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  hostNetwork: true
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.37.1
    command:
    - kube-apiserver
    - --etcd-servers=https://127.0.0.1:2379
    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt
    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key
    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml
    volumeMounts:
    - {name: pki, mountPath: /etc/kubernetes/pki, readOnly: true}
    - {name: enc, mountPath: /etc/kubernetes/enc, readOnly: true}
  volumes:
  - {name: pki, hostPath: {path: /etc/kubernetes/pki, type: Directory}}
  - {name: enc, hostPath: {path: /etc/kubernetes/enc, type: Directory}}
"""
_ETCD = """\
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  hostNetwork: true
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.6.0-0
    command:
    - etcd
    - --name=cp1
    - --data-dir=/var/lib/etcd
    - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --key-file=/etc/kubernetes/pki/etcd/server.key
    - --client-cert-auth=true
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    volumeMounts:
    - {name: pki, mountPath: /etc/kubernetes/pki/etcd}
    - {name: data, mountPath: /var/lib/etcd}
  volumes:
  - {name: pki, hostPath: {path: /etc/kubernetes/pki/etcd, type: DirectoryOrCreate}}
  - {name: data, hostPath: {path: /var/lib/etcd, type: DirectoryOrCreate}}
"""


def pages_of(site: str) -> tuple[str, ...]:
    """The pages with blocks for a site."""
    return tuple(page for page in pages() if blocks_of(page, site))


def blocks_of(page: str, site: str) -> tuple[Block, ...]:
    """The blocks of a page for a site, in order."""
    return tuple(block for block in blocks(page) if block.site == site and block.steps)


def encryption_config(*names: str) -> str:
    """An EncryptionConfiguration for Secrets with a random key for each name; the first one writes."""
    keys = [{"name": name, "secret": base64.b64encode(secrets.token_bytes(32)).decode()} for name in names]
    entry = {"resources": ["secrets"], "providers": [{"aescbc": {"keys": keys}}, {"identity": {}}]}
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [entry]}
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def reader_folder(root: Path, config: str) -> tuple[Path, dict[str, str]]:
    """Make a reader's folder below `root`, with what pages name, and what they name of the machine beside it (`site`).

    `config` is the EncryptionConfiguration in force. Returns the folder, and what becomes of pages' names in commands.
    """
    folder, site = root / "reader", root / "site"
    folder.mkdir()
    kubernetes = site / "etc" / "kubernetes"
    for path in (kubernetes / "enc", kubernetes / "manifests", site / "mnt" / "usb"):
        path.mkdir(parents=True)
    for top in _TOPS:
        (site / top).mkdir(exist_ok=True)
    KubeadmPki(kubernetes / "pki")
    _private(kubernetes / "enc" / "enc.yaml", config)
    for name, text in (("kube-apiserver", _SERVER), ("etcd", _ETCD)):
        (kubernetes / "manifests" / f"{name}.yaml").write_text(text)
    for name in ("enc.yaml", "enc.yaml.old", "old.yaml"):
        _private(folder / name, config)
    _private(folder / "new.yaml", _with_another_reader(config))
    (folder / "waivers.yaml").write_text(_WAIVER.format("2099-01-01"))
    for name, pair in (("server.crt", "etcd/server.crt"), ("server.key", "etcd/server.key"), ("ca.crt", "etcd/ca.crt")):
        (folder / name).symlink_to(kubernetes / "pki" / pair)
    (folder / "keyctl.yaml").write_text(cluster_file().replace(" /etc/", f" {site}/etc/"))
    _private(folder / "old.key", base64.b64encode(secrets.token_bytes(32)).decode())
    identity = pyrage.x25519.Identity.generate()
    _private(folder / "escrow.identity", f"{identity}\n")
    places = {f" /{top}/": f" {site}/{top}/" for top in _TOPS}
    return folder, places | {"age1…": str(identity.to_public())}


def cluster_file() -> str:
    """The cluster file that the README shows."""
    (shown,) = (block for block in blocks("README.md") if block.language == "yaml")
    return "".join(f"{line}\n" for line in shown.lines)


def reader_environment(home: Path) -> dict[str, str]:
    """The variables of a reader who has installed keyctl from here: by each of its names, in a home of their own."""
    programs = home / "bin"
    programs.mkdir(parents=True)
    for name in ("keyctl", "kube-keyctl", "kubectl-keyctl"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m keyctl "$@"\n')
        program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ETCDCTL_", "KUBE", "XDG_"))}
    modules = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    path = f"{programs}:{os.environ['PATH']}"
    return kept | {"HOME": str(home), "PATH": path, "PYTHONPATH": modules, "LANG": "C.UTF-8"}


def _with_another_reader(config: str) -> str:
    document = yaml.safe_load(config)
    (entry,) = document["resources"]
    entry["providers"][0]["aescbc"]["keys"] += yaml.safe_load(encryption_config("another"))["resources"][0][
        "providers"
    ][0]["aescbc"]["keys"]
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
