"""How often a key of aesgcm has written, as far as stored values and the servers' counters tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from keyctl.audit.checks.declared import declared
from keyctl.audit.facts import Facts
from keyctl.audit.live.api_servers import RunningServer
from keyctl.audit.live.stored_values import StoredValues
from keyctl.audit.verdicts import Verdict, failed, passed, unknown
from keyctl.encryption_config import effective
from keyctl.keys.key import KeyRef, Provider

# By Kubernetes' own documentation: after so many writes with random nonces the key is to be changed.
_MOST_WRITES = 200_000


def of_aesgcm(values: StoredValues, facts: Facts) -> Mapping[KeyRef, Verdict]:
    """A verdict for each aesgcm key that wrote some of `values` or is configured.

    What is stored under a key and what the servers count are both less than what it has written.
    """
    written: Counter[KeyRef] = Counter()
    for one in values.whole.resources:
        for stored in one.stored:
            if stored.group.ref is not None:
                written[stored.group.ref] += stored.group.values
    configured = {ref for one in declared(facts) for ref in effective.refs(one.config)}
    keys = sorted(ref for ref in {*written, *configured} if ref.provider is Provider.AESGCM)
    known = {*written, *configured}
    return {ref: _verdict(values, ref, max(written[ref], _counted(facts, ref, known))) for ref in keys}


def holds(values: StoredValues, ref: KeyRef) -> bool:
    """Whether any of `values` is under this key."""
    return any(stored.group.ref == ref for one in values.whole.resources for stored in one.stored)


def is_one_key(ref: KeyRef, facts: Facts) -> bool:
    """Whether no two configurations have different keys of this name, as those of two clusters do."""
    keys = (key for one in declared(facts) for key in effective.all_static_keys(one.config))
    return len({key.material for key in keys if key.ref == ref}) < 2


def _verdict(values: StoredValues, ref: KeyRef, writes: int) -> Verdict:
    if writes > _MOST_WRITES:
        return failed(f"{ref} has written at least {writes} times", values)
    # NOTE: every write of anything makes one revision, so that no key has written more often, but for the few writes
    # that were sealed and then lost a conflict: the limit has room for them by orders of magnitude.
    if values.etcds == 1 and 0 < values.whole.source.revision <= _MOST_WRITES:
        return passed(f"{ref} has written at most {values.whole.source.revision} times into this etcd", values)
    return unknown(
        f"{ref} has written at least {writes} times: how often before the servers started is not told", values
    )


def _counted(facts: Facts, ref: KeyRef, known: set[KeyRef]) -> int:
    """How many writes with this key the servers count; 0 where its name is another key's, too."""
    if sum(one.name == ref.name for one in known) > 1:
        return 0
    counters = (one for server in facts.of(RunningServer) for one in server.transformed or ())
    return sum(one.count for one in counters if one.written and one.succeeded and one.prefix == f"{ref.name}:")
