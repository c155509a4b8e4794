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
# etcd's variables are ETCD_ and the flag in capitals.
ETCD_PREFIX = "ETCD_"


def flag_settings(words: Iterable[tuple[str, Location]], *, evidence: Evidence = Evidence.E1) -> Iterator[Setting]:
    """The flags among `words` with their values; a flag without one has "true". Other words are passed by."""
    left = list(words)
    while left and left[0][0] != "--":
        word, place = left.pop(0)
        if not word.startswith("-") or word == "-":
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        written = word.partition("=")[0]
        if not equals:
            takes = name not in _BOOLEANS and left and not left[0][0].startswith("-")
            value = left.pop(0)[0] if takes else "true"
        yield Setting(name, value, place, written, evidence)


def environment_settings(
    variables: Iterable[tuple[str, str, Location]], *, evidence: Evidence = Evidence.E1
) -> Iterator[Setting]:
    """The variables that etcd reads, as the settings that they are."""
    for name, value, place in variables:
        if name.startswith(ETCD_PREFIX):
            flag = name.removeprefix(ETCD_PREFIX).lower().replace("_", "-")
            yield Setting(flag, value, place, name, evidence)
