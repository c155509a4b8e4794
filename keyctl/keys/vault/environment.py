"""What the environment says of Vault, by the variables that `bao` and `vault` read; `BAO_` comes before `VAULT_`.

A mapping in, values out: the caller hands the environment over. What would make
a connection less than checked TLS is refused, wherever it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from keyctl.errors import RefusedError, UnusableInputError, WrongUsageError
from keyctl.keys.vault.settings import VaultAuth, VaultServer

_PREFIXES = ("BAO_", "VAULT_")
_TRUE = {"1", "t", "true"}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)")


def variable(environ: Mapping[str, str], name: str) -> str | None:
    """The value of BAO_`name`, else of VAULT_`name`; None where neither is set to anything."""
    return next((environ[prefix + name] for prefix in _PREFIXES if environ.get(prefix + name)), None)


def server(
    environ: Mapping[str, str],
    *,
    address: str | None,
    namespace: str | None,
    ca_file: Path | None,
    server_name: str | None,
    timeout: float | None,
    auth: VaultAuth,
) -> VaultServer:
    """The server: what the environment says comes before what is given.

    Raises `WrongUsageError` without an address, `RefusedError` for one without TLS, and for a variable that would
    turn checking off.
    """

    def said(name: str) -> str | None:
        return variable(environ, name)

    if (said("SKIP_VERIFY") or "").lower() in _TRUE:
        raise RefusedError(
            "BAO_SKIP_VERIFY or VAULT_SKIP_VERIFY is set, and keyctl shows a token to no server it has not checked",
            hint="unset it, and name the authority: keys.cacert, or VAULT_CACERT",
        )
    if (said("SRV_LOOKUP") or "").lower() in _TRUE:
        raise WrongUsageError("addresses by SRV records are not supported", hint="unset VAULT_SRV_LOOKUP")
    where = _checked(said("AGENT_ADDR") or said("ADDR") or address)
    ca = said("CACERT")
    directory = said("CAPATH")
    cert, key = said("CLIENT_CERT"), said("CLIENT_KEY")
    return VaultServer(
        address=where,
        namespace=(said("NAMESPACE") or namespace or "").strip("/") or None,
        ca_file=Path(ca) if ca else None if said("CACERT_BYTES") or directory else ca_file,
        ca_directory=Path(directory) if directory else None,
        ca_pem=said("CACERT_BYTES"),
        cert=Path(cert) if cert else auth.cert,
        key=Path(key) if key else auth.key,
        server_name=said("TLS_SERVER_NAME") or server_name,
        proxy=said("PROXY_ADDR") or said("HTTP_PROXY") or _usual_proxy(environ, where),
        timeout=_seconds(said("CLIENT_TIMEOUT")) or timeout or VaultServer("").timeout,
        retries=_count(said("MAX_RETRIES")),
    )


def token(environ: Mapping[str, str], home: Path) -> str | None:
    """The token of the environment, else the one that `bao login` or `vault login` has left in `home`."""
    said = variable(environ, "TOKEN")
    if said:
        return said.strip()
    try:
        return (home / ".vault-token").read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _checked(address: str | None) -> str:
    if not address:
        raise WrongUsageError(
            "no address of Vault",
            hint="set keys.address in the cluster file, or VAULT_ADDR, like https://10.0.0.7:8200",
        )
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    # NOTE: the address is not repeated: it may hold a password.
    if parts.scheme != "https":
        raise RefusedError("the address of Vault is not https", hint="write it like https://10.0.0.7:8200")
    if not host or "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise WrongUsageError("the address of Vault is not https://HOST:PORT", hint="write it like https://vault:8200")
    return f"https://{parts.netloc}"


def _usual_proxy(environ: Mapping[str, str], address: str) -> str | None:
    """As Go's clients do it: HTTPS_PROXY, unless NO_PROXY or loopback."""
    proxy = environ.get("HTTPS_PROXY") or environ.get("https_proxy")
    host = urlsplit(address).hostname or ""
    exempt = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(",")
    names = [name.strip().lstrip(".") for name in exempt if name.strip()]
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    if loopback or any(name == "*" or host == name or host.endswith(f".{name}") for name in names):
        return None
    return proxy or None


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    parts = _TIME.findall(text)
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not total:
        raise UnusableInputError("VAULT_CLIENT_TIMEOUT is not a time", hint="write it like 30s")
    return total


def _count(text: str | None) -> int:
    if text is None:
        return VaultServer("").retries
    if not text.isdigit():
        raise UnusableInputError("VAULT_MAX_RETRIES is not a number", hint="write it like 2")
    return min(int(text), 10)
