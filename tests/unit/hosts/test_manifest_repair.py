from __future__ import annotations

from collections.abc import Iterable

import pytest

from keyctl.documents import splice
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.hosts.manifest_repair import ManifestRepair, repair_manifests
from keyctl.hosts.manifest_rules import judge_manifest
from keyctl.hosts.manifests import Mount, add_encryption_flag, mount_of
from tests.unit.hosts.manifest_texts import (
    CONFIG_LINE,
    ETCD,
    ETCD_AFTER,
    FILE,
    HERE,
    SERVER,
    SERVER_AFTER,
    left,
    repair,
    server_with,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"--experimental-encryption-provider-config={FILE}  # why", f"--encryption-provider-config={FILE}  # why"),
        (f"'--experimental-encryption-provider-config={FILE}'", f"'--encryption-provider-config={FILE}'"),
        (f'"--experimental_encryption_provider_config={FILE}"', f'"--encryption_provider_config={FILE}"'),
        (f"--experimental-encryption-provider-config\n    - {FILE}", f"--encryption-provider-config\n    - {FILE}"),
    ],
)
def test_the_removed_flag_is_renamed_in_its_place(line: str, expected: str) -> None:
    repaired, after = repair(api=server_with(line, "--other=1"))
    assert after["api"] == server_with(expected, "--other=1")
    assert repaired.left == ()
    assert [(done.rule, done.line, done.sentence) for done in repaired.done] == [
        ("KC-FLAG-002", 8, "renamed --experimental-encryption-provider-config to --encryption-provider-config")
    ]


def test_the_removed_flag_is_renamed_in_args_too() -> None:
    command = "  - command:\n    - kube-apiserver\n"
    args = "  - command: [kube-apiserver]\n    args:\n"
    _, after = repair(api=server_with(f"--experimental-encryption-provider-config={FILE}").replace(command, args))
    assert after["api"] == server_with(f"--encryption-provider-config={FILE}").replace(command, args)


def test_beside_the_flag_of_today_with_the_same_value_the_removed_one_goes() -> None:
    today, old = f"--encryption-provider-config={FILE}", f"--experimental-encryption-provider-config={FILE}"
    repaired, after = repair(api=server_with(old, today, old.replace("=", "\n    - ")))
    assert after["api"] == server_with(today)
    assert len(repaired.done) == 2


def test_of_the_removed_flag_given_twice_one_is_left_and_renamed() -> None:
    old = f"--experimental-encryption-provider-config={FILE}"
    _, after = repair(api=server_with(old, old))
    assert after["api"] == server_with(f"--encryption-provider-config={FILE}")


def test_the_removed_flag_with_another_value_is_left() -> None:
    server = server_with(f"--encryption-provider-config={FILE}", "--experimental-encryption-provider-config=/x")
    repaired, after = repair(api=server)
    assert after["api"] == server
    assert left(repaired) == ["api.yaml KC-FLAG-004", "api.yaml KC-FLAG-002"]
    assert str(repaired.left[1].fix).startswith("find out which of the files is the right one")


def test_a_flag_written_with_escapes_is_left() -> None:
    server = server_with(f'"--experimental\\x2dencryption-provider-config={FILE}"')
    repaired, after = repair(api=server)
    assert after["api"] == server
    assert "a flag written with escapes" in str(repaired.left[0].fix)


def test_a_file_that_is_named_like_the_removed_flag_keeps_its_name() -> None:
    value = "/etc/kubernetes/enc/experimental-encryption-provider-config.yaml"
    _, after = repair(api=server_with(f"--experimental-encryption-provider-config={value}"))
    assert after["api"] == server_with(f"--encryption-provider-config={value}")


def test_a_server_with_anchors_is_left() -> None:
    server = server_with(f"--experimental-encryption-provider-config={FILE}").replace(
        "name: k8s", "name: &certs k8s", 1
    )
    repaired, after = repair(api=server)
    assert after["api"] == server
    assert "anchors" in str(repaired.left[0].fix)


