from __future__ import annotations

import json

import pytest

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.editing import edit
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.encryption_config.plugin import Plugin
from keyctl.encryption_config.server import Server
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.key import Key, KeyRef, Provider
from tests.unit.encryption_config.configs import HEAD, b64, config_of, entry, file, key, keys_of, names, static

_ID = "{identity: {}}"
_NEW = key("key2", 2)
_BOX = key("box", 3, Provider.SECRETBOX)

_BLOCK = f"""\
# header
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets   # only these

    providers:
      # our own keys
      - aescbc:
          keys:
            # in use since May
            - name: key1 # writer
              secret: {b64(1)}
              # do not share

            # left over
            - name: key0
              secret: {b64(9)}
      - identity: {{}}   # last
"""

_BLOCK_ADDED = _BLOCK.replace(
    "              # do not share\n",
    f"              # do not share\n            - name: key2\n              secret: {b64(2)}\n",
)


def _decoded(content: bytes) -> EncryptionConfig:
    return decode(content, name="enc.yaml", server=Server(kms_v1_gate=True)).config


def _add(content: str | bytes, new: Key = _NEW, entries: tuple[int, ...] = (0,)) -> bytes:
    return edit.add_reader(
        content if isinstance(content, bytes) else content.encode(), new, entries=entries, name="enc.yaml"
    )


def _promote(content: bytes, ref: KeyRef = _NEW.ref, entries: tuple[int, ...] = (0,)) -> bytes:
    return edit.promote(content, ref, entries=entries, name="enc.yaml")


def _demote(content: bytes, ref: KeyRef = _NEW.ref, entries: tuple[int, ...] = (0,)) -> bytes:
    return edit.demote(content, ref, entries=entries, name="enc.yaml")


def _remove(content: bytes, ref: KeyRef = _NEW.ref, entries: tuple[int, ...] = (0,)) -> bytes:
    return edit.remove_reader(content, ref, entries=entries, name="enc.yaml")


def test_a_reader_is_added_second_and_only_its_lines_are_new() -> None:
    assert _add(_BLOCK).decode() == _BLOCK_ADDED


def test_the_writer_stays_when_a_reader_is_added() -> None:
    before, after = _decoded(_BLOCK.encode()), _decoded(_add(_BLOCK))
    assert effective.writer(after, "secrets") == effective.writer(before, "secrets")
    assert names(effective.readers(after, "secrets")) == ["key1", "key2", "key0", "-"]


def test_promoting_moves_a_key_with_its_comments() -> None:
    text = _promote(_add(_BLOCK)).decode()
    moved = f"            - name: key2\n              secret: {b64(2)}\n"
    assert text == _BLOCK.replace("            # in use since May\n", moved + "            # in use since May\n")
    old = _promote(_BLOCK.encode(), KeyRef(Provider.AESCBC, "key0")).decode()
    lines = [line.strip() for line in old.splitlines()]
    assert lines.index("# left over") + 1 == lines.index("- name: key0") < lines.index("# in use since May")
    assert lines.index("- name: key1 # writer") + 2 == lines.index("# do not share")


def test_demoting_and_removing_give_the_same_bytes_back() -> None:
    added = _add(_BLOCK)
    assert _demote(_promote(added)) == added
    assert _remove(added) == _BLOCK.encode()


def test_a_key_of_another_provider_gets_an_element_after_the_first() -> None:
    added = _add(_BLOCK, _BOX).decode()
    assert added == _BLOCK.replace(
        "      - identity",
        f"      - secretbox:\n          keys:\n            - name: box\n              secret: {b64(3)}\n"
        "      - identity",
    )
    promoted = _promote(added.encode(), _BOX.ref)
    assert names(effective.readers(_decoded(promoted), "secrets")) == ["box", "key1", "key0", "-"]
    assert _demote(promoted, _BOX.ref) == added.encode()
    assert _remove(added.encode(), _BOX.ref) == _BLOCK.encode()


_PLUGIN = Plugin("vault", "unix:///run/kms.sock", "5s")


def test_a_plugin_gets_an_element_of_its_own_after_the_first() -> None:
    added = edit.add_reader(_BLOCK.encode(), _PLUGIN, entries=(0,), name="enc.yaml")
    lines = """\
      - kms:
          apiVersion: v2
          name: vault
          endpoint: "unix:///run/kms.sock"
          timeout: "5s"
"""
    assert added.decode() == _BLOCK.replace("      - identity", f"{lines}      - identity")
    assert edit.remove_reader(added, _PLUGIN.ref, entries=(0,), name="enc.yaml").decode() == _BLOCK


