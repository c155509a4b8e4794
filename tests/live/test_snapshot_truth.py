"""What `verify-secrets` counts in the files of a real control plane, beside what etcd says and what their bytes hold.

The counts are compared with `etcdctl` on a real etcd that serves the restored
snapshot, the leftovers with a plain search for bytes that were planted.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from keyctl.encryption_config.decode import decode
from keyctl.etcd_files.data_dir import DataDirSource
from keyctl.etcd_files.source import SnapshotSource
from keyctl.findings import Status
from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from keyctl.stored.source import FileSource
from keyctl.verify.report import to_report
from keyctl.verify.values import verify as verify_values
from tests.support.etcd_process import RunningEtcd, running_etcd
from tests.support.hints import wrong_hints
from tests.support.plane import control_planes
from tests.support.real_kube import ask
from tests.support.restored import Record, head, live, restored, written
from tests.support.shell import Shell

pytestmark = pytest.mark.live

# (resource, what the head of a value says): "aescbc/new", or "plaintext".
Counts = Counter[tuple[str, str]]

SEALED = re.compile(rb"k8s:enc:([a-z]+):v1:([^:]+):")
PLANTED = re.compile(rb"planted<([a-z]+/[a-z0-9]+)>")
JUDGED = ("secrets", "configmaps")
OLD_WAYS = {"aescbc/old", "secretbox/box"}
ALL_WAYS = {"aescbc/new", "aesgcm/gcm", "plaintext", *OLD_WAYS}
TOUCHES = itertools.count(1)
MOMENTS = ("mixed", "overwritten", "compacted", "defragmented")


def ring(**providers: str) -> list[dict[str, object]]:
    """Providers in order, each with its keys ("new old"), then `identity`."""
    found: list[dict[str, object]] = []
    for provider, names in providers.items():
        keys = [
            {"name": name, "secret": base64.b64encode(name.encode().ljust(32, b"-")).decode()} for name in names.split()
        ]
        found.append({provider: {"keys": keys}})
    return [*found, {"identity": {}}]


# Secrets go from one aescbc key to the next, ConfigMaps from one provider to another.
FIRST = {"secrets": ring(aescbc="old"), "configmaps": ring(secretbox="box")}
SECOND = {"secrets": ring(aescbc="new old"), "configmaps": ring(aesgcm="gcm", secretbox="box")}


def config(rings: dict[str, list[dict[str, object]]]) -> str:
    entries = [{"resources": [resource], "providers": providers} for resource, providers in rings.items()]
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": entries}
    return json.dumps(document)


@dataclass
class Story:
    """One control plane's life: its files at each moment; `early` is the revision after its first sealed values."""

    folder: Path
    prefix: str = ""
    early: int = 0
    compacted: int = 0
    data: Path = Path()
    heads: dict[str, int] = field(default_factory=dict)

    def database(self, moment: str) -> Path:
        return self.folder / f"{moment}.db"

    def record(self, etcd: RunningEtcd, moment: str) -> None:
        etcd.etcdctl("snapshot", "save", str(self.database(moment)))
        self.heads[moment] = head(etcd)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    told = Story(tmp_path_factory.mktemp("truth"))
    with running_etcd(told.folder, trustme.CA()) as etcd:
        tls = etcd.tls
        access = EtcdAccess((etcd.url,), str(tls.ca), str(tls.cert), str(tls.key))
        with control_planes(access, told.folder) as start:
            live_through(start(1, reload=True), etcd, told)
        let_go(etcd)
        told.record(etcd, "overwritten")
        told.compacted = told.heads["overwritten"]
        etcd.etcdctl("compact", "--physical", str(told.compacted))
        told.record(etcd, "compacted")
        etcd.etcdctl("defrag")
        told.record(etcd, "defragmented")
        told.data = etcd.data
    return told


def live_through(lab: Lab, etcd: RunningEtcd, told: Story) -> None:
    """From plaintext to one key a resource to another; values of each are overwritten, deleted and left."""
    told.prefix = lab.topology.settings.prefix
    for resource in JUDGED:
        create(lab, resource, (f"plain{number:02}" for number in range(20)))
    configure(lab, FIRST)
    for resource in JUDGED:
        create(lab, resource, (f"first{number:02}" for number in range(12)))
        touch(lab, resource, (f"plain{number:02}" for number in range(5)))
    told.early = head(etcd)
    configure(lab, SECOND)
    for resource in JUDGED:
        create(lab, resource, (f"second{number:02}" for number in range(7)))
        touch(lab, resource, (f"first{number:02}" for number in range(4)))
        delete(lab, resource, ("plain00", "plain19", "first11", "second06"))
        create(lab, resource, ("plain19",))
        touch(lab, resource, ("second00",) * 3)
    told.record(etcd, "mixed")
    for resource in JUDGED:
        for item in listed(lab, resource):
            patch(lab, item)
    delete(lab, "secrets", ("plain01",))


