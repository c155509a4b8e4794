"""Who we are to an API server and whom we trust, out of a kubeconfig. Opens no connection.

The only file that imports the `kubernetes` package, which takes a third of a
second to load: only when a kubeconfig is read. Messages of that package may quote whole entries of the file,
credentials included, so none is passed on but what a credential plugin said.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from keyctl.errors import UnusableInputError
from keyctl.kube import fields
from keyctl.kube.answers import shown

# NOTE: the package remembers, for the whole process, the files that it wrote embedded keys to: two threads at once
# would read from, and delete, each other's.
_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Credentials:
    """A TLS context that trusts one CA and carries our certificate, the Authorization header if there is one.

    `server_name` is the name to ask of the server's certificate, where the
    kubeconfig has one.
    """

    context: ssl.SSLContext = field(repr=False)
    authorization: str | None = field(default=None, repr=False)
    server_name: str | None = None


def load_credentials(kubeconfig: Path, context: str | None, *, ca: Path | None) -> Credentials:
    """Read the credentials of `context` (None: the current one); `ca` replaces the kubeconfig's authority.

    Runs the credential plugin that the user's entry names. Raises
    `UnusableInputError` for a file that cannot be used, or that asks for what
    keyctl does not do: unverified TLS, proxies, the old auth-providers.
    """
    cluster, user = _select(kubeconfig, context)
    _check(kubeconfig, cluster, user)
    # NOTE: the package writes embedded keys to files, for ssl takes nothing else; they live as long as this block.
    with _LOADING, tempfile.TemporaryDirectory(prefix="keyctl-") as folder:
        trusted, certificate, key, authorization = _load(kubeconfig, context, folder, plugin="exec" in user)
        tls = _tls(kubeconfig, str(ca) if ca else trusted, certificate, key)
    return Credentials(tls, authorization, fields.text(cluster, "tls-server-name") or None)


def _select(kubeconfig: Path, context: str | None) -> tuple[dict[object, object], dict[object, object]]:
    """The cluster and the user that `context` names."""
    document = _read(kubeconfig)
    name = context or fields.text(document, "current-context")
    chosen = _named(document, "contexts", name)
    if chosen is None:
        known = ", ".join(filter(None, (fields.text(entry, "name") for entry in fields.items(document, "contexts"))))
        raise UnusableInputError(
            f"kubeconfig {kubeconfig} has no context {name!r}" if name else f"kubeconfig {kubeconfig} names no context",
            cause=f"it has: {known}" if known else "it has no contexts",
            hint="name one of them in the cluster file: kubernetes.context",
        )
    cluster = _named(document, "clusters", fields.text(chosen, "context", "cluster"))
    if cluster is None:
        raise UnusableInputError(
            f"context {name!r} of kubeconfig {kubeconfig} names a cluster that the file does not have"
        )
    user = _named(document, "users", fields.text(chosen, "context", "user"))
    return _mapping(fields.find(cluster, "cluster")), _mapping(fields.find(user, "user"))


def _read(kubeconfig: Path) -> object:
    try:
        return yaml.safe_load(kubeconfig.read_bytes())
    except OSError as error:
        raise UnusableInputError(f"kubeconfig {kubeconfig} cannot be read", cause=error.strerror) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
        # NOTE: the parser's message quotes the file, credentials included; so does its traceback.
        raise UnusableInputError(f"kubeconfig {kubeconfig} is not YAML", cause=where) from None


def _named(document: object, section: str, name: str) -> object:
    return next(
        (entry for entry in fields.items(document, section) if name and fields.text(entry, "name") == name), None
    )


def _mapping(value: object) -> dict[object, object]:
    return value if isinstance(value, dict) else {}


def _check(kubeconfig: Path, cluster: dict[object, object], user: dict[object, object]) -> None:
    if cluster.get("insecure-skip-tls-verify"):
        raise UnusableInputError(
            f"kubeconfig {kubeconfig} turns the verification of the server's certificate off",
            cause="insecure-skip-tls-verify is set; keyctl never speaks to a server it has not verified",
            hint="remove insecure-skip-tls-verify and give certificate-authority",
        )
    if cluster.get("proxy-url"):
        raise UnusableInputError(
            f"kubeconfig {kubeconfig} sends requests through a proxy",
            cause="proxy-url is set; keyctl asks every API server on its own address",
            hint="use a context without proxy-url, from a machine that reaches the API servers",
        )
    if user.get("auth-provider"):
        # NOTE: the package renews oidc tokens without verifying the issuer's certificate when none is pinned.
        raise UnusableInputError(
            f"kubeconfig {kubeconfig} uses an auth-provider, which kubectl replaced by credential plugins",
            hint="use a plugin: an entry with users[].user.exec",
        )


def _load(
    kubeconfig: Path, context: str | None, folder: str, *, plugin: bool
) -> tuple[str | None, str | None, str | None, str | None]:
    """Files of the CA, our certificate and its key, and the Authorization header, each None where there is none."""
    from kubernetes.client import Configuration
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.kube_config import load_kube_config

    loaded = Configuration()
    try:
        with _said() as said:
            load_kube_config(  # type: ignore[no-untyped-call]  # the package annotates only its generated parts
                str(kubeconfig), context, client_configuration=loaded, persist_config=False, temp_file_path=folder
            )
    except (ConfigException, OSError, ValueError, TypeError):
        raise UnusableInputError(
            f"the credentials in kubeconfig {kubeconfig} cannot be loaded",
            cause="a field is missing or malformed, or a file it names cannot be read",
            hint=f"check with: kubectl --kubeconfig {kubeconfig} config view --minify",
        ) from None
    # As kubectl does: a token file made with echo ends in a newline.
    authorization = (loaded.api_key.get("BearerToken") or "").strip() or None
    if authorization is not None and not authorization.isprintable():
        raise UnusableInputError(f"the token in {kubeconfig} holds characters that no header takes") from None
    if plugin and not (authorization or loaded.cert_file):
        raise UnusableInputError(
            f"the credential plugin of kubeconfig {kubeconfig} gave no credentials",
            cause=shown(said[-1]) if said else None,
            hint=f"try it with: kubectl --kubeconfig {kubeconfig} auth whoami",
        )
    return loaded.ssl_ca_cert, loaded.cert_file, loaded.key_file, authorization


@contextmanager
def _said() -> Iterator[list[str]]:
    """What the package logs of a failed plugin, on the root logger, instead of raising it."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    root, quiet = logging.getLogger(), logging.NullHandler()
    # NOTE: without a handler, `logging.error` would set one up that writes to stderr for the rest of the process.
    root.addHandler(quiet)
    root.addFilter(keep)
    try:
        yield said
    finally:
        root.removeFilter(keep)
        root.removeHandler(quiet)


def _tls(kubeconfig: Path, ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    # NOTE: not `create_default_context`: since Python 3.13 it is stricter than Go and refuses many clusters' own CAs.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(ca) if ca else context.load_default_certs()
    except (OSError, ValueError) as error:
        raise UnusableInputError(
            f"no CA certificate can be read for kubeconfig {kubeconfig}", cause=_why(error)
        ) from error
    if certificate:
        try:
            # A password is asked for only by an encrypted key; without this argument OpenSSL would ask the terminal.
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (OSError, ValueError) as error:
            raise UnusableInputError(
                f"the client certificate and key of kubeconfig {kubeconfig} cannot be used together",
                cause=_why(error),
                hint="both must be PEM and issued together, and the key not encrypted with a password",
            ) from error
    return context


def _why(error: OSError | ValueError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    return (reason or "unreadable").replace("_", " ").lower()
