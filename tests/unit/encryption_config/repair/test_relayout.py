"""Indentation rebuilt from the schema: what comes back, what stays, and what is left alone."""

from __future__ import annotations

import difflib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.encryption_config.repair.relayout import relayout
from keyctl.errors import UnusableInputError
from tests.unit.encryption_config.configs import b64
from tests.unit.encryption_config.written import Style, Written, documents, join

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
GOOD = f"""{HEAD}resources:
  - resources:
      - secrets
    providers:
      - aescbc:
          keys:
            - name: key1
              secret: {b64(1)}
      - identity: {{}}
"""


def config(text: str) -> EncryptionConfig:
    return decode(text.encode(), name="enc.yaml").config


def changed(text: str) -> str:
    """The lines of `text` that relayout changes, as they become."""
    result = relayout(text)
    assert result is not None
    return "".join(
        line[1:]
        for line in difflib.unified_diff(text.splitlines(keepends=True), result.splitlines(keepends=True), n=0)
        if line.startswith("+") and not line.startswith("+++")
    )


def bare(text: str) -> list[str]:
    """The lines without the white space and dash before them."""
    return [line.lstrip(" \t").removeprefix("- ").lstrip(" \t") for line in text.splitlines(keepends=True)]


def wrong(*replacements: tuple[str, str]) -> str:
    text = GOOD
    for old, new in replacements:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


INSIDE = f"              secret: {b64(1)}\n"


@pytest.mark.parametrize("column", [0, 4, 6, 8, 10, 12, 13, 15, 20])
def test_a_secret_at_any_column_comes_into_its_key(column: int) -> None:
    text = wrong((INSIDE, f"{' ' * column}secret: {b64(1)}\n"))
    assert changed(text) == INSIDE
    assert relayout(text) == GOOD


def test_a_secret_that_is_an_element_of_its_own_comes_into_the_key_before_it() -> None:
    text = wrong((INSIDE, f"            - secret: {b64(1)}\n"))
    assert changed(text) == INSIDE


def test_a_name_that_is_in_by_one_takes_its_secret_along() -> None:
    text = wrong(("            - name: key1\n", "             - name: key1\n"))
    assert changed(text) == f"               secret: {b64(1)}\n"
    assert config(str(relayout(text))) == config(GOOD)


def test_keys_beside_its_provider_comes_under_it() -> None:
    text = wrong(("          keys:\n", "        keys:\n"))
    assert changed(text) == "          keys:\n"


def test_providers_at_the_top_level_comes_into_the_entry_with_all_that_is_under_it() -> None:
    head, _, tail = GOOD.partition("    providers:\n")
    dedented = "".join(f"{line[4:]}\n" for line in tail.splitlines())
    assert relayout(f"{head}providers:\n{dedented}") == GOOD


def test_providers_under_the_list_of_resources_comes_beside_it() -> None:
    assert changed(wrong(("    providers:\n", "      providers:\n"))) == "    providers:\n"


@pytest.mark.parametrize("column", [0, 2, 4, 8, 12])
def test_identity_at_any_depth_comes_into_the_list_of_providers(column: int) -> None:
    text = wrong(("      - identity: {}\n", f"{' ' * column}- identity: {{}}\n"))
    assert relayout(text) == GOOD


def test_a_provider_without_a_dash_gets_the_one_that_its_neighbour_has() -> None:
    assert changed(wrong(("      - aescbc:\n", "        aescbc:\n"))) == "      - aescbc:\n"


def test_a_key_without_a_dash_gets_one_and_its_secret_stays_where_it_is() -> None:
    assert changed(wrong(("            - name", "              name"))) == "            - name: key1\n"


def test_tabs_become_spaces_and_the_values_stay() -> None:
    head, _, tail = GOOD.partition("resources:\n")
    text = f"{head}resources:\n" + "".join(
        f"{line.replace('  ', chr(9))}\n{chr(9)}\n" for line in tail.replace("- ", "-\t").splitlines()
    )
    result = relayout(text)
    assert result is not None
    assert "\t" not in result
    assert config(result) == config(GOOD)


def test_a_field_in_the_wrong_case_is_moved_and_keeps_its_spelling() -> None:
    assert changed(wrong(("          keys:\n", "        KEYS:\n"))) == "          KEYS:\n"


def test_a_comment_moves_with_the_line_under_it_and_a_last_one_stays() -> None:
    text = wrong((INSIDE, f"      # older\n\n    # mine\n    # too\n    secret: {b64(1)}  # 32 bytes\n")) + "  # end\n"
    result = relayout(text)
    assert result is not None
    assert changed(text) == f"              # mine\n              # too\n              secret: {b64(1)}  # 32 bytes\n"
    assert result.endswith("  # end\n")
    assert bare(result) == bare(text)


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    text = wrong((INSIDE, f"secret: {b64(1)}\n")).replace("\n", "\r\n")
    assert relayout(f"\ufeff{text}") == "\ufeff" + GOOD.replace("\n", "\r\n")
    assert relayout(text.removesuffix("\r\n")) == GOOD.replace("\n", "\r\n").removesuffix("\r\n")


def test_a_block_scalar_moves_with_its_field() -> None:
    text = wrong((INSIDE, f"    secret: |\n      {b64(1)[:20]}\n      {b64(1)[20:]}\n"))
    result = relayout(text)
    assert result is not None
    assert f"              secret: |\n                {b64(1)[:20]}\n" in result
    assert config(result) == config(GOOD)


