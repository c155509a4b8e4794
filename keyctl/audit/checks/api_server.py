"""How the API server reaches etcd, and whom it lets in."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.check import API_SERVERS, Check, check, check_beside
from keyctl.audit.checks.mappings import AUTH, TLS
from keyctl.audit.checks.pairs import other_key, other_signer
from keyctl.audit.facts import Facts, Program
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.findings import Rule, Severity

ETCD_CREDENTIALS = Rule(
    "KC-TLS-008",
    Severity.CRITICAL,
    "kube-apiserver has no certificate for etcd, or does not check etcd's",
    "Without --etcd-cafile anybody can play etcd; without --etcd-certfile and --etcd-keyfile etcd has to let everybody "
    "in. With a key of another certificate kube-apiserver does not start, and with another CA it is refused.",
    "give --etcd-cafile, --etcd-certfile and --etcd-keyfile",
    "k8s.io/apiserver v0.37 pkg/storage/storagebackend",
    ("stig/V-242429", "stig/V-242430", "stig/V-242431", *TLS),
)
AUTHORIZATION = Rule(
    "KC-AUTH-001",
    Severity.HIGH,
    "kube-apiserver lets in whoever is known, or everybody",
    "Encryption at rest protects nothing from those who may read Secrets through the API. Without --authorization-mode "
    "the mode is AlwaysAllow.",
    "give --authorization-mode=Node,RBAC",
    "kube-apiserver 1.37, --authorization-mode",
    AUTH,
)


@check_beside(ETCD_CREDENTIALS, API_SERVERS)
def credentials_for_etcd(server: Program, facts: Facts) -> Iterator[Verdict]:
    """CA, certificate and key for etcd, and that they fit each other and etcd."""
    told = {one.name for one in server.settings}
    names = [name for name in ("etcd-servers", "etcd-servers-overrides") if name in told]
    urls = [url for name in names for url in server.urls(name)]
    if urls and all(url.scheme == "unix" for url in urls):
        yield not_applicable("kine", f"{server.name} stores behind a socket, in no etcd", urls[0])
        return
    missing = [name for name in ("etcd-cafile", "etcd-certfile", "etcd-keyfile") if not server.given(name)]
    if missing:
        yield failed(f"{server.name} has no {', no '.join(f'--{name}' for name in missing)}", server)
    elif wrong := other_key(server, "etcd-certfile", "etcd-keyfile", facts) or other_signer(server, facts):
        yield wrong
    else:
        yield passed(f"{server.name} has CA, certificate and key for etcd", server.given("etcd-cafile") or server)


@check(AUTHORIZATION, API_SERVERS)
def authorization_mode(server: Program) -> Iterator[Verdict]:
    """RBAC and Node, and no AlwaysAllow."""
    modes = server.setting("authorization-mode")
    if modes is None:
        config = server.given("authorization-config")
        if config is not None:
            yield unknown("what the file of --authorization-config says is not read", config)
        else:
            yield failed(f"{server.name} has no --authorization-mode: everybody may do everything", server)
        return
    given = {mode.strip() for mode in modes.known.split(",")}
    if "AlwaysAllow" in given:
        yield failed("--authorization-mode has AlwaysAllow", modes)
    elif missing := {"Node", "RBAC"} - given:
        yield failed(f"--authorization-mode is without {' and '.join(sorted(missing))}", modes)
    else:
        yield passed(f"--authorization-mode={modes.known}", modes)


CHECKS: tuple[Check, ...] = (credentials_for_etcd, authorization_mode)
