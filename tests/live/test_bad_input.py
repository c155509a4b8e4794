"""Bad input: what happened, the stage that failed, a hint that works, the right exit code, and nothing is changed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme

from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support import by_hand, seal
from tests.support.cluster_copy import ClusterFile, cluster_copy, untouched
from tests.support.encryption_file import key_texts, leaks, write_config
from tests.support.etcd_process import free_port, write_client, write_secret
from tests.support.forwarder import forwarding_to
from tests.support.hints import wrong_hints
from tests.support.plane import control_planes, etcd_alone
from tests.support.real_kube import create_secret
from tests.support.seeded import Answered
from tests.support.shell import Shell

pytestmark = pytest.mark.live

KEY = seal.key("new", fill=2)
# What changes nothing yet, and what would.
CHANGES = (("enable", "--dry-run"), ("enable", "--yes"), ("rotate", "--dry-run"), ("rotate", "--yes"))


@pytest.fixture(scope="module")
def plane(etcd_server: EtcdAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two API servers without encryption. No test here changes them, which is the point."""
    with control_planes(etcd_server, tmp_path_factory.mktemp("plane")) as start:
        lab = start(2)
        create_secret(lab, "default", "one")
        yield lab


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    assert leaks(key_texts(tmp_path.glob("enc*.yaml")), shell.said) == []
    assert wrong_hints(shell.said) == []


def told(answer: Answered, code: int, *parts: str) -> None:
    """Exit code, nothing on stdout, a message in the house's shape that says each of `parts`."""
    assert answer.code == code, answer.stderr
    assert answer.stdout == ""
    message = answer.stderr[answer.stderr.index("error: ") :]
    assert "hint: " in message
    assert "Traceback" not in message
    for part in parts:
        assert part in message


# ---- etcd