def test_a_second_plugin_does_not_join_the_first_one() -> None:
    first = "{kms: {apiVersion: v2, name: a, endpoint: 'unix:///run/a.sock'}}"
    added = edit.add_reader(file(entry("secrets", first, _ID)), _PLUGIN, entries=(0,), name="enc.yaml")
    elements = _decoded(added).entries[0].providers
    assert [element.readers[0].ref.name for element in elements] == ["a", "vault", ""]


def test_a_plugin_without_a_timeout_is_written_without_one() -> None:
    added = edit.add_reader(_BLOCK.encode(), Plugin("vault", "unix:///run/kms.sock"), entries=(0,), name="enc.yaml")
    assert b"vault" in added
    assert b"timeout" not in added


def test_plaintext_first_gets_the_key_after_it() -> None:
    added = _add(file(entry("secrets", _ID, static("other", 5))))
    assert names(effective.readers(_decoded(added), "secrets")) == ["-", "key2", "other"]
    assert names(effective.readers(_decoded(_promote(added)), "secrets")) == ["key2", "-", "other"]


@pytest.mark.parametrize("indent", [None, 2, 4, "\t"])
def test_json_stays_json_in_its_own_layout(indent: int | str | None) -> None:
    def value(*elements: object) -> str:
        return json.dumps(
            {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "EncryptionConfiguration",
                "resources": [{"resources": ["secrets"], "providers": [*elements, {"identity": {}}]}],
            },
            indent=indent,
        )

    old, new = ({"name": f"key{i}", "secret": b64(i)} for i in (1, 2))
    box = {"secretbox": {"keys": [{"name": "box", "secret": b64(3)}]}}
    before = value({"aescbc": {"keys": [old]}})
    assert _add(before).decode() == value({"aescbc": {"keys": [old, new]}})
    assert _promote(_add(before)).decode() == value({"aescbc": {"keys": [new, old]}})
    assert _add(before, _BOX).decode() == value({"aescbc": {"keys": [old]}}, box)
    assert _remove(_add(before, _BOX), _BOX.ref).decode() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(
            f"keys: [{{name: key1, secret: {b64(1)}}}]",
            f"keys: [{{name: key1, secret: {b64(1)}}}, {{name: key2, secret: {b64(2)}}}]",
            id="flow list",
        ),
        pytest.param(
            f"keys:\n      - {{name: key1, secret: {b64(1)}}} # c",
            f"keys:\n      - {{name: key1, secret: {b64(1)}}} # c\n      - {{name: key2, secret: {b64(2)}}}",
            id="flow elements in a block list",
        ),
        pytest.param(
            f"keys:\n      -   name: key1\n          secret: {b64(1)}",
            f"keys:\n      -   name: key1\n          secret: {b64(1)}\n"
            f"      -   name: key2\n          secret: {b64(2)}",
            id="a wide dash",
        ),
        pytest.param(
            f"keys:\n      -\n         name: key1\n         secret: {b64(1)}",
            f"keys:\n      -\n         name: key1\n         secret: {b64(1)}\n"
            f"      - name: key2\n        secret: {b64(2)}",
            id="a dash on its own line",
        ),
        pytest.param(
            f"keys:\n      - name: key1\n        secret: |\n           {b64(1)}\n\n",
            f"keys:\n      - name: key1\n        secret: |\n           {b64(1)}\n"
            f"      - name: key2\n        secret: {b64(2)}\n\n",
            id="a block scalar",
        ),
    ],
)
def test_a_new_key_is_written_like_its_neighbour(old: str, new: str) -> None:
    frame = file("- resources: [secrets]\n  providers:\n  - aescbc:\n      %s\n  - identity: {}\n").decode()
    added = _add(frame % old)
    assert added.decode() == frame % new
    assert _remove(added).decode() == frame % old


def test_a_file_without_a_last_line_break_stays_so() -> None:
    text = file(entry("secrets", static())).rstrip().replace(b"[{aescbc", b"\n  - {aescbc").replace(b"}]}}]", b"}]}}")
    added = _add(text, _BOX)
    assert added == text + f"\n  - {{secretbox: {{keys: [{{name: box, secret: {b64(3)}}}]}}}}".encode()
    assert _remove(added, _BOX.ref) == text


def test_crlf_and_the_byte_order_mark_stay() -> None:
    content = ("\ufeff" + _BLOCK).replace("\n", "\r\n").encode()
    assert _add(content) == ("\ufeff" + _BLOCK_ADDED).replace("\n", "\r\n").encode()
    assert _remove(_add(content)) == content


def test_what_follows_the_first_document_stays() -> None:
    rest = "---\nbroken: [\n"
    assert _add(_BLOCK + rest).decode() == _BLOCK_ADDED + rest


