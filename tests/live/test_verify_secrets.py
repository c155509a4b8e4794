"""`verify-secrets` as a user meets it: real etcd, the exit code, the screen, the files it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from keyctl.keys.key import Key
from keyctl.lab.topology import EtcdAccess
from tests.support import by_hand, html_tree, seal
from tests.support.encryption_file import key_texts, leaks, write_config
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes
from tests.support.real_kube import ask, create_secret, write_with
from tests.support.seeded import Answered
from tests.support.shell import Shell
from tests.support.verify_contract import broken_promises

pytestmark = pytest.mark.live

OLD, NEW = seal.key("old", fill=1), seal.key("new", fill=2)
SWAPPED = seal.key("new", fill=3)


@dataclass(frozen=True, slots=True)
class Scene:
    """Sealed values below a prefix of the shared etcd, and a shell that knows that etcd."""

    etcd: EtcdAccess
    prefix: str
    shell: Shell

    def at(self, name: str, resource: str = "secrets") -> str:
        return f"{self.prefix}/{resource}/default/{name}"

    def store(self, name: str, key: Key | None, resource: str = "secrets") -> int:
        """A Secret or ConfigMap, as a server with `key` writes it; None is plaintext."""
        plain = (seal.secret if resource == "secrets" else seal.config_map)(name)
        where = self.at(name, resource)
        return by_hand.put(self.etcd, where, plain if key is None else seal.seal(key, where.encode(), plain))

    def config(self, *keys: Key, name: str = "enc.yaml", resources: tuple[str, ...] = ("secrets",)) -> Path:
        return write_config(self.shell.folder / name, *keys, resources=resources)

    def verify(self, *arguments: str | Path, **variables: str) -> Answered:
        return self.shell.keyctl("verify-secrets", "--etcd-prefix", self.prefix, *arguments, **variables)


@pytest.fixture
def scene(etcd_server: EtcdAccess, tmp_path: Path) -> Iterator[Scene]:
    access = {"ENDPOINTS": etcd_server.endpoints[0], "CACERT": etcd_server.cacert}
    access |= {"CERT": etcd_server.cert, "KEY": etcd_server.key}
    shell = Shell(tmp_path, {f"ETCDCTL_{name}": value for name, value in access.items()})
    yield Scene(etcd_server, f"/{tmp_path.name}", shell)
    assert leaks(key_texts(tmp_path.glob("*.yaml")), shell.said, tmp_path.glob("report.*")) == []
    assert wrong_hints(shell.said) == []


def names(answer: Answered) -> list[str]:
    """The etcd keys of the findings that fail, of a run with -o json."""
    findings = json.loads(answer.stdout)["findings"]
    return [found["location"]["etcdKey"] for found in findings if found["status"] == "fail" and found["location"]]


def test_a_real_servers_values_are_plaintext_then_proven_then_stale_then_unreadable(
    control_plane: ControlPlanes, tmp_path: Path
) -> None:
    lab = control_plane(1, reload=True)
    shell = Shell(tmp_path, {"KEYCTL_CLUSTER": str(lab.cluster_file)})
    at = f"{lab.topology.settings.prefix}/secrets/default"
    assert shell.keyctl("verify-secrets").code == 10

    create_secret(lab, "default", "plain")
    assert shell.keyctl("verify-secrets").code == 13

    write_with(lab, "old")
    create_secret(lab, "default", "first")
    half = shell.keyctl("verify-secrets", "-o", "json")
    assert (half.code, names(half)) == (13, [f"{at}/plain"])
    assert ask(lab, "DELETE", "/api/v1/namespaces/default/secrets/plain")[0] == 200
    assert shell.keyctl("verify-secrets").code == 0

    write_with(lab, "new", "old")
    create_secret(lab, "default", "second")
    stale = shell.keyctl("verify-secrets", "-o", "json")
    assert (stale.code, names(stale)) == (11, [f"{at}/first"])

    file = lab.layout.server("cp1").encryption_config
    file.write_text(file.read_text().replace('"name": "new"', '"name": "swapped"').replace('"old"', '"new"'))
    swapped = shell.keyctl("verify-secrets", "-o", "json")
    assert swapped.code == 12
    assert f"{at}/second" in names(swapped)

    file.unlink()
    missing = shell.keyctl("verify-secrets")
    assert missing.code == 3
    assert f"{file} is missing on cp1" in missing.stderr


def test_the_etcd_of_another_cluster_is_not_judged(control_plane: ControlPlanes, tmp_path: Path) -> None:
    lab = control_plane(1)
    other = f"/{tmp_path.name}"
    by_hand.put(lab.etcd, f"{other}/namespaces/kube-system", seal.stored("v1", "Namespace", "kube-system"))
    by_hand.put(lab.etcd, f"{other}/secrets/default/a", seal.secret("a"))
    shell = Shell(tmp_path, {"KEYCTL_CLUSTER": str(lab.cluster_file)})
    answer = shell.keyctl("verify-secrets", "--etcd-prefix", other)
    assert (answer.code, answer.stdout) == (4, "")
    assert "this etcd is not the one behind the API server" in answer.stderr

    # Under a prefix where nothing stands there is no other cluster either: it is a wrong prefix.
    wrong = shell.keyctl("verify-secrets", "--etcd-prefix", f"{other}-wrong")
    assert wrong.code == 10
    assert f"under {other}-wrong/" in wrong.stdout


def test_an_empty_prefix_is_no_pass_and_names_the_prefixes_that_are_there(scene: Scene) -> None:
    scene.store("a", NEW)
    answer = scene.shell.keyctl("verify-secrets", "--etcd-prefix", f"{scene.prefix}-typo")
    assert answer.code == 10
    assert f"no value of secrets under {scene.prefix}-typo/" in answer.stdout
    assert re.search(r"the etcd holds \d+ values? under /\S+", answer.stdout)
    assert re.search(r"next: keyctl verify-secrets --etcd-prefix /\S+ ", answer.stdout)


def test_a_prefix_without_secrets_is_no_pass(scene: Scene) -> None:
    scene.store("c", None, "configmaps")
    answer = scene.verify("--encryption-config", scene.config(NEW))
    assert answer.code == 10
    assert "no value of secrets is stored" in answer.stdout


def test_values_left_under_another_key_are_stale_and_named(scene: Scene) -> None:
    scene.store("a", NEW)
    scene.store("b", OLD)
    answer = scene.verify("--encryption-config", scene.config(NEW, OLD), "-o", "json")
    assert (answer.code, names(answer)) == (11, [scene.at("b")])


def test_values_that_do_not_open_are_named_with_what_is_wrong(scene: Scene) -> None:
    scene.store("right", NEW)
    scene.store("fake", None)
    plain = by_hand.value_of(scene.etcd, scene.at("fake"))
    # A plaintext object behind a valid head.
    by_hand.put(scene.etcd, scene.at("fake"), b"k8s:enc:aescbc:v1:new:" + plain)
    # aescbc does not bind a value to its name: copied there under other bytes, and with the right key.
    by_hand.put(scene.etcd, scene.at("foreign"), seal.seal(SWAPPED, b"", seal.secret("foreign")))
    by_hand.put(scene.etcd, scene.at("copy"), by_hand.value_of(scene.etcd, scene.at("right")))
    scene.store("orphan", seal.key("gone"), "configmaps")
    answer = scene.verify("--encryption-config", scene.config(NEW), "-o", "json")
    assert answer.code == 12
    said = {one["location"]["etcdKey"]: one["message"] for one in json.loads(answer.stdout)["findings"]}
    assert set(said) == {
        scene.at("fake"),
        scene.at("foreign"),
        scene.at("copy"),
        scene.at("orphan", "configmaps"),
    }
    assert "aescbc/new" in said[scene.at("fake")]
    assert "aescbc/new" in said[scene.at("foreign")]
    assert "holds the object default/right, which belongs elsewhere" in said[scene.at("copy")]
    assert "nothing is configured to decrypt it" in said[scene.at("orphan", "configmaps")]


def test_a_value_of_a_resource_in_no_configuration_that_no_server_can_read_fails_alone(scene: Scene) -> None:
    scene.store("a", NEW)
    scene.store("orphan", seal.key("gone"), "configmaps")
    answer = scene.verify("--encryption-config", scene.config(NEW))
    assert answer.code == 12
    assert scene.at("orphan", "configmaps") in answer.stdout
    assert "next: restart no API server" in answer.stdout


@pytest.mark.parametrize(
    ("required", "code"), [("aescbc", 0), ("secretbox", 11), ("aescbc:new", 0), ("aescbc:old", 11), ("enigma", 2)]
)
def test_what_values_must_be_under_can_be_required(scene: Scene, required: str, code: int) -> None:
    scene.store("a", NEW)
    assert scene.verify("--encryption-config", scene.config(NEW, OLD), "--require", required).code == code


def test_resources_are_added_to_the_judged_ones_or_replace_them(scene: Scene) -> None:
    scene.store("a", NEW)
    scene.store("c", None, "configmaps")
    config = scene.config(NEW)
    assert scene.verify("--encryption-config", config).code == 0
    assert scene.verify("--encryption-config", config, "--resource", "configmaps").code == 13
    only = scene.verify("--encryption-config", config, "--only", "configmaps")
    assert only.code == 13
    assert "--only: judged configmaps and nothing else" in only.stdout
    assert scene.verify("--encryption-config", config, "--only", "pods").code == 10


def test_an_older_revision_can_be_read_until_it_is_compacted(scene: Scene) -> None:
    before = scene.store("a", NEW)
    after = scene.store("b", None)
    config = scene.config(NEW)
    assert scene.verify("--encryption-config", config).code == 13
    assert scene.verify("--encryption-config", config, "--revision", str(before)).code == 0
    by_hand.compact(scene.etcd, after)
    gone = scene.verify("--encryption-config", config, "--revision", str(before))
    assert (gone.code, gone.stdout) == (2, "")
    assert f"no longer has revision {before}" in gone.stderr
    future = scene.verify("--encryption-config", config, "--revision", str(after + 1_000_000))
    assert future.code == 2
    assert "hint: leave the revision out" in future.stderr


def test_json_and_report_files_keep_the_contract(scene: Scene) -> None:
    scene.store("a", NEW)
    scene.store("b", OLD)
    scene.store("p", None)
    scene.store("c", None, "configmaps")
    reports = [f"--report={kind}=report.{kind}" for kind in ("json", "junit", "html")]
    answer = scene.verify("--encryption-config", scene.config(NEW, OLD), "-o", "json", *reports)
    document = json.loads(answer.stdout)
    assert broken_promises(document) == []
    assert (answer.code, document["exitCode"], document["verdict"]) == (13, 13, "plaintext")
    assert document["outcomes"] == ["plaintext", "stale"]
    assert document["proof"] == "decrypted"
    summary = {"values": 3, "encrypted": 2, "plaintext": 1, "stale": 1, "unreadable": 0, "unrecognised": 0}
    assert document["summary"] == summary | {"decrypted": 2, "notDecrypted": 0}
    assert json.loads((scene.shell.folder / "report.json").read_text()) == document
    suite = ElementTree.parse(scene.shell.folder / "report.junit").getroot()  # noqa: S314 — our own file
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    assert scene.at("p") in str(ElementTree.tostring(suite))
    page = html_tree.read((scene.shell.folder / "report.html").read_text())
    assert [row.elements[0].text for row in page.by_id("values").all("tbody")[0].elements] == ["secrets"]
    assert scene.at("p") in page.by_id("findings").text


def test_a_file_name_after_o_is_a_usage_error_that_says_how(scene: Scene) -> None:
    answer = scene.verify("-o", "some.json")
    assert (answer.code, answer.stdout) == (2, "")
    assert "--report json=some.json" in answer.stderr
    assert not (scene.shell.folder / "some.json").exists()


def test_a_report_that_cannot_be_written_is_no_verdict(scene: Scene) -> None:
    scene.store("a", NEW)
    answer = scene.verify("--encryption-config", scene.config(NEW), "--report", "json=missing/report.json")
    assert (answer.code, answer.stdout) == (3, "")
    assert "missing/report.json" in answer.stderr


@pytest.mark.parametrize(("keys", "code"), [((NEW,), 0), ((NEW, OLD), 11)])
def test_quiet_is_silent_when_all_is_right_and_never_changes_the_exit_code(
    scene: Scene, keys: tuple[Key, ...], code: int
) -> None:
    for key in keys:
        scene.store(key.name, key)
    answer = scene.verify("--encryption-config", scene.config(NEW, OLD), "--quiet")
    assert answer.code == code
    assert bool(answer.stdout) is bool(code)


def test_colour_is_for_terminals_that_want_it(scene: Scene) -> None:
    scene.store("a", NEW)
    arguments = ("verify-secrets", "--etcd-prefix", scene.prefix, "--encryption-config", scene.config(NEW))
    assert "\x1b[" in scene.shell.on_a_terminal(*arguments).stdout
    assert "\x1b[" not in scene.shell.on_a_terminal(*arguments, NO_COLOR="1").stdout
    assert "\x1b[" not in scene.shell.keyctl(*arguments).stdout


def test_a_pipe_is_never_cut_and_a_terminal_is_where_the_table_is_wider(scene: Scene) -> None:
    key = Key(NEW.provider, "a-key-with-a-very-long-name-" * 4, NEW.material)
    scene.store("a", key)
    arguments = ("verify-secrets", "--etcd-prefix", scene.prefix, "--encryption-config", scene.config(key))
    assert key.name in scene.shell.keyctl(*arguments, COLUMNS="40").stdout
    on_terminal = scene.shell.on_a_terminal(*arguments, COLUMNS="80").stdout
    assert key.name not in on_terminal
    assert "a-key-with" in on_terminal


def test_servers_with_different_configurations_are_a_finding(scene: Scene) -> None:
    scene.store("a", NEW)
    servers = []
    for number, keys in enumerate(((NEW,), (NEW,), (OLD, NEW)), 1):
        file = scene.config(*keys, name=f"cp{number}.yaml")
        servers.append({"name": f"cp{number}", "url": f"https://10.0.0.{number}:6443", "encryptionConfig": str(file)})
    etcd = {"endpoints": list(scene.etcd.endpoints), "cacert": scene.etcd.cacert, "prefix": scene.prefix}
    etcd |= {"cert": scene.etcd.cert, "key": scene.etcd.key}
    document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "three", "etcd": etcd}

    def verify(count: int) -> Answered:
        file = scene.shell.folder / "keyctl.yaml"
        file.write_text(yaml.safe_dump(document | {"apiServers": servers[:count]}))
        return scene.shell.keyctl("verify-secrets", "--cluster", file)

    assert verify(2).code == 0
    differ = verify(3)
    assert differ.code == 11
    assert "different encryption configurations" in differ.stdout


def test_a_hostile_key_name_is_shown_escaped(scene: Scene) -> None:
    by_hand.put(scene.etcd, scene.at("\x1b]0;owned\x07\x1b[2J\u202eevil"), seal.secret("evil"))
    reports = [f"--report={kind}=report.{kind}" for kind in ("json", "junit")]
    answer = scene.shell.on_a_terminal("verify-secrets", "--etcd-prefix", scene.prefix, *reports, NO_COLOR="1")
    written = [(scene.shell.folder / f"report.{kind}").read_text() for kind in ("json", "junit")]
    assert answer.code == 13
    for text in (answer.stdout, *written):
        assert re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202e]", text) is None
        assert "owned" in text
    assert r"\x1b]0;owned\x07\x1b[2J" in answer.stdout
