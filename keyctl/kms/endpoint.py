"""The address of a plugin, as kube-apiserver reads it. Pure: opens nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keyctl.errors import WrongUsageError

# kube-apiserver parses it as a URL and takes the path: what a URL spells otherwise than it is, is not taken here.
_ENDPOINT = re.compile(r"unix://(/[^\x00-\x20\x7f-\x9f%?#]+)")
# struct sockaddr_un on Linux, without the zero at its end.
_LONGEST = 107


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Unix socket: the file `path`, or, where that is None, the abstract socket `abstract`."""

    text: str
    path: str | None
    abstract: str = ""

    @property
    def target(self) -> str:
        """What gRPC calls it."""
        return f"unix-abstract:{self.abstract}" if self.path is None else f"unix:{self.path}"


def parse(text: str) -> Endpoint:
    """The socket that `text` names: `unix:///run/kms.sock`, or `unix:///@name` for an abstract one.

    Raises `WrongUsageError` for what kube-apiserver would not find a plugin at.
    """
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise WrongUsageError(
            f"{text!r} is not the endpoint of a KMS plugin",
            cause="kube-apiserver takes unix:///PATH, or unix:///@NAME for an abstract socket",
            hint=_hint(text),
        )
    path = found[1]
    abstract = path[2:] if path.startswith("/@") else ""
    if path == "/@" or len((abstract or path).encode("utf-8", "surrogateescape")) > _LONGEST:
        raise WrongUsageError(
            f"no socket can be called {path!r}", cause=f"its name has 1 to {_LONGEST} bytes", hint="use a shorter path"
        )
    return Endpoint(text, None, abstract) if abstract else Endpoint(text, path)


def _hint(text: str) -> str:
    rest = re.sub(r"^unix:/*", "", text)
    if re.fullmatch(r"[\w./@-]+", rest, re.ASCII):
        return f"write it as in the encryption configuration: keyctl kms check unix:///{rest.lstrip('/')}"
    return "copy it from the encryption configuration: it is the endpoint of the kms provider there"