@pytest.mark.parametrize(
    "name", ["20261121", "yes", "a: b", "#x", "1e3", "~", "a\nb", "ключ", "\x7f\u2028'\"\\", "😀", " a"]
)
def test_a_name_that_is_no_plain_text_to_go_is_quoted(name: str) -> None:
    new = key(name, 2)
    for content in (_BLOCK.encode(), file(entry("secrets", static()))):
        assert keys_of(_decoded(_add(content, new)))[:2] == ["key1", name]


def test_a_secret_that_looks_like_a_number_is_quoted() -> None:
    new = Key(Provider.AESCBC, "digits", bytes.fromhex("d75d75" * 8))
    added = _add(_BLOCK, new)
    assert b'secret: "' + b"1" * 32 + b'"' in added
    assert effective.static_keys(_decoded(added))[1] == new


def test_an_entry_that_has_the_key_is_left_alone() -> None:
    content = file(entry("secrets", static("a", 1), static("key2", 2)), entry("configmaps", static("a", 1)))
    assert _add(content) == content
    both = _add(content, entries=(0, 1))
    assert keys_of(_decoded(both)) == ["a", "key2", "a", "key2"]


def test_several_entries_are_changed_at_once() -> None:
    content = file(entry("secrets", static("a", 1)), entry("pods", _ID), entry("configmaps", _ID, static("a", 1)))
    added = _add(content, entries=(0, 2))
    promoted = _decoded(_promote(added, entries=(0, 2)))
    assert [names(effective.readers(promoted, name)) for name in ("secrets", "pods", "configmaps")] == [
        ["key2", "a"],
        ["-"],
        ["key2", "-", "a"],
    ]


def test_promoting_the_writer_and_demoting_a_reader_change_nothing() -> None:
    added = _add(_BLOCK)
    assert _demote(added) == added
    assert _promote(_promote(added)) == _promote(added)


def test_one_of_several_keys_of_a_later_element_can_be_removed() -> None:
    later = f"{{aescbc: {{keys: [{{name: a, secret: {b64(1)}}}, # c\n  {{name: key2, secret: {b64(2)}}}]}}}}"
    content = file(entry("secrets", _ID, later))
    assert keys_of(_decoded(_remove(content))) == ["a"]
    assert b"# c" in _remove(content)
    assert keys_of(_decoded(_remove(content, KeyRef(Provider.AESCBC, "a")))) == ["key2"]


def test_an_entry_is_added_for_what_nothing_covers() -> None:
    content = edit.add_entry(_BLOCK.encode(), ("configmaps", "*.apps"), _NEW, name="enc.yaml")
    assert content.decode() == _BLOCK + (
        "  - resources:\n      - configmaps\n      - \"*.apps\"\n    providers:\n      - identity: {}\n"
        f"      - aescbc:\n          keys:\n            - name: key2\n              secret: {b64(2)}\n"
    )  # fmt: skip
    assert names(effective.readers(_decoded(_promote(content, entries=(1,))), "configmaps")) == ["key2", "-"]


def test_an_entry_is_added_to_a_flow_list() -> None:
    content = HEAD.rstrip() + f" [{{resources: [secrets], providers: [{static()}]}}]\n"
    added = edit.add_entry(content.encode(), ("pods",), _NEW, name="enc.yaml")
    assert names(effective.readers(_decoded(added), "pods")) == ["-", "key2"]


@pytest.mark.parametrize("resources", [("secrets",), ("secrets", "configmaps.", "*.apps")])
@pytest.mark.parametrize("provider", [Provider.AESCBC, Provider.AESGCM, Provider.SECRETBOX])
def test_promoting_a_new_document_gives_the_one_with_the_key_first(
    resources: tuple[str, ...], provider: Provider
) -> None:
    new = key("20261121", 4, provider)
    reading, writing = (edit.new_document(resources, new, key_first=first) for first in (False, True))
    assert names(effective.readers(_decoded(reading), "secrets")) == ["-", "20261121"]
    assert _decoded(edit.promote(reading, new.ref, entries=(0,), name="e")) == _decoded(writing)
    assert reading.startswith(b"#")


def test_a_new_document_for_what_the_server_refuses_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="a bare"):
        edit.new_document(("*",), _NEW, key_first=True)


@pytest.mark.parametrize(
    ("entries", "resources", "expected"),
    [
        pytest.param([entry("secrets", static()), entry("pods", _ID), entry("'*.'", static())], None, (0, 2), id="all"),
        pytest.param([entry("pods", static()), entry("secrets.", _ID)], ("secrets",), (1,), id="by name"),
        pytest.param(
            [entry("pods", static()), entry("'*.'", static())], ("*.", "pods"), (0, 1), id="a wildcard by name"
        ),
        pytest.param([entry("pods", static()), entry("pods", _ID)], ("pods",), (0, 1), id="every entry that names it"),
    ],
)
def test_entries_are_selected(entries: list[str], resources: tuple[str, ...] | None, expected: tuple[int, ...]) -> None:
    assert edit.selected_entries(config_of(*entries), resources) == expected


