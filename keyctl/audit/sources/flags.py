"""Words of a command line as settings, as Go's flag packages read them; and variables of etcd's environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keyctl.audit.facts import Setting
from keyctl.findings import Evidence, Location

# These take no word behind them: `--client-cert-auth true` would be the flag, and then a word that is none.
_BOOLEANS = frozenset(
    {
        "auto-tls",
        "client-cert-auth",
        "enable-pprof",
        "encryption-provider-config-automatic-reload",
        "experimental-initial-corrupt-check",
        "force-new-cluster",
        "peer-auto-tls",
        "peer-client-cert-auth",
        "peer-skip-client-san-verification",
        "profiling",
    }
)
# These take the word behind them whatever it begins with, as Go's packages read it. Of other flags it is not known
# whether they take one: a word that looks like a flag is taken for the next flag.
_VALUED = frozenset(
    {
        "advertise-client-urls",
        "audit-log-maxage",
        "audit-log-maxbackup",
        "audit-log-maxsize",
        "audit-log-path",
        "audit-policy-file",
        "audit-webhook-config-file",
        "authorization-config",
        "authorization-mode",
        "cert-file",
        "cipher-suites",
        "client-ca-file",
        "config-file",
        "cors",
        "data-dir",
        "encryption-provider-config",
        "etcd-cafile",
        "etcd-certfile",
        "etcd-keyfile",
        "etcd-servers",
        "etcd-servers-overrides",
        "experimental-encryption-provider-config",
        "initial-advertise-peer-urls",
        "initial-cluster",
        "key-file",
        "listen-client-http-urls",
        "listen-client-urls",
        "listen-metrics-urls",
        "listen-peer-urls",
        "name",
        "peer-cert-file",
        "peer-key-file",
        "peer-trusted-ca-file",
        "tls-cipher-suites",
        "tls-min-version",
        "trusted-ca-file",
    }
)
# etcd's variables are ETCD_ and the flag in capitals.
ETCD_PREFIX = "ETCD_"


def flag_settings(
    words: Iterable[tuple[str, Location]], *, etcds: bool = False, evidence: Evidence = Evidence.E1
) -> Iterator[Setting]:
    """The flags among `words` with their values. Other words are passed by.

    A flag without a value has "true", or "" where it needs one: then no program starts with it. `etcds` are read as Go
    does it: with one dash or two. Those of Kubernetes need two, and have _ for - where one likes.
    """
    left = list(words)
    while left and left[0][0] != "--":
        word, place = left.pop(0)
        if not word.startswith("-" if etcds else "--") or word == "-":
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name if etcds else name.replace("_", "-")
        written = word.partition("=")[0]
        if not equals:
            looks_like_one = bool(left) and name not in _BOOLEANS and not left[0][0].startswith("-")
            takes = looks_like_one or (bool(left) and name in _VALUED)
            value = left.pop(0)[0] if takes else "" if name in _VALUED else "true"
        yield Setting(name, value, place, written, evidence)


def environment_settings(
    variables: Iterable[tuple[str, str, Location]], *, evidence: Evidence = Evidence.E1
) -> Iterator[Setting]:
    """The variables that etcd reads, as the settings that they are."""
    for name, value, place in variables:
        if name.startswith(ETCD_PREFIX):
            flag = name.removeprefix(ETCD_PREFIX).lower().replace("_", "-")
            yield Setting(flag, value, place, name, evidence)
