"""A restart by the kubelet: a mark in the manifest, and nothing else of it changed."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnusableInputError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.manifests import add_encryption_flag, read_flags
from keyctl.hosts.pod_edits import RESTART_MARK, same_but_for_restarts, with_restart_mark
from keyctl.hosts.static_pod import StaticPodHost
from tests.support.memory_host import MemoryHost

MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
CONFIG = "/etc/kubernetes/enc/enc.yaml"
_SPEC = """\
spec:
  containers:
  - name: kube-apiserver
    command: [kube-apiserver, --etcd-servers=https://127.0.0.1:2379]
"""
_PLAIN = f"""\
# kept by hand
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver   # ours
  labels:
    tier: control-plane

# below
{_SPEC}"""
_ANNOTATED = _PLAIN.replace(
    "  labels:",
    "  annotations:\n    kubeadm.kubernetes.io/endpoint: 10.0.0.1:6443  # told by kubeadm\n    # a note\n  labels:",
)
_TEXT_LAST = _PLAIN.replace("  labels:", "  annotations:\n    note: |\n      two\n      lines\n  labels:")
_LAYOUTS = {
    "no annotations": _PLAIN,
    "annotations of others": _ANNOTATED,
    "annotations at the end": _PLAIN.replace("    tier: control-plane\n", "    tier: x\n  annotations:\n    a: b\n"),
    "a text of several lines": _TEXT_LAST,
    "annotations in braces": _PLAIN.replace("  labels:", "  annotations: {a: b}\n  labels:"),
    "empty braces": _PLAIN.replace("  labels:", "  annotations: {}\n  labels:"),
    "metadata in braces": f"metadata: {{name: kube-apiserver}}\n{_SPEC}",
    "JSON": json.dumps(yaml.safe_load(_PLAIN)),
    "JSON, annotated": json.dumps(yaml.safe_load(_ANNOTATED), indent=2),
    "CRLF": _ANNOTATED.replace("\n", "\r\n"),
    "no newline at the end": "spec: {containers: [{name: kube-apiserver}]}\nmetadata:\n  name: kube-apiserver",
    "deep": _PLAIN.replace("  name:", "      name:").replace("  labels:\n    tier", "      labels:\n          tier"),
}


def _mark(content: bytes, mark: str = "then") -> bytes:
    return with_restart_mark(content, mark, name="manifest")


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_the_mark_is_put_in_and_nothing_else_is_changed(layout: str) -> None:
    before = _LAYOUTS[layout].encode()
    after = _mark(before)
    said, expected = yaml.safe_load(after), yaml.safe_load(before)
    expected["metadata"]["annotations"] = {**(expected["metadata"].get("annotations") or {}), RESTART_MARK: "then"}
    assert said == expected
    # One insertion: what stands before and behind it is all there was.
    front = next((i for i, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(before))
    assert after.endswith(before[front:])


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_a_mark_takes_the_place_of_the_one_before(layout: str) -> None:
    content = _LAYOUTS[layout].encode()
    assert _mark(_mark(content, "then"), "later") == _mark(content, "later")


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_manifests_that_differ_in_marks_are_the_same_but_for_restarts(layout: str) -> None:
    content = _LAYOUTS[layout].encode()
    assert same_but_for_restarts(content, content, name="manifest")
    assert same_but_for_restarts(content, _mark(content), name="manifest")
    assert same_but_for_restarts(_mark(content, "then"), _mark(content, "later"), name="manifest")
    other = content.replace(b"kube-apiserver", b"kube-apiserver-x", 1)
    assert not same_but_for_restarts(_mark(content), other, name="manifest")


def test_the_diff_of_a_restart_is_one_line_or_two() -> None:
    added = set(_mark(_ANNOTATED.encode()).decode().splitlines()) - set(_ANNOTATED.splitlines())
    assert added == {f'    {RESTART_MARK}: "then"'}
    added = set(_mark(_PLAIN.encode()).decode().splitlines()) - set(_PLAIN.splitlines())
    assert added == {"  annotations:", f'    {RESTART_MARK}: "then"'}


def test_the_mark_reads_as_text_although_it_looks_like_a_time() -> None:
    marked = _mark(_PLAIN.encode(), "2026-01-02T03:04:05.000006+00:00")
    assert yaml.safe_load(marked)["metadata"]["annotations"][RESTART_MARK] == "2026-01-02T03:04:05.000006+00:00"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"kind: Pod\n{_SPEC}", UnusableInputError),
        (_PLAIN.replace("  labels:", "  annotations:\n  labels:"), UnusableInputError),
        (_PLAIN.replace("  labels:", "  annotations: [a]\n  labels:"), UnusableInputError),
        (_PLAIN.replace("name: kube-apiserver   ", "name: &n kube-apiserver  "), RefusedError),
        # The line that a mark needs below it would give this text a line break more.
        (f"{_SPEC}metadata:\n  name: x\n  annotations:\n    note: |\n      no line break", RefusedError),
    ],
    ids=["no metadata", "empty annotations", "a list", "an anchor", "an open end"],
)
def test_a_manifest_that_cannot_be_marked_is_refused(text: str, kind: type[KeyctlError]) -> None:
    with pytest.raises(kind):
        _mark(text.encode())


class _Kubelet:
    """A host with a manifest, and a clock that goes on by a microsecond each time it is looked at."""

    def __init__(self, text: str | None = _PLAIN) -> None:
        self.files = MemoryHost("cp1")
        if text is not None:
            self.files.place(MANIFEST, text.encode(), mode=0o600)
        ticks = itertools.count()
        begun = datetime(2026, 1, 2, tzinfo=UTC)
        self.host = StaticPodHost(self.files, MANIFEST, now=lambda: begun + timedelta(microseconds=next(ticks)))

    @property
    def manifest(self) -> bytes:
        return self.files.files[MANIFEST].content


def test_each_restart_is_another_manifest_of_the_same_pod() -> None:
    kubelet = _Kubelet()
    seen = {kubelet.manifest}
    for _ in range(3):
        kubelet.host.restart()
        seen.add(kubelet.manifest)
        assert same_but_for_restarts(kubelet.manifest, _PLAIN.encode(), name="manifest")
        assert read_flags(kubelet.manifest, name="m") == read_flags(_PLAIN.encode(), name="m")
    assert len(seen) == 4
    assert list(kubelet.files.files) == [MANIFEST]


def _flagged(kubelet: _Kubelet) -> HostFile:
    """The manifest, which was just given its flag."""
    found = kubelet.host.read(MANIFEST)
    assert found is not None
    flagged = add_encryption_flag(found.content, config_path=CONFIG, reload=False, name="manifest")
    return kubelet.host.write(MANIFEST, flagged, expected=found.sha256)


def test_a_manifest_that_was_just_given_its_flag_is_a_restart_already() -> None:
    kubelet = _Kubelet()
    flagged = _flagged(kubelet)
    kubelet.host.restart()
    assert kubelet.manifest == flagged.content
    kubelet.host.restart()
    assert kubelet.manifest != flagged.content


@pytest.mark.parametrize("then", ["write", "remove"])
def test_a_file_changed_after_the_manifest_needs_a_restart_of_its_own(then: str) -> None:
    kubelet = _Kubelet()
    config = kubelet.files.place(CONFIG, b"config")
    flagged = _flagged(kubelet)
    if then == "write":
        kubelet.host.write(CONFIG, b"another", expected=config.sha256)
    else:
        kubelet.host.remove(CONFIG, expected=config.sha256)
    kubelet.host.restart()
    assert kubelet.manifest != flagged.content


def test_a_manifest_that_has_lost_its_flag_is_marked_for_no_metric_tells_what_was_loaded() -> None:
    kubelet = _Kubelet()
    flagged = _flagged(kubelet)
    kubelet.host.write(MANIFEST, _PLAIN.encode(), expected=flagged.sha256)
    kubelet.host.restart()
    assert kubelet.manifest != _PLAIN.encode()


def test_a_mark_is_no_change_of_what_a_server_loads() -> None:
    kubelet = _Kubelet()
    kubelet.files.now = iter((1.0, 2.0, 3.0, 4.0)).__next__
    kubelet.files.place(MANIFEST, _PLAIN.encode())
    for _ in range(2):
        kubelet.host.restart()
        found = kubelet.host.read(MANIFEST)
        assert found is not None
        assert found.changed == 1.0
    kubelet.files.place(MANIFEST, _PLAIN.replace("ours", "theirs").encode())
    theirs = kubelet.host.read(MANIFEST)
    assert theirs is not None
    assert theirs.changed == 4.0


def test_a_manifest_that_somebody_changes_meanwhile_is_not_replaced() -> None:
    class Meddling(MemoryHost):
        def read(self, path: str):
            found = super().read(path)
            self.place(path, b"theirs")
            return found

    files = Meddling("cp1")
    files.place(MANIFEST, _PLAIN.encode())
    with pytest.raises(RefusedError) as caught:
        StaticPodHost(files, MANIFEST, now=lambda: datetime.now(UTC)).restart()
    assert caught.value.rule == "R8"
    assert files.files[MANIFEST].content == b"theirs"


def test_without_a_manifest_there_is_no_restart() -> None:
    with pytest.raises(StoppedError, match="no manifest"):
        _Kubelet(None).host.restart()
