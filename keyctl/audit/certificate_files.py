"""Certificates and keys as they stand in files beside each other → findings. Pure: values to values.

What a certificate says of itself is judged by the checks of the audit; here is what only its neighbours tell: its
key, its signer, its place. What cannot be told is UNKNOWN, never a pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath

from keyctl.audit.checks.api_server import ETCD_CREDENTIALS
from keyctl.audit.checks.certificates import EXPIRY, SHARED_CA, WEAK_CERTIFICATE, ca_of_its_own, not_expiring
from keyctl.audit.checks.certificates import strong_certificates as strong
from keyctl.audit.checks.check import Check
from keyctl.audit.checks.files import PKI_MODE
from keyctl.audit.facts import Facts
from keyctl.audit.verdicts import Verdict
from keyctl.findings import Finding, Location, Rule, Severity, Status
from keyctl.pki.inventory import Found, Inventory
from keyctl.pki.roles import Role, role_of
from keyctl.pki.rules import CHAIN, FITNESS, PAIR
from keyctl.pki.trust import Link, Match, Pair, Signer, chain_of, pair_of, signer_of

_OTHERS = 0o077
# A name that every certificate of a kube-apiserver has, and no other.
_API_SERVER_NAME = "kubernetes.default"
_ADDRESS = re.compile(r"[0-9.]{7,}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_CA_NAME = re.compile(r"(?:^|[^a-z])(?:ca|cas|root|trust|bundle)(?:$|[^a-z])|ca$|authority|issuer", re.IGNORECASE)
_BY_A_CA = (
    "issue one from a CA: keyctl certs init makes all that etcd needs; openssl x509 -req takes -CA, -CAkey and "
    "-extfile FILE with subjectAltName=IP:10.0.0.1,DNS:etcd1 and extendedKeyUsage=serverAuth in it"
)
_SIGNING = "issue it anew with digitalSignature in its key usage: keyUsage=digitalSignature,keyEncipherment"


@dataclass(frozen=True, slots=True)
class Placed:
    """A certificate with all that its neighbours tell. `chain` is its signer, that one's signer, and so on."""

    found: Found
    role: Role | None
    signer: Signer
    pair: Pair
    chain: tuple[Found, ...]

    @property
    def location(self) -> Location:
        """Its file."""
        return Location(self.found.path)


def place(inventory: Inventory, roles: Mapping[str, Role]) -> tuple[Placed, ...]:
    """Every certificate of `inventory` beside its neighbours. `roles` are by file, as somebody who uses it tells."""
    return tuple(_place(one, inventory, roles) for one in inventory.certificates)


def _place(one: Found, inventory: Inventory, roles: Mapping[str, Role]) -> Placed:
    role = roles.get(one.place) or role_of(one.place) if one.number == 1 else None
    pair = pair_of(one, inventory, role.key if role else "")
    return Placed(one, role, signer_of(one, inventory), pair, chain_of(one, inventory))


def judge(placed: tuple[Placed, ...], inventory: Inventory, facts: Facts) -> tuple[Finding, ...]:
    """Everything that is known of them. `facts` have the same certificates, and the programs that use them."""
    return (
        *_of_audit(placed, facts),
        *(finding for one in placed for finding in _pair(one)),
        *(finding for one in placed for finding in _chain(one, inventory)),
        *(finding for one in placed for finding in _fitness(one)),
        *(finding for one in placed for finding in _authority(one, placed)),
        *(_shared(placed, inventory) if not facts.etcds else ()),
        *_modes(inventory),
        *_unread(inventory),
    )


def _of_audit(placed: tuple[Placed, ...], facts: Facts) -> Iterator[Finding]:
    checks: list[tuple[Check, Rule]] = [(not_expiring, EXPIRY), (strong, WEAK_CERTIFICATE)]
    if facts.etcds:
        checks.append((ca_of_its_own, SHARED_CA))
    for check, rule in checks:
        for verdict in check.judge(facts):
            one = _meant(verdict, placed)
            yield _told(rule, verdict, _mend(one, renewing=rule is EXPIRY) if one else None)


def _meant(verdict: Verdict, placed: tuple[Placed, ...]) -> Placed | None:
    """The certificate that a verdict is about: a file may hold several, and each is mended in its own way."""
    there = (one for one in placed if one.found.path == verdict.location.file)
    return next((one for one in there if verdict.message.startswith(f"{one.found.described.subject} ")), None)


