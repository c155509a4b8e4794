"""What a KV engine does; run on the fake and on a real OpenBao."""

from __future__ import annotations

import pytest

from keyctl.keys.vault.client import CasMismatchError, Deleted, Destroyed, Found, KeyValues, Missing
from tests.support import bao_store
from tests.support.memory_values import MemoryValues
from tests.support.openbao import RunningBao, fields

_PATH = "clusters/prod/current"


class _Memory:
    def __init__(self) -> None:
        self.memory = MemoryValues()
        self.values: KeyValues = self.memory

    def delete(self) -> None:
        self.memory.entries[_PATH].append(None)
        self.memory.entries[_PATH].pop(0)

    def kept(self) -> list[object]:
        return [dict(one) for one in self.memory.held(_PATH)]


class _Bao:
    def __init__(self, bao: RunningBao, mount: str) -> None:
        self._bao, self._mount = bao, mount
        self.values: KeyValues = bao_store.client(bao, mount)

    def delete(self) -> None:
        self._bao.ask("DELETE", f"{self._mount}/data/{_PATH}")

    def kept(self) -> list[object]:
        about = fields(self._bao.ask("GET", f"{self._mount}/metadata/{_PATH}")["data"])
        found = []
        for version in sorted(map(int, fields(about["versions"]))):
            answer = self._bao.ask("GET", f"{self._mount}/data/{_PATH}?version={version}")
            found.append(fields(answer["data"])["data"])
        return found


@pytest.fixture(params=["memory", pytest.param("bao", marks=pytest.mark.live)])
def engine(request: pytest.FixtureRequest) -> _Memory | _Bao:
    if request.param == "memory":
        return _Memory()
    return _Bao(request.getfixturevalue("bao"), request.getfixturevalue("mount"))


def test_what_was_never_written_is_missing(engine: _Memory | _Bao) -> None:
    assert engine.values.read(_PATH) == Missing()


def test_what_is_written_is_read_with_its_version(engine: _Memory | _Bao) -> None:
    assert engine.values.write(_PATH, {"a": [1, None, {"b": True}]}, cas=0) == 1
    assert engine.values.read(_PATH) == Found(1, {"a": [1, None, {"b": True}]})
    assert engine.values.write(_PATH, {"a": "two"}, cas=1) == 2
    assert engine.values.read(_PATH) == Found(2, {"a": "two"})


@pytest.mark.parametrize("cas", [0, 2])
def test_a_write_after_another_version_than_the_newest_changes_nothing(engine: _Memory | _Bao, cas: int) -> None:
    engine.values.write(_PATH, {"a": "one"}, cas=0)
    with pytest.raises(CasMismatchError):
        engine.values.write(_PATH, {"a": "two"}, cas=cas)
    assert engine.values.read(_PATH) == Found(1, {"a": "one"})


def test_a_write_that_asks_for_no_version_comes_after_whichever_is_there(engine: _Memory | _Bao) -> None:
    assert [engine.values.write(_PATH, {"a": text}, cas=None) for text in ("one", "two")] == [1, 2]
    assert engine.values.read(_PATH) == Found(2, {"a": "two"})


def test_entries_are_listed_by_their_folder_and_folders_are_not(engine: _Memory | _Bao) -> None:
    assert engine.values.names("clusters/prod/applied") == ()
    for name in ("applied/cp1", "applied/cp2", "applied/below/cp3", "applied2/cp4"):
        engine.values.write(f"clusters/prod/{name}", {"a": "one"}, cas=None)
    assert sorted(engine.values.names("clusters/prod/applied")) == ["cp1", "cp2"]
    assert engine.values.names("clusters/prod/applied/below") == ("cp3",)


def test_a_deleted_entry_is_neither_there_nor_missing(engine: _Memory | _Bao) -> None:
    engine.values.write(_PATH, {"a": "one"}, cas=0)
    engine.delete()
    found = engine.values.read(_PATH)
    assert isinstance(found, Deleted)
    assert found.version == 1


def test_a_destroyed_entry_is_gone_for_good(engine: _Memory | _Bao) -> None:
    engine.values.write(_PATH, {"a": "one"}, cas=0)
    engine.values.destroy(_PATH)
    assert engine.values.read(_PATH) == Destroyed(1)


@pytest.mark.parametrize("before", [(), ("one", "two")])
def test_of_an_entry_that_keeps_its_newest_version_nothing_older_is_left(
    engine: _Memory | _Bao, before: tuple[str, ...]
) -> None:
    for text in before:
        engine.values.write(_PATH, {"a": text}, cas=None)
    engine.values.keep_newest(_PATH)
    for text in ("three", "four"):
        engine.values.write(_PATH, {"a": text}, cas=None)
    assert engine.kept() == [{"a": "four"}]
    found = engine.values.read(_PATH)
    assert isinstance(found, Found)
    assert engine.values.write(_PATH, {"a": "five"}, cas=found.version) == found.version + 1