def test_a_file_that_the_server_sees_from_elsewhere_is_not_mounted_anew() -> None:
    server = server_with(f"--encryption-provider-config={FILE}").replace("path: /etc/kubernetes\n", "path: /srv\n")
    repaired, after = repair(api=server)
    assert (after["api"], repaired.left) == (server, ())


def test_nothing_is_moved_to_a_server_that_keeps_the_removed_flag() -> None:
    server = server_with(f'"--experimental\\x2dencryption-provider-config={FILE}"')
    repaired, after = repair(etcd=ETCD, api=server)
    assert after == {"etcd": ETCD, "api": server}
    assert "has the flag under its removed name" in str(repaired.left[0].fix)


@pytest.mark.parametrize("name", ["encryption", "experimental-encryption"])
def test_a_file_that_is_not_mounted_is_mounted(name: str) -> None:
    server = SERVER.replace(HERE, f"{HERE}    - --{name}-provider-config={FILE}\n")
    repaired, after = repair(api=server)
    assert repaired.left == ()
    assert mount_of(after["api"].encode(), FILE) is Mount.DIRECTORY
    assert repaired.done[-1].rule == "KC-FLAG-003"
    assert repaired.done[-1].sentence == "mounted /etc/kubernetes/enc into kube-apiserver"


def test_a_file_in_the_root_directory_is_told_and_not_mounted() -> None:
    server = SERVER.replace(HERE, HERE + "    - --encryption-provider-config=/enc.yaml\n")
    repaired, after = repair(api=server)
    assert after["api"] == server
    assert str(repaired.left[0].fix).startswith("do it by hand: api.yaml: the directory / cannot be mounted")


def test_of_two_files_none_is_mounted() -> None:
    lines = f"    - --encryption-provider-config=/a/b\n{CONFIG_LINE}"
    server = SERVER.replace(HERE, HERE + lines)
    repaired, after = repair(api=server)
    assert after["api"] == server
    assert left(repaired) == ["api.yaml KC-FLAG-004", "api.yaml KC-FLAG-003"]


def test_what_is_right_is_left_as_it_is() -> None:
    repaired, _ = repair(etcd=ETCD_AFTER, api=SERVER_AFTER)
    assert repaired == ManifestRepair({}, (), (), {})


def test_what_is_no_pod_is_refused() -> None:
    with pytest.raises(UnusableInputError, match=r"enc\.yaml:1:1: not the manifest of a pod"):
        repair_manifests({"api.yaml": SERVER.encode(), "enc.yaml": b"kind: EncryptionConfiguration\n"})


def test_an_edit_that_says_something_else_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
        return splice(text, edits).replace("data-dir", "data-dirs")

    monkeypatch.setattr("keyctl.hosts.pod_edits.splice", wrong)
    with pytest.raises(RuntimeError):
        repair_manifests({"etcd.yaml": ETCD.encode(), "api.yaml": SERVER.encode()})


def test_a_comment_inside_brackets_that_would_be_lost_is_not_lost() -> None:
    args = f"    args: [  # kept\n      --encryption-provider-config={FILE}]\n    image"
    etcd = ETCD.replace(CONFIG_LINE, "").replace("    image", args)
    repaired, after = repair(etcd=etcd, api=SERVER)
    assert after == {"etcd": etcd, "api": SERVER}
    assert "a comment inside" in str(repaired.left[0].fix)


def test_what_is_left_tells_its_place_in_the_file_as_it_then_is() -> None:
    repaired, after = repair(etcd=ETCD)
    assert repaired.left[0].location == judge_manifest(after["etcd"].encode(), "etcd.yaml")[0].location
    assert repaired.left[0].location.line == 12


@pytest.mark.parametrize("odd", ["\r", "\x85", "\u2028"])
def test_a_manifest_with_odd_line_breaks_is_not_edited(odd: str) -> None:
    manifest = "kind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command:\n    - kube-apiserver\n"
    with pytest.raises(RefusedError, match="neither LF nor CRLF"):
        add_encryption_flag(
            manifest.replace("\n", odd).encode(), config_path="/etc/enc/enc.yaml", reload=True, name="api.yaml"
        )