def _told(rule: Rule, verdict: Verdict, fix: str | None) -> Finding:
    made = rule.finding(
        verdict.message, location=verdict.location, status=verdict.status, evidence=verdict.evidence, fix=verdict.fix
    )
    if verdict.status is not Status.FAIL:
        return replace(made, fix=None)
    return replace(made, severity=verdict.severity or rule.severity, fix=verdict.fix or fix or rule.fix)


def _mend(one: Placed, *, renewing: bool) -> str | None:
    """How this very certificate is mended, where its place tells."""
    if one.role is None:
        return None
    authority = one.signer.by.described.common_name if one.signer.by else None
    if one.role.made_by and authority not in one.role.made_by:
        return None
    return (one.role.renew if renewing else one.role.anew) or None


def _pair(one: Placed) -> Iterator[Finding]:
    rule, key = _rule(one, PAIR), one.pair.key
    name = one.found.described.subject
    match one.pair.match:
        case Match.OWN:
            yield _passed(rule, f"{name} has its key", one)
        case Match.OTHER if key is not None:
            message = f"{key.path} is not the key of {name}"
            yield rule.finding(message, location=one.location, fix=_mend(one, renewing=False) or PAIR.fix)
        case Match.UNREADABLE if key is not None:
            message = f"whether {key.path} is the key of {name} is not known: {key.problem}"
            yield _unknown(rule, message, one)
        case _:
            # A certificate without its key beside it is no mistake: a CA's should not be there.
            return


def _chain(one: Placed, inventory: Inventory) -> Iterator[Finding]:
    rule, signer, said = _rule(one, CHAIN), one.signer, one.found.described
    wanted = _wanted(one, inventory)
    fix = _mend(one, renewing=True) or CHAIN.fix
    match signer.link:
        case Link.OTHER_KEY if signer.by is not None:
            message = f"{said.subject} is not signed by {signer.by.path}, which has its issuer's name and another key"
            yield rule.finding(message, location=one.location, fix=fix)
        case Link.NO_CA if signer.by is not None:
            message = f"{said.subject} is signed by {signer.by.path}, which is no CA"
            yield rule.finding(message, location=one.location, fix=fix)
        case _ if _is_signed_by_another(one, wanted):
            by = signer.by.path if signer.by else said.issuer
            message = f"{said.subject} is signed by {by}, and is checked against {wanted[0].path}"
            yield rule.finding(message, location=one.location, fix=fix)
        case Link.ABSENT:
            message = f"who signed {said.subject} is not among what was looked at: {said.issuer}"
            yield _unknown(rule, message, one, fix="also name the file of that CA")
        case _:
            yield _passed(rule, f"{said.subject} is signed as it should be", one)


def _is_signed_by_another(one: Placed, wanted: tuple[Found, ...]) -> bool:
    # One in a file of CAs is believed by itself, whoever signed it: an intermediate CA, or the certificate's own.
    keys = {link.described.spki for link in (one.found, *one.chain)}
    return bool(wanted) and not any(own.described.spki in keys for own in wanted)


def _wanted(one: Placed, inventory: Inventory) -> tuple[Found, ...]:
    """The CAs of the file that must have signed it, none where its place does not tell."""
    folder = PurePath(one.found.place).parent
    for name in one.role.authorities if one.role else ():
        authorities = tuple(own for own in inventory.certificates if PurePath(own.place) == folder / name)
        if authorities:
            return authorities
    return ()


def _fitness(one: Placed) -> Iterator[Finding]:
    if one.role is None:
        return
    said, role = one.found.described, one.role
    asked = [word for word, wanted in (("servers", role.serve), ("clients", role.ask)) if wanted]
    lacking = [word for word in asked if not _may(one.found, word)]
    narrow = [(link, word) for link in one.chain for word in asked if not _may(link, word)]
    if lacking:
        message = f"{said.subject} stands there as {role.what} and its usages are not those of {' and '.join(lacking)}"
    elif narrow:
        # Usages of a CA are limits for all that it signs.
        by, word = narrow[0]
        message = f"{said.subject} stands there as {role.what}, and {by.path}, which signed it, is not for {word}"
    elif role.serve and role.of_etcd and not said.signs:
        message = f"{said.subject} stands there as {role.what}, and clients with gRPC in C refuse its key usage"
        fix = _mend(one, renewing=False) or _SIGNING
        yield replace(_rule(one, FITNESS).finding(message, location=one.location, fix=fix), severity=Severity.MEDIUM)
        return
    else:
        yield _passed(_rule(one, FITNESS), f"{said.subject} may be used as {role.what}", one)
        return
    yield _rule(one, FITNESS).finding(message, location=one.location, fix=_mend(one, renewing=False) or FITNESS.fix)


