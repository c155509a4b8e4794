"""From the first key to the loss of the whole key store: backups hold keys back, and an escrow brings them all back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyrage
import pytest

from keyctl.keys.private_files import erase
from keyctl.lab.plane import Lab
from tests.support import shell as shells
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes
from tests.support.seeded import Answered, Seeded, seed
from tests.support.server_flags import limit_requests
from tests.support.shell import Shell

pytestmark = pytest.mark.live

ROTATE = ("rotate", "--yes", "--allow-downtime")
# The limit of a request, and so each settle.
SECONDS = 4


class Story:
    """One cluster, whoever runs keyctl on it, and the identity that the escrows are for."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.shell = lab, Shell(folder, {"KEYCTL_LAB_BIN": str(lab.layout.bin)})
        self.escrow, self.identity = folder / "safe" / "keys.age", folder / "identity"
        self.escrow.parent.mkdir()
        (folder / "backups").mkdir()
        made = pyrage.x25519.Identity.generate()
        self.recipient = str(made.to_public())
        self.identity.write_text(f"{made}\n")
        self.identity.chmod(0o600)
        limit_requests(lab, SECONDS, folder / "keyctl.yaml")
        lab.restart("cp1")
        self.seeded: Seeded = seed(lab, self.shell.state, 6)

    def keyctl(self, *arguments: str | Path, code: int = 0) -> Answered:
        answered = self.shell.keyctl(*arguments)
        assert answered.code == code, (arguments, answered.stdout, answered.stderr)
        return answered

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.keyctl("keys", "list", "-o", "json").stdout)
        return found

    def key_in_file(self) -> str:
        (name,) = re.findall(r"name: (\S+)", self.lab.layout.server("cp1").encryption_config.read_text())
        return f"aescbc:{name}"

    @property
    def keys(self) -> Path:
        return self.lab.cluster_file.parent / "keys"

    def seal(self) -> None:
        self.keyctl("keys", "escrow", self.escrow, "--recipient", self.recipient)
        self.keyctl("keys", "escrow", self.escrow, "--test", "--identity", self.identity)

    def delete_backups_that_need(self, key: str) -> None:
        for backup in self.document()["backups"]:
            if key in backup["needs"] and backup["kind"] == "snapshot":
                Path(backup["location"]).unlink()
                self.keyctl("snapshot", "forget", backup["location"], "--yes")


@pytest.fixture
def story(control_plane: ControlPlanes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.setattr(shells, "_PATIENCE", 900.0)
    folder = tmp_path / "user"
    folder.mkdir()
    return Story(control_plane(1), folder)


def test_backups_hold_their_keys_back_and_an_escrow_brings_back_what_was_lost(story: Story) -> None:
    keys: set[str] = set()

    def note_keys() -> None:
        keys.update(key_texts([story.lab.layout.server("cp1").encryption_config]))

    story.keyctl("enable", "--yes", "--allow-downtime")
    first = story.key_in_file()
    note_keys()
    story.keyctl("snapshot", "save", "backups/first.db")
    for _ in range(2):
        story.keyctl(*ROTATE)
        note_keys()
    third = story.key_in_file()

    refused = story.keyctl("keys", "destroy", first, "--yes", code=5)
    assert f"the snapshot {story.shell.folder / 'backups' / 'first.db'}" in refused.stderr
    tested = json.loads(story.keyctl("snapshot", "restore-test", "backups/first.db", "-o", "json").stdout)
    assert tested["proof"] == "served"
    assert [provider["name"] for provider in tested["configuration"][0]["providers"]] == [first.partition(":")[2]]

    story.delete_backups_that_need(first)
    story.keyctl("keys", "destroy", first, "--yes")
    lives = {f"{key['provider']}:{key['name']}": key for key in story.document()["keys"]}
    assert (lives[first]["state"], lives[third]["state"]) == ("destroyed", "active")
    assert lives[third]["firstWrite"]["revision"] > lives[first]["lastWrite"]["revision"] > 0
    assert (lives[third]["lastWrite"], lives[third]["escrows"]) == (None, [])

    story.keyctl("snapshot", "save", "backups/last.db")
    beside = story.keyctl("keys", "escrow", "backups/keys.age", "-r", story.recipient, code=5)
    assert "beside the backups" in beside.stderr
    story.seal()
    before = story.document()
    for file in story.keys.iterdir():
        erase(file)
    story.keys.rmdir()
    story.keyctl("snapshot", "restore-test", "backups/last.db", "--offline", code=12)
    story.keyctl("keys", "import", "--escrow", story.escrow, "--identity", story.identity, "--yes")
    after = story.document()
    assert after["keys"] == [{**key, "escrows": []} for key in before["keys"]]
    assert after["backups"] == before["backups"]
    story.keyctl("keys", "escrow", story.escrow, "--test", "--identity", story.identity)
    assert story.document()["keys"] == before["keys"]
    story.keyctl("snapshot", "restore-test", "backups/last.db")
    story.keyctl(*ROTATE)
    story.keyctl("keys", "destroy", third, "--yes", code=5)
    note_keys()

    files = [path for path in story.shell.folder.rglob("*") if path.suffix not in (".db", ".yaml")]
    assert leaks(keys, story.shell.said, files) == []
    assert wrong_hints(story.shell.said) == []
    assert story.seeded.changed() == {}
