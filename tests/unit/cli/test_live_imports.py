from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trustme

from tests.support.etcd_process import write_client

_CONNECT = """
import sys
from pathlib import Path
from keyctl.cli import verification, wiring
from keyctl.cli.commands import verify_secrets
from keyctl.cluster_file.settings import EtcdConnection

ca, cert, key = map(Path, sys.argv[1:])
verify_secrets._file_source(None, None, 0)
wiring.etcd(EtcdConnection(("https://127.0.0.1:2379",), ca, cert, key))
print(*sys.modules)
"""


def test_reading_a_live_etcd_loads_nothing_of_files_servers_or_diagnosis(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = write_client(tmp_path, authority, authority)
    words = [sys.executable, "-c", _CONNECT, str(tls.ca), str(tls.cert), str(tls.key)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "keyctl.etcd.client" in loaded
    assert not {"keyctl.etcd_files", "keyctl.pki.probe", "cryptography.x509", "kubernetes", "rich"} & loaded
