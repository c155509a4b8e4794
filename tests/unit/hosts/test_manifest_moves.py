from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
import yaml

from keyctl.hosts.manifest_repair import repair_manifests
from keyctl.hosts.manifests import read_flags
from tests.unit.hosts.manifest_texts import (
    CONFIG_LINE,
    ETCD,
    ETCD_AFTER,
    FILE,
    FLAG,
    SERVER,
    SERVER_AFTER,
    left,
    repair,
    server_with,
)


def test_the_flag_of_etcd_goes_to_the_api_server_with_its_mount_and_its_comments_stay() -> None:
    repaired, after = repair(etcd=ETCD, api=SERVER)
    assert after == {"etcd": ETCD_AFTER, "api": SERVER_AFTER}
    assert repaired.left == ()
    assert [(done.rule, done.file, done.line) for done in repaired.done] == [
        ("KC-FLAG-001", "api.yaml", 8),
        ("KC-FLAG-001", "api.yaml", 9),
        ("KC-FLAG-001", "api.yaml", 14),
        ("KC-FLAG-001", "etcd.yaml", 12),
        ("KC-FLAG-001", "etcd.yaml", 13),
        ("KC-FLAG-001", "etcd.yaml", 21),
    ]
    assert repaired.done[0].sentence == f"added --encryption-provider-config={FILE}"
    assert repaired.done[3].sentence == "removed --encryption-provider-config, which etcd does not know"


def _as_json(text: str) -> str:
    return json.dumps(yaml.safe_load(text))


def _as_flow(text: str) -> str:
    return "---\n" + yaml.safe_dump(yaml.safe_load(text), default_flow_style=True)