def _may(found: Found, word: str) -> bool:
    return found.described.serves if word == "servers" else found.described.asks


def _authority(one: Placed, placed: tuple[Placed, ...]) -> Iterator[Finding]:
    """A CA that stands where a server's or a client's certificate should: `openssl req -x509` makes such ones."""
    said = one.found.described
    if not said.is_ca or one.found.number > 1:
        return
    name = said.subject or one.found.path
    if one.role is not None and (one.role.serve or one.role.ask):
        message = f"{name} stands there as {one.role.what} and is a CA: whoever has its key makes any other like it"
    elif _is_used(one, placed):
        message = (
            f"{name} is a CA, and looks like a server's or client's own certificate: it signed none that was found"
        )
    else:
        return
    if not said.names:
        message += "; it has no alternative names, so as a server's every Go program refuses it"
    yield WEAK_CERTIFICATE.finding(message, location=one.location, fix=_mend(one, renewing=False) or _BY_A_CA)


def _is_used(one: Placed, placed: tuple[Placed, ...]) -> bool:
    """Whether a CA names an address, or has its key beside it under a name that is no CA's, and signed nobody."""
    found = one.found
    if any(link.described.spki == found.described.spki for other in placed if other is not one for link in other.chain):
        return False
    hosts = [name for name in found.described.names if _ADDRESS.fullmatch(name) or name == "localhost"]
    called = _CA_NAME.search(PurePath(found.path).stem) is None and _CA_NAME.search(found.described.common_name) is None
    return bool(hosts) or (called and one.pair.match is Match.OWN)


def _shared(placed: tuple[Placed, ...], inventory: Inventory) -> Iterator[Finding]:
    """One CA for etcd and for the cluster, told by what it signed."""
    signed = [(one, one.signer.by) for one in placed if one.signer.by is not None]
    of_etcd = {by.described.spki: one for one, by in signed if _is_of_etcd(one, inventory)}
    of_cluster = {by.described.spki: one for one, by in signed if _API_SERVER_NAME in one.found.described.names}
    common = [key for key in of_etcd if key in of_cluster]
    for key in common:
        theirs = of_cluster[key].found.path
        message = f"the CA that signed {of_etcd[key].found.path} for etcd also signed {theirs} of the cluster"
        authority = next(by.path for _, by in signed if by.described.spki == key)
        yield SHARED_CA.finding(message, location=Location(authority))
    if of_etcd and of_cluster and not common:
        some = next(iter(of_etcd.values()))
        yield _passed(SHARED_CA, "etcd's certificates and the cluster's are signed by different CAs", some)


def _is_of_etcd(one: Placed, inventory: Inventory) -> bool:
    if one.role is not None:
        # One that another CA had to sign says nothing of the CA that etcd trusts.
        return one.role.of_etcd and not _is_signed_by_another(one, _wanted(one, inventory))
    name = PurePath(one.found.path).name.lower()
    return one.signer.link is not Link.ITSELF and ("etcd" in name or "etcd" in one.found.described.common_name.lower())


def _modes(inventory: Inventory) -> Iterator[Finding]:
    for key in inventory.keys:
        location = Location(key.path)
        if key.mode & _OTHERS:
            message = f"the private key has mode {key.mode:04o}, more than 0600"
            yield PKI_MODE.finding(message, location=location, fix=f"chmod 600 {key.path}")
        else:
            message = f"the private key has mode {key.mode:04o}"
            yield replace(PKI_MODE.finding(message, location=location, status=Status.PASS), fix=None)


def _unread(inventory: Inventory) -> Iterator[Finding]:
    for one in inventory.unread:
        made = CHAIN.finding(f"not read: {one.reason}", location=Location(one.path), status=Status.UNKNOWN)
        yield replace(made, fix=None)


def _rule(one: Placed, rule: Rule) -> Rule:
    """The audit's own rule for what is wrong with the API server's way to etcd."""
    return ETCD_CREDENTIALS if one.role is not None and one.role.of_api_server else rule


def _passed(rule: Rule, message: str, one: Placed) -> Finding:
    return replace(rule.finding(message, location=one.location, status=Status.PASS), fix=None)


def _unknown(rule: Rule, message: str, one: Placed, fix: str | None = None) -> Finding:
    return replace(rule.finding(message, location=one.location, status=Status.UNKNOWN), fix=fix)
