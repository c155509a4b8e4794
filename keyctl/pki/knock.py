"""Whether a port of a host answers from this machine at all. Connects, sends nothing, and hangs up."""

from __future__ import annotations

import errno
import socket

from keyctl.pki.survey import Knock

# A host or a firewall that says so, and a network that leads nowhere.
_SAID = {errno.ECONNREFUSED: Knock.REFUSED}
_SILENT = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EHOSTDOWN})


def knock(host: str, port: int, timeout: float) -> Knock:
    """Try a TCP connection for `timeout` seconds. UNKNOWN is a name without an address, and what is no port."""
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except TimeoutError:
        return Knock.SILENT
    except OSError as error:
        number = error.errno or 0
        return Knock.SILENT if number in _SILENT else _SAID.get(number, Knock.UNKNOWN)
    except (OverflowError, UnicodeError):
        return Knock.UNKNOWN
    return Knock.OPEN