def test_each_secret_stays_with_the_name_before_it() -> None:
    keys = "".join(f"    - name: {name}\n    - secret: {b64(fill)}\n" for name, fill in (("a", 1), ("b", 2), ("c", 3)))
    text = f"{HEAD}resources:\n- resources: [secrets]\n  providers:\n  - aesgcm:\n    keys:\n{keys}"
    (element,) = config(str(relayout(text))).entries[0].providers
    assert [reader.ref.name for reader in element.readers] == ["a", "b", "c"]


def test_a_secret_whose_key_is_not_clear_leaves_the_document_alone() -> None:
    # As written, the second element is a whole key, and the order of the lines says another thing.
    keys = f"- name: a\n      - secret: {b64(1)}\n        name: b\n      - secret: {b64(2)}\n"
    text = wrong((f"- name: key1\n{INSIDE}", keys), ("    providers:\n", "     providers:\n"))
    assert relayout(text) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("          keys:\n", "          keys:\n            colour: blue\n"),
        ("          keys:\n", "          keys: &keys\n"),
        ("- aescbc:", "- <<: *x"),
        ("- name: key1", "- name: {{ .Values.name }}"),
        (INSIDE, f"secret: |2\n  {b64(1)}\n"),
        (INSIDE, f"secret: |\n{b64(1)}\n"),
        (INSIDE, "secret: |\n  - identity: {}\n"),
        (INSIDE, f'secret: "{b64(1)[:9]}\n  {b64(1)[9:]}"\n'),
        (INSIDE, f"secret: {b64(1)[:9]}\n  {b64(1)[9:]}\n"),
        ("      - secrets\n", "      - secrets: yes: no\n"),
        ("      - secrets\n", "      secrets\n"),
        ("      - identity: {}\n", "---\n      - identity: {}\n"),
        ("      - identity: {}\n", "      - identity: {\n}\n"),
        ("      - identity: {}\n", "      - identity: {}\n        secret: x\n"),
        ("      - identity: {}\n", "      - identity: {}\n      keys:\n"),
        ("      - identity: {}\n", "          keys:\n      - identity: {}\n"),
        ("      - secrets\n", "      - [it's]\n"),
        ("      - identity: {}\n", "      - kms:\n         name: a\n        name: b\n"),
        ("      - identity: {}\n", "      - kms:\n         endpoint: a\n        keys:\n"),
        ("      - aescbc:\n", "      - identity: {}\n"),
        ("resources:\n  - ", "- "),
        ("resources:\n  - ", "  - "),
        ("kind: ", "- kind: "),
        ("kind: EncryptionConfiguration\n", "kind: EncryptionConfiguration\nkind: EncryptionConfiguration\n"),
        ("apiVersion: apiserver.config.k8s.io/v1\n", ""),
        (INSIDE, INSIDE + INSIDE.replace("secret", "  secret")),
        ("    providers:\n", "     providers:\n     providers:\n"),
        ("kind: EncryptionConfiguration\n", "kind: EncryptionConfiguration\u2028\n"),
    ],
)
def test_what_is_not_understood_is_left_alone(old: str, new: str) -> None:
    assert relayout(wrong((old, new))) is None


def test_entries_after_another_top_field_are_left_alone() -> None:
    kind = "kind: EncryptionConfiguration\n"
    entry = "  - resources: [a]\n    providers: [identity: {}]\n"
    assert relayout(GOOD.replace(kind, "") + entry + kind) is not None
    assert relayout(GOOD.replace(kind, "") + kind + entry) is None


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", '{"kind": "EncryptionConfiguration"}', "a\n- b\n"])
def test_a_text_without_a_configuration_is_left_alone(text: str) -> None:
    assert relayout(text) is None


def test_a_version_that_may_be_the_plugins_or_the_files_leaves_the_document_alone() -> None:
    plugin = "      - kms:\n          name: a\n          endpoint: unix:///a\n"
    legacy = (
        GOOD.removeprefix(HEAD).replace("      - identity: {}\n", plugin) + "apiVersion: v1\nkind: EncryptionConfig\n"
    )
    assert relayout(legacy) is None
    assert relayout(legacy.replace("apiVersion: v1\n", "apiVersion: apiserver.config.k8s.io/v1\n")) is not None


@given(documents())
def test_a_good_document_comes_back_as_it_is(written: tuple[list[Written], Style]) -> None:
    lines, style = written
    text = join(lines, style.end)
    assert relayout(text) == text


def reindented(data: st.DataObject, lines: list[Written]) -> list[Written]:
    """`lines` with white space of any length before some of them."""
    spaces = st.integers(0, 16).map(lambda count: " " * count) | st.sampled_from(["\t", "\t\t", "  \t", "\t "])
    which = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=12))
    return [
        replace(line, indent=data.draw(spaces)) if number in which and line.text != "---" else line
        for number, line in enumerate(lines)
    ]


@given(documents(), st.data())
def test_whatever_happens_to_the_indentation_the_result_means_what_was_written(
    written: tuple[list[Written], Style], data: st.DataObject
) -> None:
    lines, style = written
    wrecked = join(reindented(data, lines), style.end)
    result = relayout(wrecked)
    assert result is not None
    assert config(result) == config(join(lines, style.end))
    assert bare(result) == bare(wrecked)


@given(documents(), st.data())
def test_whatever_happens_to_indentation_and_dashes_no_result_means_something_else(
    written: tuple[list[Written], Style], data: st.DataObject
) -> None:
    lines, style = written
    which = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=6))
    without = [
        replace(line, dash="" if line.dash else "- ") if number in which and not line.comment else line
        for number, line in enumerate(reindented(data, lines))
    ]
    wrecked = join(without, style.end)
    result = relayout(wrecked)
    if result is None:
        return
    assert bare(result) == bare(wrecked)
    try:
        found = config(result)
    except UnusableInputError:
        return
    assert found == config(join(lines, style.end))