def let_go(etcd: RunningEtcd) -> None:
    """Without API servers nothing changes any more, once no lease is left that could expire."""
    for line in etcd.etcdctl("lease", "list").stdout.decode().splitlines()[1:]:
        etcd.etcdctl("lease", "revoke", line)


def configure(lab: Lab, rings: dict[str, list[dict[str, object]]]) -> None:
    lab.layout.server("cp1").encryption_config.write_text(config(rings))
    lab.restart("cp1")


def at(resource: str, name: str = "") -> str:
    return f"/api/v1/namespaces/default/{resource}/{name}".rstrip("/")


def create(lab: Lab, resource: str, names: Iterable[str]) -> None:
    """Objects with a marker in their data, which a search finds for as long as they stand in plaintext."""
    for name in names:
        data = {"stringData" if resource == "secrets" else "data": {"value": f"planted<{resource}/{name}>"}}
        assert ask(lab, "POST", at(resource), {"metadata": {"name": name}, **data})[0] == 201


def touch(lab: Lab, resource: str, names: Iterable[str]) -> None:
    for name in names:
        patch(lab, at(resource, name))


def patch(lab: Lab, path: str) -> None:
    assert ask(lab, "PATCH", path, {"metadata": {"annotations": {"touched": f"{next(TOUCHES)} times"}}})[0] == 200


def delete(lab: Lab, resource: str, names: Iterable[str]) -> None:
    for name in names:
        assert ask(lab, "DELETE", at(resource, name))[0] == 200


def listed(lab: Lab, resource: str) -> list[str]:
    """The paths of all objects of `resource`, in every namespace."""
    items = ask(lab, "GET", f"/api/v1/{resource}")[1]["items"]
    assert isinstance(items, list)
    names = [item["metadata"] for item in items]
    return [f"/api/v1/namespaces/{meta['namespace']}/{resource}/{meta['name']}" for meta in names]


@pytest.fixture
def shell(tmp_path: Path) -> Generator[Shell]:
    shell = Shell(tmp_path)
    (tmp_path / "enc.json").write_text(config(SECOND))
    yield shell
    assert wrong_hints(shell.said) == []


@dataclass(frozen=True, slots=True)
class Told:
    """What keyctl said: its exit code, and of its report the counts of live values and of those behind them.

    `past` is the number of all superseded values; `history` is about those of the judged resources, with all
    plaintext under one name. `retired` are areas and the keys there that are in no configuration any more.
    """

    code: int
    document: dict[str, object]
    live: Counts
    past: int
    history: Counts
    residue_plaintext: int
    retired: set[tuple[str, str]]
    failed: set[tuple[str, str]]


def verify(shell: Shell, story: Story, *arguments: str | Path) -> Told:
    common = ("--etcd-prefix", story.prefix, "--encryption-config", "enc.json", "-o", "json")
    ran = shell.keyctl("verify-secrets", *common, *arguments)
    assert ran.stdout, ran.stderr
    report = json.loads(ran.stdout)
    standing: Counts = Counter()
    for one in report["resources"]:
        standing[one["resource"], "plaintext"] += one["plaintext"]
        for group in one["encrypted"]:
            standing[one["resource"], f"{group['provider']}/{group['key']}"] += group["values"]
    past, residue = report["history"], report["residue"]
    history = Counter(
        {(one["resource"], f"{one['provider']}/{one['key']}"): one["values"] for one in past["encrypted"]}
    )
    history["", "plaintext"] = past["plaintext"]
    groups = [*past["encrypted"], *residue["encrypted"]]
    return Told(
        code=ran.code,
        document=report,
        live=+standing,
        past=past["values"],
        history=+history,
        residue_plaintext=residue["plaintext"],
        retired={(one["area"], one["key"]) for one in groups if one["retired"]},
        failed={(one["id"], one["message"].partition(":")[0]) for one in report["findings"] if one["status"] == "fail"},
    )