@pytest.mark.parametrize(
    ("entries", "resources", "message"),
    [
        ([entry("secrets", _ID, static())], None, "no entry is written with a static key"),
        ([entry("secrets", static())], ("pods",), "no entry covers pods"),
        ([entry("secrets", static()), entry("'*.'", static())], ("pods",), r"only by a wildcard, in resources\[1\]"),
    ],
)
def test_a_selection_that_means_more_or_nothing_is_refused(
    entries: list[str], resources: tuple[str, ...] | None, message: str
) -> None:
    with pytest.raises(RefusedError, match=message) as caught:
        edit.selected_entries(config_of(*entries), resources)
    assert caught.value.hints


_TWO = f"{{aescbc: {{keys: [{{name: key2, secret: {b64(2)}}}, {{name: x, secret: {b64(8)}}}]}}}}"
_AMBIGUOUS = file(entry("secrets", static("a", 1), static("key2", 2)), entry("pods", static("key2", 7)))

_REFUSALS = {
    "the name has other bytes": (lambda: _add(file(entry("secrets", static("key2", 7)))), "other key bytes", "R5"),
    "the name has other bytes elsewhere": (lambda: _add(_AMBIGUOUS), "other key bytes", "R5"),
    "the name has other bytes for a new entry": (
        lambda: edit.add_entry(file(entry("secrets", static("key2", 7))), ("pods",), _NEW, name="e"),
        "other key bytes",
        "R5",
    ),
    "promote a name with two keys": (lambda: _promote(_AMBIGUOUS), "other key bytes", "R5"),
    "promote what is not there": (lambda: _promote(_BLOCK.encode()), "has no key aescbc/key2", None),
    "demote what is not there": (lambda: _demote(_BLOCK.encode()), "has no key aescbc/key2", None),
    "remove what is not there": (lambda: _remove(_BLOCK.encode()), "has no key aescbc/key2", None),
    "promote out of a shared element": (
        lambda: _promote(file(entry("secrets", static("a", 1), _TWO))),
        "shares its element",
        None,
    ),
    "demote the only reader": (
        lambda: _demote(file(entry("secrets", static("key2", 2)))),
        "is the only reader of",
        None,
    ),
    "remove the writer": (lambda: _remove(_promote(_add(_BLOCK))), "cannot be removed", "R3"),
    "remove a writer with its own element": (
        lambda: _remove(file(entry("secrets", static("key2", 2), _ID))),
        "cannot be removed",
        "R3",
    ),
    "an entry for what is named": (
        lambda: edit.add_entry(_BLOCK.encode(), ("secrets.",), _NEW, name="e"),
        r"covered already by resources\[0\]",
        None,
    ),
    "an entry that a wildcard masks": (
        lambda: edit.add_entry(file(entry("'*.'", static())), ("pods",), _NEW, name="e"),
        r"covered already by resources\[0\]",
        None,
    ),
    "anchors": (lambda: _add(file(entry("secrets", "&a " + static()))), "anchors, aliases or tags", None),
    "odd line breaks": (lambda: _add(_BLOCK.replace("# header\n", "# header\r")), "neither LF nor CRLF", None),
    "explicit keys": (
        lambda: _add(file(f"- resources: [secrets]\n  ? providers\n  : - identity: {{}}\n    - {static()}\n")),
        "a form that keyctl does not edit",
        None,
    ),
}


@pytest.mark.parametrize(("act", "message", "rule"), _REFUSALS.values(), ids=_REFUSALS)
def test_an_edit_that_could_harm_is_refused(act, message: str, rule: str | None) -> None:
    with pytest.raises(RefusedError, match=message) as caught:
        act()
    assert caught.value.rule == rule
    assert caught.value.hints
    shown = " ".join(map(str, (caught.value, caught.value.cause, caught.value.hints)))
    assert not any(b64(fill)[:16] in shown for fill in range(10))


def test_an_edit_whose_result_means_something_else_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "insert_after", lambda *_: (0, 0, "# nothing\n"))
    with pytest.raises(RuntimeError, match="nothing was changed") as caught:
        _add(_BLOCK)
    assert caught.value.__context__ is None


def test_an_edit_whose_result_cannot_be_read_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "insert_after", lambda *_: (0, 0, "["))
    with pytest.raises(RuntimeError, match="nothing was changed") as caught:
        _add(_BLOCK)
    assert caught.value.__context__ is None