def flags(etcd: EtcdAccess) -> list[str]:
    return ["--endpoints", etcd.endpoints[0], "--cacert", etcd.cacert, "--cert", etcd.cert, "--key", etcd.key]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the access to etcd, and what has to be said of it."""

    spoil: Callable[[EtcdAccess, Path], EtcdAccess]
    code: int
    says: tuple[str, ...]


def elsewhere(etcd: EtcdAccess, folder: Path) -> EtcdAccess:
    return replace(etcd, endpoints=(f"https://127.0.0.1:{free_port()}",))


def foreign_client(etcd: EtcdAccess, folder: Path) -> EtcdAccess:
    foreign = trustme.CA(organization_name="a foreign CA")
    pair = write_client(folder, foreign, foreign)
    return replace(etcd, cert=str(pair.cert), key=str(pair.key))


def foreign_server(etcd: EtcdAccess, folder: Path) -> EtcdAccess:
    foreign = trustme.CA(organization_name="a foreign CA")
    return replace(etcd, cacert=str(write_secret(folder / "foreign-ca.crt", foreign.cert_pem)))


def other_key(etcd: EtcdAccess, folder: Path) -> EtcdAccess:
    return replace(foreign_client(etcd, folder), cert=etcd.cert)


FAULTS = {
    "nothing listens": Fault(elsewhere, 4, ("could not be reached", "cause: tcp: connection refused")),
    "no such name": Fault(
        lambda etcd, _: replace(etcd, endpoints=("https://etcd.invalid:2379",)), 4, ("cause: name: ", "etcd.invalid")
    ),
    "a client of a foreign CA": Fault(foreign_client, 4, ("cause: tls of the client: ", "client.crt", "a foreign CA")),
    "a server of a foreign CA": Fault(
        foreign_server, 4, ("cause: tls of the server: ", "foreign-ca.crt", "a foreign CA")
    ),
    "a key of another certificate": Fault(other_key, 3, ("client.key does not belong to certificate",)),
    "no certificate file": Fault(
        lambda etcd, folder: replace(etcd, cert=str(folder / "gone.crt")), 3, ("gone.crt cannot be read",)
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_verify_secrets_says_which_stage_of_the_way_to_etcd_failed(
    etcd_server: EtcdAccess, shell: Shell, fault: Fault
) -> None:
    spoilt = fault.spoil(etcd_server, shell.folder)
    told(shell.keyctl("verify-secrets", *flags(spoilt)), fault.code, *fault.says)


@pytest.mark.parametrize("name", ["nothing listens", "a client of a foreign CA", "a key of another certificate"])
def test_no_change_begins_when_etcd_is_not_reached(plane: Lab, shell: Shell, name: str) -> None:
    fault = FAULTS[name]
    spoilt = fault.spoil(plane.etcd, shell.folder)

    def edit(cluster: ClusterFile) -> None:
        cluster["etcd"] |= {"endpoints": list(spoilt.endpoints), "cacert": spoilt.cacert}
        cluster["etcd"] |= {"cert": spoilt.cert, "key": spoilt.key}

    file = cluster_copy(plane, shell.folder / "keyctl.yaml", edit)
    with untouched(plane, shell.state):
        told(shell.keyctl("enable", "--yes", "--cluster", file), fault.code, *fault.says)


def test_every_endpoint_that_fails_is_named_with_its_stage_and_a_hint(etcd_server: EtcdAccess, shell: Shell) -> None:
    first, second = f"127.0.0.1:{free_port()}", "etcd.invalid:2379"
    two = replace(etcd_server, endpoints=(f"https://{first},https://{second}",))
    answer = shell.keyctl("verify-secrets", *flags(two))
    told(answer, 4, "no etcd endpoint answered (0 of 2)", f"{first} tcp: ", f"{second} name: ")
    assert f"hint: check that a server listens on {first}" in answer.stderr


def test_a_certificate_for_another_name_says_whose_it_is(plane: Lab, shell: Shell) -> None:
    file = cluster_copy(plane, shell.folder / "c.yaml", lambda file: file["etcd"].update(serverName="etcd.other"))
    for command in (("verify-secrets",), ("enable", "--yes")):
        answer = shell.keyctl(*command, "--cluster", file)
        told(answer, 4, "tls of the server: ", "is not for etcd.other", "it is for localhost")


def test_without_a_client_certificate_nothing_is_asked(etcd_server: EtcdAccess, shell: Shell) -> None:
    answer = shell.keyctl("verify-secrets", *flags(etcd_server)[:4])
    told(answer, 2, "mutual TLS only; missing: --cert, --key")


@pytest.mark.parametrize("command", [("verify-secrets",), ("enable", "--yes")])
def test_a_plain_http_endpoint_is_refused_before_a_byte_is_sent(
    plane: Lab, shell: Shell, command: tuple[str, ...]
) -> None:
    with closing(socket.create_server(("127.0.0.1", free_port()))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        file = cluster_copy(plane, shell.folder / "c.yaml", lambda file: file["etcd"].update(endpoints=[url]))
        told(shell.keyctl(*command, "--cluster", file), 3, "is not https")
        if command == ("verify-secrets",):
            plain = replace(plane.etcd, endpoints=(url,))
            told(shell.keyctl(*command, *flags(plain)), 2, f"{url} is not https", "nothing was sent")
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_wrong_prefix_is_told_by_what_the_servers_say(plane: Lab, shell: Shell) -> None:
    file = cluster_copy(plane, shell.folder / "c.yaml", lambda file: file["etcd"].update(prefix="/wrong"))
    verified = shell.keyctl("verify-secrets", "--cluster", file)
    assert verified.code == 10
    assert "under /wrong/" in verified.stdout
    with untouched(plane, shell.state):
        answer = shell.keyctl("enable", "--yes", "--cluster", file)
        told(answer, 5, f"cp1 stores under {plane.topology.settings.prefix}")


def test_the_etcd_of_another_cluster_is_left_alone(plane: Lab, shell: Shell) -> None:
    with etcd_alone(shell.folder) as other:
        file = cluster_copy(
            plane,
            shell.folder / "c.yaml",
            lambda file: file["etcd"].update(
                endpoints=list(other.etcd.endpoints),
                cacert=other.etcd.cacert,
                cert=other.etcd.cert,
                key=other.etcd.key,
            ),
        )
        prefix = plane.topology.settings.prefix
        with untouched(plane, shell.state), untouched_etcd(other.etcd):
            assert shell.keyctl("verify-secrets", "--cluster", file).code == 10
            told(
                shell.keyctl("enable", "--yes", "--cluster", file), 4, f"etcd holds no {prefix}/namespaces/kube-system"
            )
        by_hand.put(other.etcd, f"{prefix}/namespaces/kube-system", seal.stored("v1", "Namespace", "kube-system"))
        with untouched(plane, shell.state), untouched_etcd(other.etcd):
            for command in (("verify-secrets",), *CHANGES[1:]):
                told(
                    shell.keyctl(*command, "--cluster", file), 4, "this etcd is not the one behind", "uid of namespace"
                )


class untouched_etcd:  # noqa: N801 — reads as a statement
    """Nothing in this etcd is written meanwhile."""

    def __init__(self, etcd: EtcdAccess) -> None:
        self._etcd = etcd

    def __enter__(self) -> None:
        self._before = by_hand.stands(self._etcd, "/")

    def __exit__(self, *_: object) -> None:
        assert by_hand.stands(self._etcd, "/") == self._before


# ---- the configuration

BROKEN = {
    "no YAML": ("kind:", "kind: ["),
    "another document": ("EncryptionConfiguration", "Secret"),
    "an unknown field": ("providers:", "provders:"),
    "a key of another length": ("secret: ", "secret: AAAA"),
    "a secret that is no base64": ("secret: ", "secret: '!"),
    "a provider twice in one element": ("  - identity: {}", "    secretbox: {keys: []}"),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_an_invalid_configuration_is_named_with_its_place_and_without_its_keys(
    etcd_server: EtcdAccess, shell: Shell, change: tuple[str, str]
) -> None:
    file = write_config(shell.folder / "enc.yaml", KEY)
    keys = key_texts([file])
    file.write_text(file.read_text().replace(*change))
    answer = shell.keyctl("verify-secrets", *flags(etcd_server), "--encryption-config", "enc.yaml")
    told(answer, 3, "enc.yaml:")
    assert leaks(keys, shell.said) == []


def test_a_configuration_that_cannot_be_read_is_named(etcd_server: EtcdAccess, shell: Shell) -> None:
    (shell.folder / "loop.yaml").symlink_to("loop.yaml")
    for name, why in (("gone.yaml", "No such file"), ("loop.yaml", "symbolic links")):
        answer = shell.keyctl("verify-secrets", *flags(etcd_server), "--encryption-config", name)
        told(answer, 3, f"cannot read the encryption configuration {name}", why)


@pytest.mark.parametrize("command", CHANGES, ids=" ".join)
def test_a_cluster_file_that_cannot_be_used_stops_every_command(shell: Shell, command: tuple[str, ...]) -> None:
    file = shell.folder / "keyctl.yaml"
    told(shell.keyctl(*command), 2, "no cluster file")
    file.write_text("apiVersion: keyctl/v1\nkind: Cluster\nname: x\netcds: {}\n")
    told(shell.keyctl(*command), 3, "keyctl.yaml:4:1")


# ---- the API servers


@pytest.mark.parametrize("command", CHANGES[1:], ids=" ".join)
def test_an_api_server_that_is_not_listed_blocks_every_change(
    plane: Lab, shell: Shell, command: tuple[str, ...]
) -> None:
    file = cluster_copy(plane, shell.folder / "c.yaml", lambda file: file["apiServers"].pop())
    with untouched(plane, shell.state):
        told(shell.keyctl(*command, "--cluster", file), 5, "not in the cluster file: cp2", "[R11]")


@pytest.mark.parametrize("command", CHANGES[1:], ids=" ".join)
def test_an_api_server_that_is_listed_twice_blocks_every_change(
    plane: Lab, shell: Shell, command: tuple[str, ...]
) -> None:
    first = plane.topology.servers[0]
    with forwarding_to(first.address, first.port) as port, untouched(plane, shell.state):

        def edit(cluster: ClusterFile) -> None:
            again = {"name": "cp3", "url": f"https://localhost:{port}", "identity": {"hostname": "cp3"}}
            cluster["apiServers"].append(cluster["apiServers"][0] | again)

        file = cluster_copy(plane, shell.folder / "c.yaml", edit)
        told(shell.keyctl(*command, "--cluster", file), 5, "cp1 and cp3 are one process", "[R11]")


def test_an_api_server_that_is_down_blocks_every_change(plane: Lab, shell: Shell) -> None:
    plane.stop("cp2")
    try:
        with untouched(plane, shell.state):
            for command in CHANGES:
                answer = shell.keyctl(*command, "--cluster", plane.cluster_file)
                told(answer, 5, "API server cp2 is not ready", "cause: ", "[R11]")
    finally:
        plane.restart("cp2")


def test_nobody_at_the_terminal_is_no_consent(plane: Lab, shell: Shell) -> None:
    with untouched(plane, shell.state):
        told(shell.keyctl("enable", "--cluster", plane.cluster_file), 5, "nobody is there to ask", "--yes")


def test_rotating_what_is_not_encrypted_is_refused(plane: Lab, shell: Shell) -> None:
    with untouched(plane, shell.state):
        answer = shell.keyctl("rotate", "--yes", "--cluster", plane.cluster_file)
        told(answer, 5, "this cluster encrypts nothing yet", "keyctl enable")


@pytest.mark.parametrize("command", CHANGES[:2], ids=" ".join)
def test_a_value_that_no_server_could_read_stops_enable(plane: Lab, shell: Shell, command: tuple[str, ...]) -> None:
    key = f"{plane.topology.settings.prefix}/configmaps/default/orphan"
    by_hand.put(plane.etcd, key, seal.seal(KEY, key.encode(), seal.config_map("orphan")))
    try:
        with untouched(plane, shell.state):
            told(shell.keyctl(*command, "--cluster", plane.cluster_file), 5, key, "cannot be decrypted", "[R10]")
    finally:
        by_hand.delete(plane.etcd, key)