def counted(records: Iterable[Record], prefix: str) -> Counts:
    """The same by their keys and first bytes, as anybody would count them."""
    counts: Counts = Counter()
    for record in records:
        parts = record.key.decode().removeprefix(f"{prefix}/").split("/")
        resource = f"{parts[1]}.{parts[0]}" if "." in parts[0] else parts[0]
        sealed = SEALED.match(record.value)
        if sealed is not None:
            counts[resource, b"/".join(sealed.groups()).decode()] += 1
        elif record.value.startswith((b"k8s\0", b'{"')):
            counts[resource, "plaintext"] += 1
    return counts


def of(counts: Counts) -> Counts:
    return Counter({what: count for what, count in counts.items() if what[0] in JUDGED})


def assert_same(told: Counts, brute: Counts) -> None:
    assert of(told) == of(brute)
    assert told.total() == brute.total()


def left_to_compare(counts: Counts) -> Counts:
    """As `Told.history`."""
    found = of(counts)
    plaintext = sum(count for (_, how), count in found.items() if how == "plaintext")
    sealed = Counter({what: count for what, count in found.items() if what[1] != "plaintext"})
    return +(sealed + Counter({("", "plaintext"): plaintext}))


@pytest.mark.parametrize("moment", MOMENTS)
def test_live_and_superseded_values_are_those_that_an_etcd_has_which_serves_the_snapshot(
    story: Story, shell: Shell, moment: str
) -> None:
    told = verify(shell, story, "--snapshot", story.database(moment))
    with restored(story.database(moment), shell.folder / "restored") as etcd:
        newest, root = head(etcd), f"{story.prefix}/"
        now = live(etcd, root, newest)
        if moment in ("compacted", "defragmented"):
            retained = live(etcd, root, story.compacted) | written(etcd, root, story.compacted + 1, newest)
        else:
            retained = written(etcd, root, 1, newest)
    assert told.document["source"] == {
        "type": "snapshot",
        "location": str(story.database(moment)),
        "revision": newest,
        "clusterId": "",
        "integrity": "sha256-ok",
    }
    assert_same(told.live, counted(now, story.prefix))
    past = counted(retained - now, story.prefix)
    assert (told.past, told.history) == (past.total(), left_to_compare(past))
    assert {how for _, how in told.live} == ALL_WAYS - (set() if moment == "mixed" else OLD_WAYS)
    assert (past.total() > 0) is (moment in ("mixed", "overwritten"))


def test_an_older_revision_of_a_snapshot_is_what_etcd_had_then(story: Story, shell: Shell) -> None:
    path = story.database("overwritten")
    told = verify(shell, story, "--snapshot", path, "--revision", str(story.early))
    with restored(path, shell.folder / "restored") as etcd:
        then = live(etcd, f"{story.prefix}/", story.early)
        other = written(etcd, f"{story.prefix}/", 1, head(etcd)) - then
    assert_same(told.live, counted(then, story.prefix))
    # All that is not of that revision lies behind it, what came later too.
    past = counted(other, story.prefix)
    assert (told.past, told.history) == (past.total(), left_to_compare(past))
    assert {how for resource, how in told.live if resource in JUDGED} == {"plaintext", *OLD_WAYS}


def test_a_revision_that_was_compacted_away_or_never_was_is_no_answer(story: Story, shell: Shell) -> None:
    common = ("verify-secrets", "--etcd-prefix", story.prefix, "--snapshot", story.database("compacted"))
    for revision in (story.early, story.compacted + 1):
        ran = shell.keyctl(*common, "--revision", str(revision))
        assert (ran.code, ran.stdout) == (2, "")
        assert f"it holds revisions {story.compacted} to {story.compacted}" in ran.stderr
    assert verify(shell, story, *common[3:], "--revision", str(story.compacted)).code == 0


def test_the_data_directory_of_a_stopped_member_says_what_its_last_snapshot_says(story: Story, shell: Shell) -> None:
    snapshot = verify(shell, story, "--snapshot", story.database("defragmented"))
    directory = verify(shell, story, "--data-dir", story.data)
    assert (directory.code, snapshot.code) == (0, 0)
    for part in ("resources", "summary", "history", "verdict", "proof"):
        assert directory.document[part] == snapshot.document[part]
    assert directory.document["source"] == {
        "type": "data-dir",
        "location": str(story.data),
        "revision": story.heads["defragmented"],
        "clusterId": "",
        "integrity": "sha256-absent",
    }
    areas = ("live", "history", "freePages", "wal", "snapDir")
    assert directory.document["coverage"] == dict.fromkeys(areas, "scanned")
    assert snapshot.document["coverage"] == dict.fromkeys(areas[:3], "scanned") | dict.fromkeys(areas[3:], "absent")