_LAYOUTS: dict[str, Callable[[str], str]] = {
    "json": _as_json,
    "json over several lines": lambda text: json.dumps(yaml.safe_load(text), indent=2),
    "flow": _as_flow,
    "sorted": lambda text: yaml.safe_dump(yaml.safe_load(text), indent=4),
    "windows line ends": lambda text: text.replace("\n", "\r\n"),
    "no last line end": lambda text: text.removesuffix("\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "two words": lambda text: text.replace("config=/etc", "config\n    - /etc"),
    "quoted": lambda text: text.replace(FLAG, f'"{FLAG}"'),
    "the removed name": lambda text: text.replace(FLAG, FLAG.replace("encryption", "experimental-encryption", 1)),
    "one dash": lambda text: text.replace("- --encryption", "- -encryption"),
    "args of its own": lambda text: text.replace("    # read in", "    args:\n    # read in"),
    "args first": lambda text: text.replace(CONFIG_LINE, "").replace(
        "  - command:\n    - etcd\n", f"  - args:\n{CONFIG_LINE}    command:\n    - etcd\n"
    ),
    "args in brackets": lambda text: text.replace(CONFIG_LINE, "").replace(
        "    image", f'    args: ["--encryption-provider-config", "{FILE}"]\n    image'
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_whatever_the_layout_the_flag_is_gone_from_etcd_and_the_server_has_it(layout: str) -> None:
    before = _LAYOUTS[layout](ETCD)
    repaired, after = repair(etcd=before, api=_LAYOUTS[layout](SERVER))
    assert repaired.left == ()
    expected = yaml.safe_load(ETCD_AFTER)
    got = yaml.safe_load(after["etcd"])
    # A list of args that only held the flag stays as an empty one.
    assert not got["spec"]["containers"][0].pop("args", [])
    assert got == expected
    assert yaml.safe_load(after["api"]) == yaml.safe_load(SERVER_AFTER)
    comments = [line.strip() for line in before.splitlines() if line.strip().startswith("#")]
    assert [line.strip() for line in after["etcd"].splitlines() if line.strip().startswith("#")] == comments
    assert ("\r\n" in before) == ("\r\n" in after["etcd"])
    assert after["etcd"].count("\r\n") in (0, after["etcd"].count("\n"))


@pytest.mark.parametrize("name", ["kube-controller-manager", "kube-scheduler"])
def test_the_flag_of_any_other_program_is_moved_like_that_of_etcd(name: str) -> None:
    repaired, after = repair(other=ETCD.replace("- etcd\n", f"- {name}\n").replace(" etcd\n", f" {name}\n"), api=SERVER)
    assert repaired.left == ()
    assert "encryption" not in after["other"]
    assert after["api"] == SERVER_AFTER


def test_without_the_servers_manifest_nothing_is_changed_and_both_files_are_asked_for() -> None:
    repaired, after = repair(etcd=ETCD)
    assert (after, repaired.done) == ({"etcd": ETCD}, ())
    assert left(repaired) == ["etcd.yaml KC-FLAG-001"] * 2
    assert repaired.left[0].fix == "name the manifest of kube-apiserver together with this one"


def test_of_several_servers_the_one_in_the_same_directory_is_meant() -> None:
    contents = {"b/api.yaml": SERVER.encode(), "a/etcd.yaml": ETCD.encode(), "a/api.yaml": SERVER.encode()}
    assert repair_manifests(contents).contents.keys() == {"a/etcd.yaml", "a/api.yaml"}


def test_a_server_in_another_directory_is_meant_when_it_is_the_only_one() -> None:
    contents = {"b/api.yaml": SERVER.encode(), "a/etcd.yaml": ETCD.encode()}
    assert repair_manifests(contents).contents == {
        "b/api.yaml": SERVER_AFTER.encode(),
        "a/etcd.yaml": ETCD_AFTER.encode(),
    }


def test_of_several_servers_in_one_directory_none_is_guessed() -> None:
    repaired, after = repair(etcd=ETCD, one=SERVER, two=SERVER)
    assert after == {"etcd": ETCD, "one": SERVER, "two": SERVER}
    assert str(repaired.left[0].fix).startswith("name this file together with the one manifest")


def test_a_server_that_has_the_flag_already_is_left_as_it_is() -> None:
    server = server_with(f"--encryption-provider-config={FILE}", "--encryption-provider-config-automatic-reload=1")
    repaired, after = repair(etcd=ETCD, api=server)
    assert after == {"etcd": ETCD_AFTER, "api": server}
    assert repaired.left == ()


def test_a_server_that_has_only_the_file_is_given_the_reload() -> None:
    repaired, after = repair(etcd=ETCD, api=server_with(f"--encryption-provider-config={FILE}"))
    assert [done.sentence.split(",")[0] for done in repaired.done] == [
        "added --encryption-provider-config-automatic-reload",
        "removed --encryption-provider-config",
        "removed --encryption-provider-config-automatic-reload",
        "removed the mount of /etc/kubernetes/enc",
    ]
    assert read_flags(after["api"].encode(), name="api").automatic_reload
    assert after["etcd"] == ETCD_AFTER


def test_a_server_that_has_the_reload_only_is_given_the_file() -> None:
    server = server_with("--encryption-provider-config-automatic-reload")
    repaired, after = repair(etcd=ETCD, api=server)
    assert [done.sentence for done in repaired.done if done.file == "api.yaml"] == [f"added {FLAG}"]
    assert after["api"] == server_with("--encryption-provider-config-automatic-reload", FLAG)


@pytest.mark.parametrize("value", [FILE, "$(FILE)"])
def test_a_server_that_has_the_flags_already_sees_the_file_as_it_likes(value: str) -> None:
    server = server_with(f"--encryption-provider-config={value}", "--encryption-provider-config-automatic-reload")
    server = server.replace("path: /etc/kubernetes\n", "path: /srv\n")
    _, after = repair(etcd=ETCD.replace(FILE, value), api=server)
    assert after["api"] == server
    assert "--encryption" not in after["etcd"]


def test_a_mount_without_its_volume_goes_too() -> None:
    volume = "  - hostPath:\n      path: /etc/kubernetes/enc\n      type: DirectoryOrCreate\n    name: enc\n"
    etcd = ETCD.replace(volume, "")
    _, after = repair(etcd=etcd, api=server_with(FLAG, "--encryption-provider-config-automatic-reload"))
    assert after["etcd"] == ETCD_AFTER


def test_a_mount_of_the_file_alone_goes_too() -> None:
    etcd = ETCD.replace("mountPath: /etc/kubernetes/enc", f"mountPath: {FILE}")
    etcd = etcd.replace("path: /etc/kubernetes/enc\n      type: DirectoryOrCreate", f"path: {FILE}\n      type: File")
    _, after = repair(etcd=etcd, api=SERVER)
    assert after == {"etcd": ETCD_AFTER, "api": SERVER_AFTER}


def test_a_reload_flag_that_says_no_is_only_removed() -> None:
    etcd = ETCD.replace("reload\n", "reload=false\n")
    _, after = repair(etcd=etcd, api=SERVER)
    assert after["etcd"] == ETCD_AFTER
    assert "reload" not in after["api"]


@pytest.mark.parametrize(
    "server",
    [
        server_with("--encryption-provider-config=/etc/kubernetes/enc/other.yaml"),
        server_with(f"--encryption-provider-config={FILE}", "--encryption-provider-config-automatic-reload=false"),
    ],
)
def test_a_server_that_says_otherwise_is_left_and_so_is_etcd(server: str) -> None:
    repaired, after = repair(etcd=ETCD, api=server)
    assert after == {"etcd": ETCD, "api": server}
    assert left(repaired) == ["etcd.yaml KC-FLAG-001"] * 2
    assert str(repaired.left[0].fix).startswith("decide on one value of --encryption-provider-config")


def test_two_programs_that_name_different_files_are_both_left() -> None:
    other = ETCD.replace("name: etcd\n", "name: etcd-events\n").replace("enc.yaml", "other.yaml")
    repaired, after = repair(etcd=ETCD, events=other, api=SERVER)
    assert after == {"etcd": ETCD, "events": other, "api": SERVER}
    assert left(repaired) == ["etcd.yaml KC-FLAG-001"] * 2 + ["events.yaml KC-FLAG-001"] * 2 + ["api.yaml KC-FLAG-008"]


def test_two_programs_that_name_the_same_file_are_both_repaired() -> None:
    other = ETCD.replace("name: etcd\n", "name: etcd-events\n")
    repaired, after = repair(etcd=ETCD, events=other, api=SERVER)
    assert repaired.left == ()
    assert after["api"] == SERVER_AFTER


def test_reload_alone_is_left_until_a_file_is_named() -> None:
    etcd = ETCD.replace(CONFIG_LINE, "")
    repaired, after = repair(etcd=etcd, api=SERVER)
    assert after == {"etcd": etcd, "api": SERVER}
    assert repaired.left[0].fix == "name the file first, with --encryption-provider-config in api.yaml"


@pytest.mark.parametrize("value", ["enc.yaml", "$(FILE)", "/etc/../enc.yaml", ""])
def test_a_file_that_cannot_be_placed_is_not_moved(value: str) -> None:
    etcd = ETCD.replace(FILE, value)
    repaired, after = repair(etcd=etcd, api=SERVER)
    assert after == {"etcd": etcd, "api": SERVER}
    assert "no plain absolute path" in str(repaired.left[0].fix)


def test_a_file_that_etcd_sees_in_another_directory_of_the_host_is_not_moved() -> None:
    etcd = ETCD.replace("path: /etc/kubernetes/enc", "path: /srv/enc")
    repaired, after = repair(etcd=etcd, api=SERVER)
    assert after == {"etcd": etcd, "api": SERVER}
    assert "mounts something else of the host at /etc/kubernetes/enc" in str(repaired.left[0].fix)


def test_when_etcd_cannot_be_edited_the_server_is_not_changed_either() -> None:
    anchored = ETCD.replace("name: etcd-data\n    #", "name: &data etcd-data\n    #")
    repaired, after = repair(etcd=anchored, api=SERVER)
    assert after == {"etcd": anchored, "api": SERVER}
    assert repaired.done == ()
    assert "anchors" in str(repaired.left[0].fix)


def test_when_the_server_cannot_be_given_the_mount_nothing_is_changed() -> None:
    server = SERVER.replace("mountPath: /etc/kubernetes/pki", "mountPath: /etc/kubernetes/enc")
    repaired, after = repair(etcd=ETCD, api=server)
    assert after == {"etcd": ETCD, "api": server}
    assert "something else is mounted at /etc/kubernetes/enc" in str(repaired.left[0].fix)


def _etcd_keeping_its_file_at(directory: str) -> str:
    return ETCD.replace("/etc/kubernetes/enc", directory)


@pytest.mark.parametrize(
    "etcd",
    [
        pytest.param(ETCD.replace("- etcd\n", "- etcd\n    - --cert-file=/etc/kubernetes/enc/a\n"), id="another flag"),
        pytest.param(ETCD.replace("- etcd\n", "- etcd\n    - --config-file=/other/etcd.yaml\n"), id="a file of flags"),
        pytest.param(ETCD.replace("    name: etcd\n", "    name: etcd\n    env:\n    - value: /etc/kubernetes/enc\n"),
                     id="the environment"),
        pytest.param(ETCD.replace("    - mountPath: /var/lib/etcd\n", "    - mountPath: /etc/kubernetes/enc/x\n"),
                     id="a mount below"),
        pytest.param(_etcd_keeping_its_file_at("/etc/kubernetes/pki/etcd"), id="certificates"),
        pytest.param(_etcd_keeping_its_file_at("/etc/kubernetes"), id="a directory above the certificates"),
        pytest.param(ETCD.replace("mountPath: /etc/kubernetes/enc", "mountPath: /srv").replace(
            "path: /etc/kubernetes/enc\n", "path: /srv\n").replace(FILE, "/srv/enc/enc.yaml"), id="a directory above"),
    ],
)  # fmt: skip
def test_a_mount_of_etcd_that_may_serve_anything_else_stays(etcd: str) -> None:
    repaired, after = repair(etcd=etcd, api=SERVER)
    assert repaired.left == ()
    assert "encryption-provider" not in after["etcd"]
    assert after["etcd"].count("mountPath") == 2
    assert after["etcd"].count("hostPath") == 2


def test_a_name_that_only_begins_alike_does_not_keep_the_mount() -> None:
    _, after = repair(etcd=ETCD.replace("- etcd\n", "- etcd\n    - --x=/etc/kubernetes/enc2\n"), api=SERVER)
    assert after["etcd"].count("mountPath") == 1


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_a_volume_that_another_container_mounts_stays(kind: str) -> None:
    other = "- {name: other, volumeMounts: [{name: enc, mountPath: /enc}]}\n"
    where = "  volumes:\n"
    text = ETCD.replace(where, f"  {other}{where}" if kind == "containers" else f"  {kind}:\n  {other}{where}")
    _, after = repair(etcd=text, api=SERVER)
    assert after["etcd"].count("mountPath") == 2
    assert after["etcd"].count("hostPath") == 2


def test_the_only_mount_and_volume_leave_empty_lists() -> None:
    mount = "    - mountPath: /var/lib/etcd\n      name: etcd-data\n"
    volume = "  - hostPath:\n      path: /var/lib/etcd\n    name: etcd-data\n"
    repaired, after = repair(etcd=ETCD.replace(mount, "").replace(volume, ""), api=SERVER)
    assert repaired.left == ()
    assert "    volumeMounts: []\n    # from the same tutorial\n  volumes: []\n" in after["etcd"]


def test_both_containers_in_one_manifest_are_repaired() -> None:
    pod = yaml.safe_load(ETCD)
    server = yaml.safe_load(SERVER)
    for where in ("containers", "volumes"):
        pod["spec"][where] += server["spec"][where]
    repaired, after = repair(pod=json.dumps(pod))
    assert repaired.left == ()
    words = [container["command"] for container in yaml.safe_load(after["pod"])["spec"]["containers"]]
    assert [any("encryption" in word for word in command) for command in words] == [False, True]


@pytest.mark.parametrize("names", [("a-etcd", "b-api"), ("z-etcd", "a-api")])
def test_the_server_that_gets_the_flag_is_written_before_the_program_that_loses_it(names: tuple[str, str]) -> None:
    etcd, api = names
    given = {f"{etcd}.yaml": ETCD.encode(), f"{api}.yaml": SERVER.encode()}
    assert list(repair_manifests(given).contents) == [f"{api}.yaml", f"{etcd}.yaml"]


def test_with_only_the_first_file_written_another_repair_finishes_the_move() -> None:
    given = {"etcd.yaml": ETCD.encode(), "api.yaml": SERVER.encode()}
    first, content = next(iter(repair_manifests(given).contents.items()))
    repaired = repair_manifests({**given, first: content})
    assert repaired.contents == {"etcd.yaml": ETCD_AFTER.encode()}
    assert repaired.left == ()


def test_what_a_server_will_read_is_told_as_a_path_of_its_host() -> None:
    assert repair(etcd=ETCD, api=SERVER)[0].reads == {"api.yaml": PurePosixPath(FILE)}
    renamed = server_with(f"--experimental-encryption-provider-config={FILE}")
    assert repair(api=renamed)[0].reads == {"api.yaml": PurePosixPath(FILE)}
    elsewhere = renamed.replace("path: /etc/kubernetes\n", "path: /srv\n")
    assert repair(api=elsewhere)[0].reads == {"api.yaml": PurePosixPath("/srv/enc/enc.yaml")}
    unknown = renamed.replace("hostPath:\n      path: /etc/kubernetes\n", "emptyDir: {}\n")
    assert repair(api=unknown)[0].reads == {"api.yaml": None}
    relative = server_with("--experimental-encryption-provider-config=enc.yaml")
    assert repair(api=relative)[0].reads == {"api.yaml": None}


def test_a_server_that_reads_what_it_read_before_is_not_told_of() -> None:
    server = server_with(f"--encryption-provider-config={FILE}")
    assert repair(etcd=ETCD, api=server)[0].reads == {}
    assert repair(api=server)[0].reads == {}
    assert repair(api=SERVER)[0].reads == {}
