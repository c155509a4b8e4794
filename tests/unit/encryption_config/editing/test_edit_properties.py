"""Any configuration, in any layout that keyctl edits: what an edit keeps and what undoes it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.editing import edit
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.keys.key import Key, KeyRef, Provider
from tests.unit.encryption_config.configs import HEAD, b64, key

# Building a file costs more than editing it, on a loaded machine more than the default deadline.
_SLOW = settings(deadline=None, max_examples=60)

_RESOURCES = ("secrets", "configmaps", "'*.apps'")
_STATIC = ("aescbc", "aesgcm", "secretbox")


@dataclass(frozen=True)
class _Layout:
    dash: int
    step: int
    gap: int
    crlf: bool


_LAYOUTS = st.builds(
    _Layout, st.sampled_from([0, 1, 2, 4]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]), st.booleans()
)


@st.composite
def _comments(draw: st.DrawFn, indent: int) -> list[str]:
    """Whole lines: comments somewhere near `indent`, and blank lines."""
    kinds = draw(st.lists(st.sampled_from(["#", "blank", "deep #", "# - name: x", "left #"]), max_size=2))
    by_kind = {
        "#": " " * indent + "# note",
        "deep #": " " * (indent + 3) + "# secret: deeper",
        "# - name: x": " " * indent + "# - name: x",
        "left #": "# left",
        "blank": "",
    }
    return [by_kind[kind] for kind in kinds]


@st.composite
def _key_lines(draw: st.DrawFn, number: int, indent: int, layout: _Layout) -> list[str]:
    trailing = draw(st.sampled_from(["", " # here", "  "]))
    name = draw(st.sampled_from(["k%d", "'k%d'", '"k%d"'])) % number
    secret = b64(number)
    form = draw(st.sampled_from(["block", "swapped", "flow", "literal"]))
    dash = " " * indent + "-" + " " * layout.gap
    inner = " " * (indent + 1 + layout.gap)
    comments = draw(_comments(indent))
    if form == "flow":
        return [*comments, f"{dash}{{name: {name}, secret: {secret}}}{trailing}"]
    if form == "swapped":
        return [*comments, f"{dash}secret: {secret}{trailing}", f"{inner}name: {name}"]
    if form == "literal":
        return [*comments, f"{dash}name: {name}{trailing}", f"{inner}secret: |", f"{inner}  {secret}"]
    return [*comments, f"{dash}name: {name}{trailing}", f"{inner}# inside", f"{inner}secret: {secret}"]


@st.composite
def _provider_lines(draw: st.DrawFn, number: int, indent: int, layout: _Layout) -> list[str]:
    dash = " " * indent + "-" + " " * layout.gap
    kind = draw(st.sampled_from(["identity", "kms", "flow", "block", "block"]))
    comments = draw(_comments(indent))
    if kind == "identity":
        return [*comments, f"{dash}identity: {{}}"]
    if kind == "kms":
        return [*comments, f"{dash}kms: {{apiVersion: v2, name: n{number}, endpoint: 'unix:///k.sock'}} # kms"]
    provider = draw(st.sampled_from(_STATIC))
    count = draw(st.integers(1, 3))
    if kind == "flow":
        keys = ", ".join(f'{{"name": "k{number + i}", "secret": "{b64(number + i)}"}}' for i in range(count))
        return [*comments, f'{dash}{provider}: {{"keys": [{keys}]}}']
    field = indent + 1 + layout.gap + layout.step
    lines = [*comments, f"{dash}{provider}:", " " * field + "keys:"]
    for i in range(count):
        lines += draw(_key_lines(number + i, field + layout.dash, layout))
    return lines


@st.composite
def _files(draw: st.DrawFn) -> bytes:
    layout = draw(_LAYOUTS)
    lines = HEAD.splitlines()
    number = 10
    for resource in _RESOURCES[: draw(st.integers(1, 3))]:
        inner = " " * (layout.dash + 1 + layout.gap)
        lines += draw(_comments(layout.dash))
        lines += [f"{' ' * layout.dash}-{' ' * layout.gap}resources: [{resource}]", f"{inner}providers:"]
        for _ in range(draw(st.integers(1, 3))):
            lines += draw(_provider_lines(number, len(inner) + layout.dash, layout))
            number += 10
    lines += draw(_comments(0))
    text = ("\r\n" if layout.crlf else "\n").join(lines)
    return (text + draw(st.sampled_from(["", "\r\n" if layout.crlf else "\n"]))).encode()


_NEW_KEYS = st.builds(
    key,
    st.sampled_from(["new", "20261121", "yes", "a: b", "k'\"\n"]),
    st.just(200),
    st.sampled_from([Provider(name) for name in _STATIC]),
)


_PLAINTEXT = KeyRef(Provider.IDENTITY, "")


def _config(content: bytes) -> EncryptionConfig:
    return decode(content, name="enc.yaml").config


def _lines(content: bytes) -> Counter[str]:
    return Counter(_in_order(content))


def _in_order(content: bytes) -> list[str]:
    return content.decode().replace("\r\n", "\n").split("\n")


def _readers(config: EncryptionConfig) -> list[Counter[KeyRef]]:
    return [
        Counter(reader.ref for element in entry.providers for reader in element.readers) for entry in config.entries
    ]


def _all(config: EncryptionConfig) -> tuple[int, ...]:
    return tuple(range(len(config.entries)))


def _is_kept(line: str, others: Counter[str]) -> bool:
    # A bracketed list stands in one line with its neighbours, which then is the line that changes.
    return line in others or "{" in line


@given(_files(), _NEW_KEYS)
@_SLOW
def test_an_added_reader_changes_no_writer_no_reader_and_no_line(content: bytes, new: Key) -> None:
    before = _config(content)
    added = edit.add_reader(content, new, entries=_all(before), name="enc.yaml")
    after = _config(added)
    for name in effective.named_resources(before):
        assert effective.writer(after, name) == effective.writer(before, name)
    assert _readers(after) == [readers + Counter([new.ref]) for readers in _readers(before)]
    assert all(_is_kept(line, _lines(added)) for line in _lines(content))


@given(_files(), _NEW_KEYS)
@_SLOW
def test_a_promoted_key_writes_and_every_line_and_reader_stays(content: bytes, new: Key) -> None:
    added = edit.add_reader(content, new, entries=_all(_config(content)), name="enc.yaml")
    promoted = edit.promote(added, new.ref, entries=_all(_config(content)), name="enc.yaml")
    after = _config(promoted)
    assert all(effective.writer(after, name).ref == new.ref for name in effective.named_resources(after))
    assert _readers(after) == _readers(_config(added))
    assert all(_is_kept(line, _lines(promoted)) for line in _lines(added))
    assert sum(_lines(promoted).values()) == sum(_lines(added).values())


@given(_files(), _NEW_KEYS)
@_SLOW
def test_demoting_undoes_promoting_and_removing_undoes_adding(content: bytes, new: Key) -> None:
    before = _config(content)
    entries = _all(before)
    added = edit.add_reader(content, new, entries=entries, name="enc.yaml")
    promoted = edit.promote(added, new.ref, entries=entries, name="enc.yaml")
    demoted = edit.demote(promoted, new.ref, entries=entries, name="enc.yaml")
    removed = edit.remove_reader(demoted, new.ref, entries=entries, name="enc.yaml")
    assert demoted == added
    assert removed == content


@given(_files())
@_SLOW
def test_plaintext_as_the_writer_goes_back_to_where_it_was(content: bytes) -> None:
    before = _config(content)
    entries = tuple(i for i in _all(before) if before.entries[i].providers[0].provider is not Provider.IDENTITY)
    had = tuple(i for i in effective.holders(before, _PLAINTEXT) if i in entries)
    added = edit.add_identity(content, entries=entries, name="enc.yaml")
    for i in entries:
        assert _config(added).entries[i].providers[0] == before.entries[i].providers[0]
    promoted = edit.promote(added, _PLAINTEXT, entries=entries, name="enc.yaml")
    assert all(entry.providers[0].provider is Provider.IDENTITY for entry in _config(promoted).entries)
    assert _readers(_config(promoted)) == _readers(_config(added))
    places = {i: [one.provider for one in before.entries[i].providers].index(Provider.IDENTITY) for i in had}
    demoted = edit.demote(promoted, _PLAINTEXT, entries=entries, name="enc.yaml", places=places)
    assert demoted == added
    ours = tuple(i for i in entries if i not in had)
    assert edit.remove_reader(demoted, _PLAINTEXT, entries=ours, name="enc.yaml") == content


@given(_files(), _NEW_KEYS)
@_SLOW
def test_old_keys_taken_away_and_put_back_are_read_again(content: bytes, new: Key) -> None:
    before = _config(content)
    entries = _all(before)
    promoted = edit.promote(
        edit.add_reader(content, new, entries=entries, name="enc.yaml"), new.ref, entries=entries, name="enc.yaml"
    )
    old = effective.static_keys(before)
    retired = promoted
    for one in old:
        retired = edit.remove_reader(
            retired, one.ref, entries=effective.holders(_config(retired), one.ref), name="enc.yaml"
        )
    assert effective.static_keys(_config(retired)) == (new,)
    back = retired
    for one in reversed(old):
        back = edit.add_reader(back, one, entries=effective.holders(before, one.ref), name="enc.yaml")
    assert _readers(_config(back)) == _readers(_config(promoted))
    assert all(entry.providers[0].readers[0].ref == new.ref for entry in _config(back).entries)


def _taken_away(before: list[str], after: list[str]) -> list[list[str]]:
    """Every block of lines that `before` has and `after` lacks, if that is all the difference."""
    size = len(before) - len(after)
    places = range(len(after) + 1)
    return [before[at : at + size] for at in places if before[:at] + before[at + size :] == after]


def _is_one_element(lines: list[str]) -> bool:
    first, *rest = lines
    indent = len(first) - len(first.lstrip())
    deeper = all(line.lstrip().startswith("#") or line.startswith(" " * (indent + 1)) for line in rest if line)
    return first.lstrip().startswith("- ") and deeper and not lines[-1].lstrip().startswith("#")


@given(_files())
@_SLOW
def test_removing_any_reader_takes_away_its_own_lines_only(content: bytes) -> None:
    config = _config(content)
    for index, entry in enumerate(config.entries):
        for ref in [reader.ref for element in entry.providers for reader in element.readers][1:]:
            if ref.provider is Provider.IDENTITY and _readers(config)[index][ref] > 1:
                continue
            removed = edit.remove_reader(content, ref, entries=(index,), name="enc.yaml")
            assert _readers(_config(removed))[index] == _readers(config)[index] - Counter([ref])
            before, after = (_in_order(data) for data in (content, removed))
            if len(before) == len(after):
                changed = [line for line, other in zip(before, after, strict=True) if line != other]
                assert len(changed) == 1
                assert "{" in changed[0]
            else:
                assert any(_is_one_element(lines) for lines in _taken_away(before, after))


@given(_files(), _NEW_KEYS)
@_SLOW
def test_an_added_entry_leaves_the_whole_text_and_can_be_taken_away_again(content: bytes, new: Key) -> None:
    added = edit.add_entry(content, ("pods", "*.batch"), new, name="enc.yaml")
    assert _config(added).entries[:-1] == _config(content).entries
    assert effective.writer(_config(added), "pods").ref.provider is Provider.IDENTITY
    assert effective.readers(_config(added), "jobs.batch")[1].ref == new.ref
    assert not _lines(content) - _lines(added)
    assert edit.remove_entry(added, len(_config(content).entries), name="enc.yaml") == content