@pytest.mark.parametrize(
    ("moment", "code", "areas"),
    [
        ("overwritten", 14, {"history"}),
        ("compacted", 14, {"free pages"}),
        ("defragmented", 0, set()),
        ("data", 14, {"WAL"}),
    ],
)
def test_plaintext_behind_clean_values_is_told_by_residue_until_it_is_gone(
    story: Story, shell: Shell, moment: str, code: int, areas: set[str]
) -> None:
    where = ("--data-dir", story.data) if moment == "data" else ("--snapshot", story.database(moment))
    assert verify(shell, story, *where).code == 0
    told = verify(shell, story, *where, "--residue")
    assert (told.code, told.document["verdict"]) == (code, "residue" if code else "pass")
    # What is left of a value in part is told, though its whole record is still there.
    failed = told.failed - ({("KC-DAT-010", "free pages")} if moment == "overwritten" else set())
    assert failed == {("KC-DAT-010", area) for area in areas}
    assert (("", "plaintext") in told.history) is ("history" in areas)
    assert moment == "overwritten" or (told.residue_plaintext > 0) is bool(areas)


@pytest.mark.parametrize("moment", [*MOMENTS, "data"])
def test_the_markers_in_what_keyctl_finds_and_names_are_those_of_a_byte_search(story: Story, moment: str) -> None:
    """Live, superseded and left behind together: nothing in the files that keyctl does not see, nor the reverse."""
    paths = [path for path in story.data.rglob("*") if path.is_file()] if moment == "data" else [story.database(moment)]
    searched = set().union(*(planted(path.read_bytes()) for path in paths))
    source = DataDirSource(story.data) if moment == "data" else SnapshotSource(story.database(moment))
    assert markers_of(source, story.prefix) == searched
    assert names_of(source, story.prefix) == searched
    # What came after encryption was turned on was never there in plaintext; the log forgot nothing.
    expected = set() if moment == "defragmented" else {f"{kind}/plain{n:02}" for kind in JUDGED for n in range(20)}
    assert searched <= expected
    assert bool(searched) is bool(expected)
    assert moment != "data" or searched == expected


def test_a_retired_key_behind_clean_values_is_told_until_it_is_gone(story: Story, shell: Shell) -> None:
    (shell.folder / "enc.json").write_text(config({"secrets": ring(aescbc="new"), "configmaps": ring(aesgcm="gcm")}))
    told = {moment: verify(shell, story, "--snapshot", story.database(moment), "--residue") for moment in MOMENTS[1:]}
    assert told["overwritten"].retired >= {("history", "old"), ("history", "box")}
    assert told["compacted"].retired == {("freePages", "old"), ("freePages", "box")}
    assert told["defragmented"].retired == set()
    assert [one.code for one in told.values()] == [14, 14, 0]
    assert ("KC-DAT-011", "free pages") in told["compacted"].failed


def planted(data: bytes) -> set[str]:
    return {found.decode() for found in PLANTED.findall(data)}


def markers_of(source: FileSource, prefix: str) -> set[str]:
    """The markers in all values that a source delivers."""
    root = f"{prefix}/".encode()
    values = [value for batch in source.batches(root) for _, value, _ in batch]
    values += [value for batch in source.history(root) for _, value, _ in batch]
    values += [fragment.value for batch in source.fragments() for fragment in batch]
    return set().union(*map(planted, values))


def names_of(source: FileSource, prefix: str) -> set[str]:
    """The objects that a report names as plaintext, those that carry a marker: as the marker names them."""
    judged = decode(config(SECOND).encode(), name="enc.json").config
    result = verify_values(source, prefix=prefix, config=judged, residue=True, names_limit=1000)
    found = to_report(result).findings
    wrong = [one for one in found if one.status is Status.FAIL and one.id in ("KC-DAT-001", "KC-DAT-010")]
    names = [one.location.etcd_key for one in wrong]
    at_default = re.compile(re.escape(prefix) + r"/([a-z]+)/default/([a-z]+\d\d)(?: \(.*\))?")
    return {"/".join(match.groups()) for name in names if name and (match := at_default.fullmatch(name))}
