"""Edits that lead back: plaintext as reader and writer, places, whole entries, keys taken away and put back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.editing import changes, edit
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.encryption_config.server import Server
from keyctl.errors import RefusedError
from keyctl.keys.key import KeyRef, Provider
from tests.unit.encryption_config.configs import HEAD, b64, config_of, entry, file, key, names, static

_ID = "{identity: {}}"
_PLAINTEXT = KeyRef(Provider.IDENTITY, "")
_OLD = key("old", 1)
_NEW = key("new", 2)

_BLOCK = f"""\
{HEAD}- resources: [secrets]
  providers:
  # ours
  - aescbc:
      keys:
      - name: old
        secret: {b64(1)}
  - secretbox:
      keys:
      - name: box
        secret: {b64(3)}
  # values from before
  - identity: {{}} # last
    # below
"""


def _json(indent: int | None, *providers: object) -> str:
    return json.dumps(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": providers}],
        },
        indent=indent,
    )


_JSON_KEY = {"aescbc": {"keys": [{"name": "old", "secret": b64(1)}]}}


def _decoded(content: bytes) -> EncryptionConfig:
    return decode(content, name="enc.yaml", server=Server(kms_v1_gate=True)).config


def _secrets(content: bytes) -> list[str]:
    return names(effective.readers(_decoded(content), "secrets"))


def _add_identity(content: bytes | str, entries: tuple[int, ...] = (0,)) -> bytes:
    return edit.add_identity(
        content if isinstance(content, bytes) else content.encode(), entries=entries, name="enc.yaml"
    )


def _promote(content: bytes, ref: KeyRef = _PLAINTEXT) -> bytes:
    return edit.promote(content, ref, entries=(0,), name="enc.yaml")


def _demote(content: bytes, ref: KeyRef = _PLAINTEXT, places: dict[int, int] | None = None) -> bytes:
    return edit.demote(content, ref, entries=(0,), name="enc.yaml", places=places)


def _remove(content: bytes, ref: KeyRef = _PLAINTEXT, entries: tuple[int, ...] = (0,)) -> bytes:
    return edit.remove_reader(content, ref, entries=entries, name="enc.yaml")


def test_plaintext_is_added_as_an_element_right_after_the_first() -> None:
    before = _BLOCK[: _BLOCK.index("  # values")]
    added = _add_identity(before)
    assert added.decode() == before.replace("  - secretbox", "  - identity: {}\n  - secretbox")
    assert _remove(added) == before.encode()


@pytest.mark.parametrize("indent", [None, 2])
def test_plaintext_is_added_to_json_in_its_own_layout(indent: int | None) -> None:
    added = _add_identity(_json(indent, _JSON_KEY)).decode()
    assert added == _json(indent, _JSON_KEY, {"identity": {}})
    assert _promote(added.encode()).decode() == _json(indent, {"identity": {}}, _JSON_KEY)


def test_entries_that_read_plaintext_already_are_left_alone() -> None:
    content = file(
        entry("secrets", static(), static("b", 2), _ID), entry("pods", static()), entry("configmaps", _ID, static())
    )
    added = _add_identity(content, (0, 1, 2))
    assert added == content.replace(
        entry("pods", static()).encode(), entry("pods", static(), _ID).encode()
    )  # fmt: skip
    assert _add_identity(content, (0,)) == content


def test_plaintext_moves_to_the_front_from_any_place_and_back_to_it() -> None:
    promoted = _promote(_BLOCK.encode())
    assert _secrets(promoted) == ["-", "old", "box"]
    at = [promoted.index(text) for text in (b"# values", b"identity", b"# below", b"# ours", b"aescbc", b"secretbox")]
    assert at == sorted(at)
    assert _demote(promoted, places={0: 2}) == _BLOCK.encode()
    assert _secrets(_demote(promoted)) == ["old", "-", "box"]
    assert _secrets(_demote(promoted, places={1: 2})) == ["old", "-", "box"]


def test_plaintext_that_writes_already_stays_and_a_demoted_one_too() -> None:
    promoted = _promote(_BLOCK.encode())
    assert _promote(promoted) == promoted
    assert _demote(_BLOCK.encode(), places={0: 2}) == _BLOCK.encode()


def test_a_key_with_an_element_of_its_own_goes_back_to_its_place() -> None:
    box = KeyRef(Provider.SECRETBOX, "box")
    text = _BLOCK.replace("  - secretbox", f"  - {static('g', 4, 'aesgcm')}\n  - secretbox")
    promoted = _promote(text.encode(), box)
    assert _secrets(promoted) == ["box", "old", "g", "-"]
    assert _demote(promoted, box, {0: 2}) == text.encode()


def test_a_key_among_others_goes_to_second_place_whatever_place_is_given() -> None:
    first = f"{{aescbc: {{keys: [{{name: new, secret: {b64(2)}}}, {{name: old, secret: {b64(1)}}}]}}}}"
    demoted = _demote(file(entry("secrets", first, static("box", 3, "secretbox"), _ID)), _NEW.ref, {0: 2})
    assert _secrets(demoted) == ["old", "new", "box", "-"]


@pytest.mark.parametrize("place", [-1, 0, 3])
def test_a_place_that_is_none_to_go_back_to_is_a_mistake(place: int) -> None:
    with pytest.raises(ValueError, match=rf"resources\[0\] has no place {place} to go back to"):
        _demote(_promote(_BLOCK.encode()), places={0: place})


def test_comments_deeper_than_the_list_above_its_first_element_stay_above() -> None:
    text = _BLOCK.replace("  # ours\n", "     # deep\n  # ours\n")
    promoted = _promote(text.encode())
    assert promoted.index(b"# deep") < promoted.index(b"# values") < promoted.index(b"# ours")
    assert _demote(promoted, places={0: 2}) == text.encode()


@pytest.mark.parametrize(
    "twice",
    [
        pytest.param(f"{{aescbc: {{keys: [{', '.join([f'{{name: old, secret: {b64(1)}}}'] * 2)}]}}}}", id="an element"),
        pytest.param(f"{static('old')}, {_ID}, {static('old')}", id="two elements"),
        pytest.param(
            f"{{aescbc: {{keys: [{{name: a, secret: {b64(7)}}}, {{name: old, secret: {b64(1)}}}]}}}}, {static('old')}",
            id="beside another key",
        ),
    ],
)
def test_a_key_that_stands_twice_in_an_entry_is_removed_twice(twice: str) -> None:
    content = file(entry("secrets", static("new", 2), twice), entry("pods", static("b", 5), static("old")))
    removed = _decoded(_remove(content, _OLD.ref))
    assert effective.holders(removed, _OLD.ref) == (1,)
    assert effective.holders(removed, _NEW.ref) == (0,)


@pytest.mark.parametrize("follows", ["", "\n# tail\n", "---\nbroken: [\n"])
def test_removing_an_entry_undoes_adding_it(follows: str) -> None:
    content = (_BLOCK + follows).encode()
    added = edit.add_entry(content, ("configmaps", "*.apps"), _NEW, name="enc.yaml")
    assert edit.remove_entry(added, 1, name="enc.yaml") == content


@pytest.mark.parametrize("indent", [None, 2])
def test_removing_an_entry_undoes_adding_it_in_json(indent: int | None) -> None:
    content = _json(indent, _JSON_KEY).encode()
    added = edit.add_entry(content, ("configmaps",), _NEW, name="enc.yaml")
    assert edit.remove_entry(added, 1, name="enc.yaml") == content


def test_the_right_one_of_several_entries_is_removed() -> None:
    entries = [entry("secrets", static()), entry("pods", _ID, static("b", 2)), entry("configmaps", _ID)]
    assert edit.remove_entry(file(*entries), 1, name="enc.yaml") == file(entries[0], entries[2])


_PUT_BACK = {
    "block": _BLOCK,
    "block with crlf": _BLOCK.replace("\n", "\r\n"),
    "wide block": _BLOCK.replace("      - name: ", "        -   name: ").replace(
        "        secret", "            secret"
    ),
    "flow": file(entry("secrets", static("old"), _ID)).decode(),
    "flow keys in a block list": f"{HEAD}- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n"
    f"      - {{name: old, secret: {b64(1)}}}\n",
    "quoted flow": file(
        entry("secrets", f'{{"aescbc": {{"keys": [{{"name": "old", "secret": "{b64(1)}"}}]}}}}')
    ).decode(),
    "json": _json(2, _JSON_KEY, {"identity": {}}),
    "json in one line": _json(None, _JSON_KEY),
}


@pytest.mark.parametrize("text", _PUT_BACK.values(), ids=_PUT_BACK)
def test_an_old_key_taken_away_and_put_back_gives_the_same_bytes(text: str) -> None:
    promoted = _promote(edit.add_reader(text.encode(), _NEW, entries=(0,), name="enc.yaml"), _NEW.ref)
    retired = _remove(promoted, _OLD.ref)
    assert "old" not in _secrets(retired)
    assert edit.add_reader(retired, _OLD, entries=(0,), name="enc.yaml") == promoted


@pytest.mark.parametrize("text", [_BLOCK.replace("  # ours\n", ""), _PUT_BACK["flow"], _PUT_BACK["json"]])
def test_an_old_key_of_another_provider_taken_away_and_put_back_gives_the_same_bytes(text: str) -> None:
    new = key("new", 2, Provider.SECRETBOX)
    promoted = _promote(edit.add_reader(text.encode(), new, entries=(0,), name="enc.yaml"), new.ref)
    retired = _remove(promoted, _OLD.ref)
    assert "old" not in _secrets(retired)
    assert edit.add_reader(retired, _OLD, entries=(0,), name="enc.yaml") == promoted


def test_a_comment_of_a_key_taken_away_stays_and_the_key_comes_back_before_it() -> None:
    text = _BLOCK.replace("      - name: old", "      # since May\n      - name: old")
    promoted = _promote(edit.add_reader(text.encode(), _NEW, entries=(0,), name="enc.yaml"), _NEW.ref)
    back = edit.add_reader(_remove(promoted, _OLD.ref), _OLD, entries=(0,), name="enc.yaml")
    assert back != promoted
    assert sorted(back.splitlines()) == sorted(promoted.splitlines())
    assert _decoded(back) == _decoded(promoted)


def test_the_key_stays_out_of_plaintext_and_comes_back_behind_it() -> None:
    promoted = _promote(_BLOCK.encode())
    retired = _remove(promoted, _OLD.ref)
    assert _secrets(retired) == ["-", "box"]
    assert _secrets(edit.add_reader(retired, _OLD, entries=(0,), name="enc.yaml")) == ["-", "old", "box"]


def test_holders_are_the_entries_that_read_with_a_key_or_plaintext() -> None:
    config = config_of(
        entry("secrets", static("a", 1), _ID),
        entry("pods", static("b", 2), static("a", 1)),
        entry("configmaps", static("a", 1, "secretbox")),
    )
    assert effective.holders(config, KeyRef(Provider.AESCBC, "a")) == (0, 1)
    assert effective.holders(config, KeyRef(Provider.SECRETBOX, "a")) == (2,)
    assert effective.holders(config, _PLAINTEXT) == (0,)
    assert effective.holders(config, KeyRef(Provider.AESCBC, "none")) == ()


_ONLY = file(entry("secrets", _ID, static()))

_REFUSALS: dict[str, tuple[Callable[[], bytes], str, str | None]] = {
    "remove plaintext that writes": (lambda: _remove(_ONLY), "^identity writes resources.0. .*cannot be removed", "R3"),
    "remove plaintext that is not there": (
        lambda: _remove(file(entry("secrets", static()))),
        "^resources.0. of enc.yaml has no identity$",
        None,
    ),
    "promote plaintext that is not there": (
        lambda: _promote(file(entry("secrets", static()))),
        "^resources.0. of enc.yaml has no identity$",
        None,
    ),
    "demote plaintext that alone reads": (
        lambda: _demote(file(entry("secrets", _ID))),
        "^identity is the only reader of",
        None,
    ),
    "remove the only entry": (
        lambda: edit.remove_entry(_ONLY, 0, name="enc.yaml"),
        "^resources.0. is the only entry of enc.yaml$",
        None,
    ),
    "remove an entry that a key writes": (
        lambda: edit.remove_entry(file(entry("secrets", _ID), entry("pods", static())), 1, name="enc.yaml"),
        "^aescbc/key1 writes resources.1. of enc.yaml and cannot be removed$",
        "R3",
    ),
}


@pytest.mark.parametrize(("act", "message", "rule"), _REFUSALS.values(), ids=_REFUSALS)
def test_a_way_back_that_could_harm_is_refused(act: Callable[[], bytes], message: str, rule: str | None) -> None:
    with pytest.raises(RefusedError, match=message) as caught:
        act()
    assert caught.value.rule == rule
    assert caught.value.hints


def test_an_identity_that_lands_in_the_wrong_place_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "with_identity", lambda entry: entry)
    with pytest.raises(RuntimeError, match="nothing was changed"):
        _add_identity(file(entry("secrets", static())))
