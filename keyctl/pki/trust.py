"""Who signed a certificate, and which private key is its own, among what was found. Pure: values to values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath

from keyctl.pki.inventory import Found, FoundKey, Inventory


class Link(Enum):
    """How a certificate hangs together with its signer."""

    ITSELF = "it signed itself"
    SIGNED = "by a CA that was found"
    NO_CA = "by a certificate that may not sign any"
    OTHER_KEY = "by another key of the same name"
    ABSENT = "by what was not found"


@dataclass(frozen=True, slots=True)
class Signer:
    """`by` is the signer's certificate; for `OTHER_KEY` one of the same name; None where nothing was found."""

    link: Link
    by: Found | None = None


class Match(Enum):
    """What the file that should hold the private key of a certificate holds."""

    OWN = "its own key"
    OTHER = "another key"
    UNREADABLE = "a key that cannot be read"
    ABSENT = "no file"


@dataclass(frozen=True, slots=True)
class Pair:
    """`key` is the private key that was found, by its name or because it matches."""

    match: Match
    key: FoundKey | None = None


def signer_of(found: Found, inventory: Inventory) -> Signer:
    """Who signed `found`. Of several CAs of one name, the one whose key did it."""
    if found.described.is_self_issued and found.signed(found):
        return Signer(Link.ITSELF, found)
    named = [one for one in inventory.certificates if one.described.subject == found.described.issuer and one != found]
    if not named:
        return Signer(Link.ABSENT)
    signing = [one for one in named if one.signed(found)]
    if not signing:
        return Signer(Link.OTHER_KEY, named[0])
    authority = next((one for one in signing if one.may_sign), None)
    return Signer(Link.SIGNED, authority) if authority else Signer(Link.NO_CA, signing[0])


def chain_of(found: Found, inventory: Inventory) -> tuple[Found, ...]:
    """Who signed it, who signed that, and so on, as far as that was found."""
    chain: list[Found] = []
    signer = signer_of(found, inventory)
    while signer.link is Link.SIGNED and signer.by is not None and signer.by not in chain:
        chain.append(signer.by)
        signer = signer_of(signer.by, inventory)
    return tuple(chain)


def pair_of(found: Found, inventory: Inventory, told: str = "") -> Pair:
    """The private key of `found`: the file `told` where that is given, else one named after it.

    Only where there is neither it may be any that is its own: two keys that changed places are no pairs.
    """
    if found.number > 1:
        # What stands behind the first certificate of a file are those that vouch for it.
        return Pair(Match.ABSENT)
    names = (told,) if told else _key_names(PurePath(found.place))
    named = [key for key in inventory.keys if key.place in names]
    own = [key for key in named or inventory.keys if key.spki == found.described.spki]
    if own:
        return Pair(Match.OWN, own[0])
    if not named:
        return Pair(Match.ABSENT)
    return Pair(Match.OTHER if named[0].spki else Match.UNREADABLE, named[0])


def _key_names(certificate: PurePath) -> tuple[str, ...]:
    """What the key of a certificate is called by those who make them: kubeadm, cfssl, openssl's tutorials."""
    stem = certificate.stem
    names = [certificate.name, f"{stem}.key", f"{stem}-key.pem", f"{stem}.key.pem"]
    for word in ("certificate", "cert", "crt"):
        if word in stem:
            names += [f"{stem.replace(word, 'key')}{certificate.suffix}", f"{stem.replace(word, 'key')}.key"]
    return tuple(str(certificate.with_name(name)) for name in names)
