"""Who can reach etcd by its addresses, and what it shows them."""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.audit.checks.addresses import is_inside, is_loopback
from keyctl.audit.checks.check import ETCDS, Check, check, manual
from keyctl.audit.checks.mappings import NET
from keyctl.audit.facts import About, Program
from keyctl.audit.verdicts import Verdict, failed, passed, unknown
from keyctl.findings import Rule, Severity

OPEN_ADDRESS = Rule(
    "KC-NET-001",
    Severity.HIGH,
    "etcd listens on every address, or on a public one",
    "Only the API servers and the other members need to reach etcd. What listens everywhere is reached from pods, and, "
    "without a firewall, from the internet.",
    "listen on loopback and on the address of the control plane's network",
    "",
    NET,
)
METRICS = Rule(
    "KC-NET-003",
    Severity.MEDIUM,
    "etcd shows metrics or profiles to others",
    "Profiles hold memory, and with it values; metrics over http need no certificate.",
    "delete --enable-pprof; have metrics on loopback or over https",
    "etcd server/embed",
    NET,
)
PODS = Rule(
    "KC-NET-004",
    Severity.LOW,
    "pods can reach the control plane's nodes",
    "A NetworkPolicy does not bind pods on the host's network.",
    "keep ordinary pods off these nodes, and their traffic away from 2379 and 2380",
    "",
    NET,
)


@check(OPEN_ADDRESS, ETCDS)
def inside_addresses(etcd: Program) -> Iterator[Verdict]:
    """The addresses of both ports."""
    urls = [url for name in ("listen-client-urls", "listen-peer-urls") for url in etcd.urls(name)]
    open_ones = [url for url in urls if is_inside(url.host) is False]
    untold = next((url for url in urls if is_inside(url.host) is None and url.scheme not in ("unix", "unixs")), None)
    for url in open_ones:
        yield failed(f"{etcd.name} listens on {url.text}", url)
    if open_ones:
        return
    if untold is not None:
        yield unknown(f"which address {untold.text} becomes is not known", untold)
    else:
        yield passed(f"{etcd.name} listens on inner addresses", etcd.setting("listen-client-urls") or etcd)


@check(METRICS, ETCDS)
def nothing_shown(etcd: Program) -> Iterator[Verdict]:
    """Profiles and metrics."""
    pprof = etcd.switched("enable-pprof")
    shown = [url for url in etcd.urls("listen-metrics-urls") if url.scheme == "http" and not is_loopback(url.host)]
    if pprof:
        yield failed(f"{pprof.written} is on", pprof)
    for url in shown:
        yield failed(f"{etcd.name} shows its metrics at {url.text} to everybody", url)
    if not pprof and not shown:
        yield passed(f"{etcd.name} shows nothing without a certificate", etcd)


CHECKS: tuple[Check, ...] = (
    inside_addresses,
    nothing_shown,
    manual(PODS, About.CLUSTER, "whether pods can reach the nodes of the control plane"),
)
