"""`keyctl exporter` on real servers: encryption turned on, an etcd that goes and comes back, certificates at their end.

Whole rotations, for an hour: tests/soak.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from keyctl.encryption_config.editing import edit
from keyctl.hosts.manifests import add_encryption_flag
from keyctl.keys.generate import generate
from keyctl.keys.key import Key, Provider
from keyctl.lab.plane import Lab
from keyctl.pki.issue import Subject, Usage, issue, new_authority, write_pair
from tests.museum.site import Site, site
from tests.support.encryption_file import key_texts, leaks
from tests.support.real_kube import create_secret
from tests.support.running_exporter import Served, running_exporter

pytestmark = pytest.mark.live

# As often as is allowed: what is looked for here is that things change, not when.
OFTEN = [
    word
    for name in ("values", "servers", "etcd", "alarms", "certificates", "keys")
    for word in ("--interval", f"{name}=1s")
]
OFTEN += ["--interval", "backups=1s", "--interval", "rotation=1s", "--load", "90"]
# How long the slowest of these may take: a look at an etcd that is away waits for its timeouts.
PATIENCE = 120.0
SECRETS = 3


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, apiservers=1, members=1, count=SECRETS) as made:
        yield made


def stored(served: Served, state: str) -> float:
    return served.total("keyctl_stored_values", resource="secrets", state=state) or 0


def up(served: Served, source: str) -> bool:
    return served.value("keyctl_source_up", source=source) == 1


def all_up(served: Served) -> bool:
    return all(up(served, source) for source in served.values_of("keyctl_source_up", "source"))


def success(served: Served, source: str) -> float:
    return served.value("keyctl_source_last_success_timestamp_seconds", source=source) or 0


def short_lived(folder: Path) -> Path:
    """A certificate that has ended, and one that ends tomorrow."""
    now = datetime.now(UTC)
    authority = new_authority("short", now=now - timedelta(days=9), lifetime=timedelta(days=10))
    subject = Subject(common_name="ended", usage=Usage.SERVER, names=("localhost",))
    ended = issue(authority, subject, now=now - timedelta(days=3), lifetime=timedelta(days=2))
    folder.mkdir()
    write_pair(folder, "ended", ended)
    write_pair(folder, "tomorrow", authority)
    return folder


def encrypt(lab: Lab) -> Key:
    """What somebody does by hand: a file and the flag, and a restart. What was stored before stays in plaintext."""
    key = generate(Provider.AESCBC, now=datetime.now(UTC))
    content = edit.new_document(("secrets",), key, key_first=True)
    for server in lab.topology.servers:
        place = lab.layout.server(server.name)
        place.encryption_config.parent.mkdir(mode=0o700, exist_ok=True)
        place.encryption_config.touch(mode=0o600)
        place.encryption_config.write_bytes(content)
        flagged = add_encryption_flag(
            place.manifest.read_bytes(), config_path=str(place.encryption_config), reload=False, name="manifest"
        )
        place.manifest.write_bytes(flagged)
        lab.restart(server.name)
    return key


def test_every_change_shows_and_what_is_old_says_so(place: Site, tmp_path: Path) -> None:
    lab, certificates = place.seeded.lab, short_lived(tmp_path / "certificates")
    endpoint = lab.etcd.endpoints[0]
    words = (*OFTEN, "--certificates", str(certificates))
    with running_exporter(tmp_path, place.seeded.environment, *words) as exporter:
        plain = exporter.wait_for(lambda served: all_up(served) and stored(served, "plaintext") == SECRETS, PATIENCE)
        assert plain.value("keyctl_verify_exit_code") == 13
        assert plain.value("keyctl_stored_plaintext_values", resource="secrets") == SECRETS
        assert plain.value("keyctl_etcd_alarms", etcd="main", alarm="NOSPACE") == 0
        assert plain.value("keyctl_rotation_under_way") == 0
        ends = {
            file.name: plain.number(
                "keyctl_certificate_not_after_timestamp_seconds", place="file", certificate=str(file)
            )
            for file in certificates.glob("*.crt")
        }
        assert ends["ended.crt"] < time.time() < ends["tomorrow.crt"] < time.time() + 2 * 86400

        key = encrypt(lab)
        create_secret(lab, "default", "sealed")
        under = {"resource": "secrets", "provider": "aescbc", "key": key.name}
        sealed = exporter.wait_for(
            lambda served: (
                served.value("keyctl_stored_values", **under, state="ok") == 1
                and served.value("keyctl_apiserver_writes", server="cp1", **under) == 1
                # One that answers and is not ready yet tells what it has loaded, and is down.
                and served.value("keyctl_apiserver_state", server="cp1", state="ok") == 1
            ),
            PATIENCE,
        )
        assert stored(sealed, "plaintext") == SECRETS

        place.kill("etcd1")
        away = exporter.wait_for(
            lambda served: (
                not up(served, "values")
                and not up(served, "alarms")
                and served.value("keyctl_etcd_endpoint_up", endpoint=endpoint) == 0
            ),
            PATIENCE,
        )
        # The last truth stays, as old as it is; of a member that does not answer nothing is known.
        assert stored(away, "plaintext") == SECRETS
        assert away.value("keyctl_etcd_database_size_bytes", endpoint=endpoint) is None
        assert success(away, "values") < away.number("keyctl_source_last_attempt_timestamp_seconds", source="values")
        place.bring_up("etcd1")
        back = exporter.wait_for(lambda served: success(served, "values") > success(away, "values"), PATIENCE)
        back = exporter.wait_for(all_up, PATIENCE)
        assert stored(back, "plaintext") == SECRETS
        said = exporter.log.read_text()
        assert exporter.stop() == 0
    keys = key_texts(lab.layout.server(one.name).encryption_config for one in lab.topology.servers)
    assert keys
    assert leaks(keys, [back.text, said]) == []
    assert not [secret for secret in place.seeded.secrets if secret.name in back.text]
    without_the_files_nothing_is_taken_for_right(place)


def without_the_files_nothing_is_taken_for_right(place: Site) -> None:
    """As in a pod that has no keys: what is plaintext is seen all the same, and what is sealed is not called right."""
    lab = place.seeded.lab
    document = yaml.safe_load(lab.cluster_file.read_text())
    for server in document["apiServers"]:
        server["host"] = {"type": "command", "read": ["false"], "write": ["false"]}
        server.pop("manifest", None)
    other = lab.cluster_file.with_name("blind.yaml")
    other.write_text(yaml.safe_dump(document))
    lab.restart("cp1")
    answer = place.seeded.keyctl("exporter", "--once", "--cluster", str(other))
    assert answer.code == 0, answer
    served = Served(answer.stdout)
    assert (stored(served, "unopened"), stored(served, "plaintext")) == (1, SECRETS)
    assert stored(served, "ok") == stored(served, "unreadable") == 0
    assert served.value("keyctl_verify_unread_configurations") == 1
    assert served.value("keyctl_apiserver_configurations") == 1
