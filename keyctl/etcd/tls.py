"""The three files of mutual TLS, and whether they can be used. Opens no connection."""

from __future__ import annotations

import logging
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from keyctl.errors import UnusableInputError

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MutualTls:
    """PEM files: the CA that signed the server's certificate, and our own certificate with its key.

    All three are mandatory: without a CA, etcd3 opens a plaintext channel.
    """

    ca: Path
    cert: Path
    key: Path

    def check(self) -> None:
        """Raise `UnusableInputError` unless the files are readable PEM and the key belongs to the certificate.

        A key file that others may read is only warned about.
        """
        for path, what in ((self.ca, "CA certificate"), (self.cert, "client certificate"), (self.key, "client key")):
            _require_pem(path, what)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.ca)
        except ssl.SSLError as error:
            raise UnusableInputError(f"no certificate can be read from {self.ca}", cause=_reason(error)) from error
        try:
            # A password is asked for only by an encrypted key; without this argument OpenSSL would ask the terminal.
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
        except ssl.SSLError as error:
            raise self._pair_error(error) from error
        if self.key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            _logger.warning("%s can be read by others than its owner; hint: chmod 600 %s", self.key, self.key)

    def _pair_error(self, error: ssl.SSLError) -> UnusableInputError:
        if error.reason == "KEY_VALUES_MISMATCH":
            return UnusableInputError(
                f"client key {self.key} does not belong to certificate {self.cert}",
                cause="their public keys differ",
                hint="give the pair that was issued together, on kubeadm apiserver-etcd-client.crt and .key",
            )
        return UnusableInputError(
            f"client certificate {self.cert} and key {self.key} cannot be used",
            cause=_reason(error),
            hint="both must be PEM, and the key not encrypted with a password",
        )


def _require_pem(path: Path, what: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnusableInputError(
            f"{what} {path} cannot be read",
            cause=error.strerror,
            hint="check the path, and that keyctl runs as a user who may read it",
        ) from error
    if b"-----BEGIN " not in content:
        raise UnusableInputError(
            f"{what} {path} is not PEM",
            cause="it has no line -----BEGIN …-----",
            hint="a DER file becomes PEM with: openssl x509 -inform der -in FILE -out FILE.pem",
        )


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "unreadable").replace("_", " ").lower()
