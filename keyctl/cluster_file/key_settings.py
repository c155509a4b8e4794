"""`keys` of the cluster file: a directory, or a place in Vault or OpenBao and how to log in there.

No secret stands in it: files that hold one are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from keyctl.cluster_file.settings import FileKeySettings, VaultKeySettings
from keyctl.keys.vault.settings import AuthMethod, VaultAuth

if TYPE_CHECKING:
    from keyctl.cluster_file.fields import Fields

    PathOf = Callable[[Fields, str], Path | None]

_KNOWN = ("store", "directory", "address", "mount", "path", "namespace", "cacert", "serverName", "timeout", "auth")
# What goes with each method beside `method` and `mount`; a certificate may be shown with any of them.
_AUTH: dict[AuthMethod, tuple[str, ...]] = {
    AuthMethod.TOKEN: ("tokenFile",),
    AuthMethod.APPROLE: ("roleId", "secretIdFile", "wrapped"),
    AuthMethod.CERT: ("role",),
    AuthMethod.JWT: ("role", "jwtFile"),
    AuthMethod.KUBERNETES: ("role", "jwtFile"),
    AuthMethod.USERPASS: ("username", "passwordFile"),
}
_SHARED = ("method", "mount", "cert", "key")
# Parts of a path in Vault: nothing that a URL or a shell would read otherwise, and no way up.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


def read_keys(fields: Fields, directory: Path, path: PathOf, url: Callable[[Fields, str], str]) -> Keys:
    """The keys section in `fields`; `path` and `url` read a field of that kind. Raises `UnusableInputError`."""
    section = fields.section("keys", _KNOWN)
    if section is None:
        return FileKeySettings(directory / "keys")
    store = section.choice("store", ("file", "vault"), "file")
    for name in _KNOWN[1:]:
        if name in section and (name == "directory") != (store == "file"):
            section.refuse(f"{name} in keys does not go with store: {store}", at=name, hint=f"delete {name}")
    if store == "file":
        return FileKeySettings(path(section, "directory") or directory / "keys")
    default = VaultKeySettings()
    return VaultKeySettings(
        address=url(section, "address") if "address" in section else None,
        mount=_plain(section, "mount") or default.mount,
        path=_plain(section, "path"),
        namespace=_plain(section, "namespace"),
        cacert=path(section, "cacert"),
        server_name=section.text("serverName"),
        timeout=section.duration("timeout", default.timeout),
        auth=_auth(section, path),
    )


def _auth(keys: Fields, path: PathOf) -> VaultAuth:
    known = tuple(dict.fromkeys((*_SHARED, *(name for names in _AUTH.values() for name in names))))
    section = keys.section("auth", known)
    if section is None:
        return VaultAuth()
    method = AuthMethod(section.choice("method", tuple(AuthMethod), AuthMethod.TOKEN))
    for name in known:
        if name in section and name not in (*_SHARED, *_AUTH[method]):
            section.refuse(
                f"{name} in {section.where} does not go with method: {method}", at=name, hint=f"delete {name}"
            )
    if ("cert" in section) != ("key" in section):
        section.refuse(f"{section.where} has only one of cert and key", hint="name both, as PEM files")
    return VaultAuth(
        method=method,
        mount=_plain(section, "mount"),
        role=section.text("role"),
        token_file=path(section, "tokenFile"),
        role_id=section.text("roleId"),
        secret_id_file=path(section, "secretIdFile"),
        wrapped=section.flag("wrapped"),
        jwt_file=path(section, "jwtFile"),
        username=_plain(section, "username"),
        password_file=path(section, "passwordFile"),
        cert=path(section, "cert"),
        key=path(section, "key"),
    )


def _plain(section: Fields, name: str) -> str | None:
    text = section.text(name)
    if text is None:
        return None
    bare = text.strip("/")
    if not _PLAIN.fullmatch(bare):
        hint = "use letters, digits, '.', '-', '_', and '/' between parts"
        section.refuse(f"{name} in {section.where} is no plain path", at=name, hint=hint)
    return bare


Keys = FileKeySettings | VaultKeySettings
