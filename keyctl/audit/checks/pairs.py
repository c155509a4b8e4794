"""Whether the files that programs are told to use fit each other: a certificate, its own key, the CA that signed it.

A CA is known by its name, as Go looks for it: what another name signed it refuses, what an equal name signed may still
be of another key. Files that were not given tell nothing, and fail nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from keyctl.audit.checks.check import known
from keyctl.audit.facts import CertificateFact, Facts, Program, Setting
from keyctl.audit.private_keys import PrivateKeyFact
from keyctl.audit.verdicts import Verdict, failed


def other_key(program: Program, certificate: str, key: str, facts: Facts) -> Verdict | None:
    """The failure where the files of these two settings are no pair; None where they are, or were not both given."""
    told, of_key = program.given(certificate), program.given(key)
    if told is None or of_key is None:
        return None
    # What stands behind the first certificate of a file are those that vouch for it.
    shown = next((one.spki for one in _in(facts, told)), None)
    own = {one.spki for one in facts.of(PrivateKeyFact) if one.path == of_key.value}
    if shown is None or not own or shown in own:
        return None
    message = f"--{key} is not the key of the certificate of --{certificate}: {program.name} does not start"
    return failed(message, of_key)


def other_signer(server: Program, facts: Facts) -> Verdict | None:
    """The failure where `server` and an etcd would refuse each other; None where they fit, or that is not known."""
    ours, authority = known(server, "etcd-certfile"), known(server, "etcd-cafile")
    trusted = [found for one in facts.etcds if (found := known(one, "trusted-ca-file"))]
    shown = [found for one in facts.etcds if (found := known(one, "cert-file"))]
    if ours and _differ(_in(facts, ours), (one for told in trusted for one in _in(facts, told))):
        return failed("etcd trusts another CA than the one that signed --etcd-certfile, and refuses it", ours)
    # Others than the API server may have an etcd of their own here, with a CA of its own.
    if authority and shown and all(_differ(_in(facts, one), _in(facts, authority)) for one in shown):
        return failed("the CA of --etcd-cafile is not the one that signed the certificate of etcd", authority)
    return None


def _in(facts: Facts, told: Setting) -> tuple[CertificateFact, ...]:
    return tuple(one for one in facts.certificates if one.path == told.value)


def _differ(file: tuple[CertificateFact, ...], authorities: Iterable[CertificateFact]) -> bool:
    """Whether none of `authorities` signed anything of `file`, which may bring CAs between with it."""
    names = {one.subject for one in authorities}
    return bool(file and names) and not names & {one.issuer for one in file}
