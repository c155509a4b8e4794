"""A TLS greeting of our own making, for protocols and ciphers that this machine's own library does not offer any more.

One message out, one answer read; no key is ever agreed on. Opens no connection.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

# As they stand in the greeting and in its answer.
TLS_1_1, TLS_1_2 = 0x0302, 0x0303
_ALERT, _HANDSHAKE, _SERVER_HELLO = 21, 22, 2
_HEADER = 5
# Ciphers by RFC 5246, 4492 and 5289. Those of TLS 1.1, for every kind of certificate:
OLD_SUITES = (0xC009, 0xC00A, 0xC013, 0xC014, 0x002F, 0x0035, 0x000A)
# RC4, 3DES, and those where the certificate's key opens what was recorded.
WEAK_SUITES = (0x0005, 0xC007, 0xC011, 0x000A, 0xC008, 0xC012, 0x002F, 0x0035, 0x003C, 0x003D, 0x009C, 0x009D)
_GROUPS = (29, 23, 24)
_SIGNATURES = (0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0203, 0x0201)
# AlertDescription: handshake_failure, protocol_version, insufficient_security.
_NO_COMMON = {40: "handshake failure", 70: "protocol version", 71: "insufficient security"}


class Reply(Enum):
    """What a server makes of a greeting."""

    AGREED = "it goes on"
    DECLINED = "it has nothing in common with us"
    UNCLEAR = "neither"


@dataclass(frozen=True, slots=True)
class Greeted:
    """The reply, in words as well; `version` is the protocol that the server chose where it agreed."""

    reply: Reply
    said: str
    version: int = 0


def greeting(version: int, suites: tuple[int, ...]) -> bytes:
    """A ClientHello that offers nothing but `version` and `suites`."""
    extensions = b"".join(
        (
            _extension(10, _listed(_GROUPS)),
            _extension(11, b"\x01\x00"),
            _extension(13, _listed(_SIGNATURES)),
            # No renegotiation: RFC 5746.
            _extension(0xFF01, b"\x00"),
        )
    )
    body = version.to_bytes(2, "big") + os.urandom(32) + b"\x00" + _listed(suites) + b"\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def read(answer: bytes) -> Greeted:
    """What the first bytes of the answer say; 11 of them are enough."""
    if not answer:
        return Greeted(Reply.UNCLEAR, "it closed the connection")
    kind, message = answer[0], answer[_HEADER:]
    if kind == _ALERT and len(message) >= 2:
        words = _NO_COMMON.get(message[1])
        if words:
            return Greeted(Reply.DECLINED, f'TLS alert "{words}"')
        return Greeted(Reply.UNCLEAR, f"TLS alert {message[1]}")
    if kind == _HANDSHAKE and len(message) >= 6 and message[0] == _SERVER_HELLO:
        return Greeted(Reply.AGREED, "it goes on with the handshake", int.from_bytes(message[4:6], "big"))
    return Greeted(Reply.UNCLEAR, "it answered something that is no TLS")


def _extension(number: int, content: bytes) -> bytes:
    return number.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content


def _listed(numbers: tuple[int, ...]) -> bytes:
    return (2 * len(numbers)).to_bytes(2, "big") + b"".join(one.to_bytes(2, "big") for one in numbers)
