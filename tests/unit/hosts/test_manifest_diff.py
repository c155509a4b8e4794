"""Diffs of manifests: readable as they are, less what may be a password."""

from __future__ import annotations

import json

import pytest
import yaml

from keyctl.hosts.manifest_diff import manifest_diff
from tests.unit.hosts.manifest_texts import ETCD, ETCD_AFTER, SERVER, SERVER_AFTER

PASSWORD = "kX8-unlikely-to-be-a-word"
SECRETIVE = """\
kind: Pod
spec:
  containers:
  - name: etcd
    command: [etcd, --auth-token={p}, "--password", {p}, '--x-secret={p}']
    env:
    - name: PLAIN
      value: {p}
    - {{name: FLOW, value: "{p}"}}
    - name: BLOCK
      value: |
        {p}
        {p}
    - name: SHARED
      value: &shared {p}
    - name: AGAIN
      value: *shared
    - name: FROM
      valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}
    livenessProbe:
      httpGet:
        httpHeaders: [{{name: Authorization, value: {p}}}]
    args:
    - --etcd-servers=https://root:{p}@127.0.0.1:2379
"""


def changed_lines(diff: str) -> list[str]:
    return [line for line in diff.splitlines()[2:] if line[0] in "+-"]


def test_every_line_of_a_repaired_manifest_can_be_read_as_it_is() -> None:
    for before, after in ((ETCD, ETCD_AFTER), (SERVER, SERVER_AFTER)):
        diff = manifest_diff(before.encode(), after.encode(), name="pod.yaml")
        shown = [line[1:] for line in diff.splitlines()[2:] if not line.startswith("@@")]
        assert set(shown) <= {*before.splitlines(), *after.splitlines()}
        assert diff.startswith("--- pod.yaml\n+++ pod.yaml, fixed\n@@ ")
    assert "+      type: DirectoryOrCreate\n" in manifest_diff(SERVER.encode(), SERVER_AFTER.encode(), name="p")


def test_equal_texts_have_no_diff() -> None:
    assert manifest_diff(ETCD.encode(), ETCD.encode(), name="pod.yaml") == ""


@pytest.mark.parametrize("form", ["yaml", "json", "json over several lines"])
def test_no_value_that_may_be_a_password_shows_in_the_whole_manifest(form: str) -> None:
    text = SECRETIVE.format(p=PASSWORD)
    if form != "yaml":
        text = json.dumps(yaml.safe_load(text), indent=2 if "several" in form else None)
    before, after = (f"{text}{end}".encode() for end in ("", "\n" if text.endswith("}") else "# more\n"))
    for one, other in ((before, after), (b"kind: Pod\n", before), (before, b"kind: Pod\n")):
        diff = manifest_diff(one, other, name="pod.yaml")
        assert PASSWORD not in diff
    assert "--auth-token=<not shown>" in diff
    assert "https://<not shown>@127.0.0.1:2379" in diff
    assert "status.podIP" in diff


def test_the_lines_of_a_hidden_value_stay_as_many_as_they_are() -> None:
    text = SECRETIVE.format(p=PASSWORD)
    diff = manifest_diff(b"kind: Pod\n", text.encode(), name="pod.yaml")
    assert "+    - name: AGAIN\n+      value: *shared\n+    - name: FROM\n" in diff
    assert len([line for line in diff.splitlines()[3:] if line[0] in "+ "]) == len(text.splitlines())


@pytest.mark.parametrize(
    "word",
    [
        "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
        "--token-auth-file=/etc/kubernetes/tokens.csv",
        "--enable-bootstrap-token-auth=true",
        "--initial-cluster=a=https://127.0.0.1:2380",
        "--token-auth-file",
        "--encryption-provider-config=/etc/kubernetes/enc/enc.yaml",
    ],
)
def test_paths_switches_and_all_other_flags_are_readable(word: str) -> None:
    text = f"spec:\n  containers:\n  - command:\n    - etcd\n    - {word}\n    - --next=1\n"
    assert changed_lines(manifest_diff(b"spec:\n  containers:\n", text.encode(), name="p"))[2] == f"+    - {word}"


def test_a_control_character_is_escaped_and_a_line_end_of_windows_is_none() -> None:
    diff = manifest_diff(b"kind: Pod\r\n", 'kind: Pod\r\nx: "\u202e"\r\n'.encode(), name="p")
    assert diff.splitlines()[-2:] == [" kind: Pod", '+x: "\\u202e"']
