"""What is repaired, what is left, and what is never touched."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.judge import judge
from keyctl.encryption_config.model import EncryptionConfig, StaticReader
from keyctl.encryption_config.repair import repairs as repair
from keyctl.encryption_config.repair.field_repairs import Done
from keyctl.encryption_config.repair.repairs import Repaired, migrated, repairs
from keyctl.encryption_config.repair.secret_repairs import Asked, KeyInUseError
from keyctl.encryption_config.server import NEWEST_SERVER, Server
from keyctl.errors import RefusedError, UnusableInputError, WrongUsageError
from keyctl.keys.key import Provider
from tests.unit.encryption_config.configs import entry, file
from tests.unit.encryption_config.written import KEY_NAMES, Style, Written, documents, join

KEY = bytes.fromhex("c97a41e05b3d8862f0a91d64b7332eca1856fd90e34b7ac80d259f6e71b4035c")
OTHER = KEY[::-1]
SECRET = base64.b64encode(KEY).decode()
HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
LEGACY = "# ours\nkind: EncryptionConfig\napiVersion: v1  # old\n"
BODY = f"""resources:
  - resources:
    - secrets
    providers:
    - aescbc:
        keys:
        - name: key1
          secret: {SECRET}  # from the vault
    - identity: {{}}
"""


def repaired(
    text: str,
    *,
    server: Server = NEWEST_SERVER,
    supply: Mapping[str, bytes] = MappingProxyType({}),
    fresh: Mapping[str, Mapping[Provider, bytes]] = MappingProxyType({}),
    reencode: Sequence[str] = (),
) -> Repaired:
    return repairs(text.encode(), name="enc.yaml", server=server, asked=Asked(supply, fresh, tuple(reencode)))


def config(content: bytes) -> EncryptionConfig:
    return decode(content, name="enc.yaml").config


def materials(content: bytes) -> list[bytes]:
    return [
        reader.key.material
        for one in config(content).entries
        for element in one.providers
        for reader in element.readers
        if isinstance(reader, StaticReader)
    ]


def told(result: Repaired) -> list[tuple[str, int]]:
    return [(one.rule_id, one.line) for one in result.done]


def with_secret(text: str) -> str:
    return HEAD + BODY.replace(f"{SECRET}  # from the vault", text)


def test_the_legacy_kind_becomes_todays_and_every_comment_stays() -> None:
    result = repaired(LEGACY + BODY)
    assert result.content.decode() == (
        "# ours\nkind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1  # old\n" + BODY
    )
    assert told(result) == [("KC-CFG-008", 2), ("KC-CFG-008", 3)]
    assert result.accepted
    assert migrated((LEGACY + BODY).encode(), name="enc.yaml").content == result.content


@pytest.mark.parametrize(
    "head",
    [
        "apiVersion: v1\nkind: EncryptionConfiguration\n",
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfig\n",
        "apiVersion: \"v1\"\nkind: 'EncryptionConfiguration'\n",
    ],
)
def test_half_of_the_legacy_kind_becomes_todays(head: str) -> None:
    result = repaired(head + BODY)
    assert result.accepted
    assert [rule for rule, _ in told(result)] == ["KC-CFG-111"]


@pytest.mark.parametrize("head", ["apiVersion: v1\nkind: ConfigMap\n", "apiVersion: apps/v1\nkind: EncryptionConfig\n"])
def test_another_kind_is_left_alone(head: str) -> None:
    result = repaired(head + BODY)
    assert result.content == (head + BODY).encode()
    assert [one.id for one in result.left] == ["KC-CFG-111"]


def test_migrating_changes_nothing_but_the_kind() -> None:
    text = LEGACY + BODY.replace("- identity: {}", "- identity:")
    result = migrated(text.encode(), name="enc.yaml")
    assert result.content.decode().endswith("- identity:\n")
    assert not result.accepted
    assert migrated((HEAD + BODY).encode(), name="enc.yaml").done == ()


def test_the_tutorials_placeholder_is_left_until_a_key_is_supplied() -> None:
    text = LEGACY + BODY.replace(SECRET, "<BASE 64 ENCODED SECRET>")
    left = repaired(text)
    assert not left.accepted
    assert [one.message for one in left.left] == [
        "resources[0].providers[0].aescbc.keys[0].secret: the secret is not standard base64 "
        "(a placeholder of 24 characters: nobody fills it in)"
    ]
    result = repaired(text, supply={"key1": KEY})
    assert result.accepted
    assert materials(result.content) == [KEY]
    assert b"  # from the vault\n" in result.content


def test_a_misindented_secret_comes_into_its_key() -> None:
    text = (HEAD + BODY).replace("          secret:", "        secret:")
    result = repaired(text)
    assert result.content == (HEAD + BODY).encode()
    assert told(result) == [("KC-CFG-112", 10)]
    assert result.done[0].sentence == "secret moved in by 2 columns"
    assert result.left == ()


def test_the_indentation_of_a_file_that_is_accepted_is_left_alone() -> None:
    # Before Kubernetes 1.31 an unknown field was ignored: this file loads, and encrypts configmaps as it stands.
    text = HEAD + BODY + "providers:\n- identity: {}\n"
    assert repaired(text, server=Server(30)).content == text.encode()
    assert repaired(text, server=Server(30)).accepted


def test_lines_that_yaml_joins_to_one_value_come_apart_in_a_file_that_is_refused_anyway() -> None:
    text = (HEAD + BODY).replace("    - secrets\n", "    - secrets\n     - configmaps\n")
    assert repaired(text).accepted
    assert repaired(text).content == text.encode()
    result = repaired(text.replace("identity: {}", "identity:"))
    assert config(result.content).entries[0].resources == ("secrets", "configmaps")


def test_a_new_kind_that_would_change_more_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    text = LEGACY + BODY
    monkeypatch.setattr(
        repair, "todays_kind", lambda text, name: (text.replace("- secrets", "- configmaps"), (Done("", 1, ""),))
    )
    assert repaired(text).content == text.encode()
    assert repaired(text).done == ()


def test_a_field_that_stands_twice_is_left_alone_where_the_server_takes_the_last() -> None:
    text = HEAD + BODY.replace("    - identity", f"          name: b\n          secret: {SECRET}\n    - identity")
    assert repaired(text, server=Server(30)).content == text.encode()
    assert repaired(text, server=Server(30)).accepted is None
    assert len(materials(repaired(text).content)) == 2


def test_a_new_layout_that_would_still_be_refused_is_not_kept() -> None:
    text = (HEAD + BODY).replace("          secret:", "        secret:").replace("- secrets", "- Secrets")
    assert repaired(text).content == text.encode()


def test_a_new_layout_is_kept_when_only_the_bytes_of_a_secret_are_wrong() -> None:
    text = (HEAD + BODY).replace("          secret:", "        secret:").replace(SECRET, "bm8=")
    result = repaired(text)
    assert b"\n          secret: bm8=" in result.content
    assert [one.id for one in result.left] == ["KC-CFG-136"]
    assert result.accepted is False


def test_several_faults_are_repaired_together_and_told_in_the_order_of_the_file() -> None:
    text = (
        f"---\n---\n{HEAD}resources:\n- resources: [secrets]\n  Providers:\n  - aesCBC:\n    keys:\n"
        f"\t- name: 2026\n\t  secret: {SECRET}\n  - identity:\n"
    )
    result = repaired(text)
    assert result.accepted
    assert told(result) == [
        ("KC-CFG-102", 1),
        ("KC-CFG-112", 7),
        ("KC-CFG-112", 8),
        ("KC-CFG-103", 9),
        ("KC-CFG-103", 10),
        ("KC-CFG-113", 10),
        ("KC-CFG-130", 12),
    ]
    assert result.content.decode() == (
        f"---\n{HEAD}resources:\n- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n"
        f'        - name: "2026"\n          secret: {SECRET}\n  - identity: {{}}\n'
    )


@pytest.mark.parametrize("name", ["1", "yes", "0644", "1e3", "n", "0x1f"])
def test_a_name_that_is_a_number_or_yes_to_go_gets_quotes(name: str) -> None:
    result = repaired((HEAD + BODY).replace("key1", name))
    assert f'name: "{name}"\n'.encode() in result.content
    assert result.accepted


def test_digits_that_may_be_base64_or_the_key_itself_get_no_quotes() -> None:
    text = with_secret("3141592653589793" * 2)
    assert repaired(text).content == text.encode()
    assert repaired(text, reencode=["key1"]).unused == ("key1",)
    assert b'secret: "3141592653589793"' in repaired(with_secret("3141592653589793")).content


def test_json_is_repaired_too() -> None:
    text = (
        '{"kind": "EncryptionConfig", "apiVersion": "v1", "resources": [{"resources": ["secrets"], "Providers": '
        '[{"aescbc": {"keys": [{"name": 7}, {"name": "b", "secret": null}, {"name": "c", "secret": "c2hvcnQ="}]}}, '
        '{"identity": null}]}]}'
    )
    result = repaired(text, supply={"7": KEY, "b": OTHER, "c": KEY})
    assert result.accepted
    assert materials(result.content) == [KEY, OTHER, KEY]


@pytest.mark.parametrize("provider", ['{"aescbc": null, "identity": null}', '{"aescbc": {"\\u004beys": []}}'])
def test_what_has_two_meanings_or_is_written_with_escapes_is_left_alone(provider: str) -> None:
    text = (
        '{"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", '
        f'"resources": [{{"resources": ["secrets"], "providers": [{provider}]}}]}}'
    )
    assert repaired(text).content == text.encode()


def test_a_key_is_put_into_no_element_while_another_has_no_name() -> None:
    text = file(entry("secrets", "{aescbc: {keys: [{name: key1}, {secret: bm8=}]}}")).decode()
    result = repaired(text, supply={"key1": KEY})
    assert (result.content, result.unused) == (text.encode(), ("key1",))


def test_a_field_that_is_there_in_both_cases_is_left_alone() -> None:
    text = (HEAD + BODY).replace("    providers:\n", "    Providers: []\n    providers:\n")
    assert repaired(text).content == text.encode()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xe9: 1", b"", b"\n", b"# a\n", b"null\n", b"---\n---\n", b"["])
def test_what_is_no_configuration_at_all_comes_back_as_it_is(content: bytes) -> None:
    result = repairs(content, name="enc.yaml", asked=Asked({"key1": KEY}))
    assert not result.accepted
    assert result.left != ()
    assert result.unused == ("key1",)
    assert result.content.strip(b"-\n") == content.strip(b"-\n")


TWICE = base64.b64encode(SECRET.encode()).decode()


@pytest.mark.parametrize(
    ("secret", "cause", "material"),
    [
        (TWICE, "decodes to 44 bytes that are themselves the base64 of 32 bytes: encoded twice", KEY),
        (
            base64.b64encode(f"{SECRET}\n".encode()).decode(),
            "decodes to 45 bytes that are themselves the base64 of 32 bytes: encoded twice",
            KEY,
        ),
        ("aB-._~!*#;,9876aB-._~!*#;,987654", "32 characters that are no base64: not encoded", None),
        (KEY.hex(), "64 hexadecimal digits, which are 32 bytes", KEY),
        (SECRET.rstrip("="), "43 characters of base64 with wrong padding, which are 32 bytes", KEY),
        (
            base64.urlsafe_b64encode(b"\xfb\xff" * 16).decode(),
            "44 characters of base64 for URLs, which are 32 bytes",
            b"\xfb\xff" * 16,
        ),
        (
            f"{SECRET[:9]}\n            {SECRET[9:]}",
            "45 characters of base64 with white space, which are 32 bytes",
            KEY,
        ),
        (
            f"'{SECRET} '",
            "45 characters of base64 with white space around it, which is 32 bytes",
            KEY,
        ),
        (
            base64.b64encode(KEY + b"\n").decode(),
            "decodes to 33 bytes that end with a line break: it was encoded together with the key",
            KEY,
        ),
    ],
)
def test_a_secret_with_one_reading_is_told_and_encoded_once_when_the_user_says_so(
    secret: str, cause: str, material: bytes | None
) -> None:
    text = with_secret(secret)
    left = repaired(text)
    assert left.content == text.encode()
    assert [one.message.partition(" (")[2] for one in left.left] == [f"{cause})"]
    assert [one.message for one in judge(text.encode(), name="enc.yaml").findings] == [left.left[0].message]
    assert "--reencode key1" in str(left.left[0].fix)
    result = repaired(text, reencode=["key1"])
    assert result.accepted
    assert materials(result.content) == [material if material is not None else secret.encode()]
    assert result.unused == ()


@pytest.mark.parametrize(
    ("secret", "cause"),
    [
        ("", ""),
        ("${ENCRYPTION_KEY}", "a placeholder of 17 characters: nobody fills it in"),
        ("<32-character-long-random-secret>", "a placeholder of 33 characters: nobody fills it in"),
        (f"<{'x' * 30}>", "a placeholder of 32 characters: nobody fills it in"),
        ("$(head -c 32 /dev/urandom)123456", "a placeholder of 32 characters: nobody fills it in"),
        ("a pass phrase of several words", "it has 30 characters)"),
        ("c2hvcnQ=", ""),
        (f"{'ab-' * 10}ab", "32 characters that are no base64: not encoded or 32 characters of base64 for URLs"),
    ],
)
def test_a_secret_without_exactly_one_reading_stays_whatever_the_user_says(secret: str, cause: str) -> None:
    text = with_secret(secret)
    result = repaired(text, reencode=["key1"])
    assert result.content == text.encode()
    assert result.unused == ("key1",)
    assert [one.message.partition(" (")[2][: len(cause)] for one in result.left] == [cause]


@pytest.mark.parametrize("text", [HEAD + BODY, LEGACY + BODY.replace("- identity: {}", "- identity:")])
def test_a_secret_that_the_server_accepts_is_never_changed(text: str) -> None:
    with pytest.raises(KeyInUseError, match="accepts the secret of the key key1") as caught:
        repaired(text, supply={"key1": OTHER})
    assert caught.value.asked == "key1"
    with pytest.raises(RefusedError, match="accepts the secret of the key key1"):
        repaired(text, reencode=["key1"])


def test_a_key_name_with_other_bytes_elsewhere_is_not_given_a_second_meaning() -> None:
    good, bad = (
        entry(resource, f"{{aescbc: {{keys: [{{name: key1, secret: {secret}}}]}}}}", "{identity: {}}")
        for resource, secret in (("secrets", rf'"{SECRET[:9]}\n{SECRET[9:]}"'), ("configmaps", "bm8="))
    )
    text = file(good, bad).decode()
    with pytest.raises(RefusedError, match="other bytes elsewhere") as caught:
        repaired(text, supply={"key1": OTHER})
    assert caught.value.rule == "R5"
    result = repaired(text, supply={"key1": KEY})
    assert materials(result.content) == [KEY, KEY]
    assert good.encode() in result.content


TWO_PROVIDERS = (
    '{"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", "resources": [{"resources": '
    '["secrets"], "providers": [{"aescbc": {"keys": [{"name": "a", "secret": "bm8="}]}}, {"secretbox": {"keys": '
    '[{"name": "a", "secret": "bm8="}]}}]}]}'
)
FRESH = {Provider.AESCBC: KEY, Provider.AESGCM: bytes(32), Provider.SECRETBOX: OTHER}


def test_of_a_name_under_two_providers_each_gets_bytes_of_its_own() -> None:
    result = repaired(TWO_PROVIDERS, fresh={"a": FRESH})
    assert materials(result.content) == [KEY, OTHER]
    assert result.unused == ()
    assert {one.sentence for one in result.done} == {"the secret of a is the base64 of 32 new bytes"}


def test_of_a_name_under_two_providers_one_can_be_asked_for() -> None:
    result = repaired(TWO_PROVIDERS, supply={"secretbox:a": OTHER})
    assert [one.location.line for one in result.left] == [1]
    assert str(result.left[0].fix).endswith("--supply a=KEYFILE, or make a new one: --generate a")
    assert (result.unused, len(result.done)) == ((), 1)
    assert materials(repaired(TWO_PROVIDERS, supply={"secretbox:a": OTHER, "aescbc:a": KEY}).content) == [KEY, OTHER]
    assert all("secretbox:a" in str(one.fix) or "aescbc:a" in str(one.fix) for one in repaired(TWO_PROVIDERS).left)
    for both in ({"a": OTHER, "aescbc:a": KEY}, {"aescbc:a": KEY, "a": OTHER}):
        with pytest.raises(WrongUsageError, match="two things are asked for the key"):
            repaired(TWO_PROVIDERS, supply=both)
    with pytest.raises(WrongUsageError, match="no key aesgcm:a") as caught:
        repaired(TWO_PROVIDERS, supply={"aesgcm:a": OTHER})
    assert caught.value.cause == "it has a"


def test_a_key_whose_name_begins_like_a_provider_is_meant_by_its_whole_name() -> None:
    text = TWO_PROVIDERS.replace('"a"', '"aescbc:a"', 1)
    result = repaired(text, supply={"aescbc:a": KEY, "secretbox:a": OTHER})
    assert materials(result.content) == [KEY, OTHER]
    assert materials(repaired(text, fresh={"aescbc:aescbc:a": FRESH, "a": FRESH}).content) == [KEY, OTHER]
    both = TWO_PROVIDERS.replace('[{"name": "a"', '[{"name": "aescbc:a", "secret": "bm8="}, {"name": "a"', 1)
    result = repaired(both, supply={"aescbc:a": KEY})
    assert (len(result.done), len(result.left), result.unused) == (1, 2, ())
    assert materials(repaired(both, supply={"aescbc:a": KEY, "a": OTHER}).content) == [KEY, OTHER, OTHER]


def test_names_and_lengths_of_supplied_keys_are_checked() -> None:
    text = with_secret("bm8=")
    with pytest.raises(WrongUsageError, match="no key key2"):
        repaired(text, supply={"key2": KEY})
    with pytest.raises(WrongUsageError, match="two things are asked for the key key1"):
        repaired(text, supply={"key1": KEY}, reencode=["key1"])
    with pytest.raises(UnusableInputError, match="31 bytes; aescbc takes 16 or 24 or 32"):
        repaired(text, supply={"key1": KEY[:31]})
    with pytest.raises(UnusableInputError, match="24 bytes; secretbox takes 32"):
        repaired(text.replace("aescbc", "secretbox"), supply={"key1": KEY[:24]})
    with pytest.raises(WrongUsageError) as caught:
        repaired(text, supply={SECRET: KEY})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "          secret:\n",
        "          secret: # later\n",
        "          secret: ~  # later\n",
        "          secret: ''\n",
        '          secret: "bm8="  # later\n',
        "          secret: |  # later\n            bm8=\n\n",
        "          secret: bm8=\n            bm8=\n",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_supplied_key_comes_into_any_form_of_field_and_all_else_stays(field: str, end: str) -> None:
    text = (HEAD + BODY.replace(f"          secret: {SECRET}  # from the vault\n", field)).replace("\n", end)
    result = repaired(text, supply={"key1": KEY})
    assert materials(result.content) == [KEY]
    assert ("# later" in field) == (b"# later" in result.content)
    without = re.sub(r" *secret:[^\r\n]*\r?\n", "", result.content.decode())
    assert without.split() == (HEAD + BODY).replace(f"secret: {SECRET}  # from the vault\n", "").split()


def test_a_supplied_key_comes_into_flow_style() -> None:
    for key in ("{name: key1}", "{name: key1, secret: }", '{"name": "key1", "secret": ""}', '{"name": key1}'):
        text = file(entry("secrets", f"{{aescbc: {{keys: [{key}]}}}}")).decode()
        assert materials(repaired(text, supply={"key1": KEY}).content) == [KEY]


def test_a_document_with_anchors_is_left_alone() -> None:
    text = with_secret("&a bm8=").replace("identity: {}", "identity:")
    assert repaired(text).content == text.encode()
    text = with_secret("&a bm8=")
    result = repaired(text, supply={"key1": KEY})
    assert (result.content, result.unused) == (text.encode(), ("key1",))


def test_what_the_server_accepts_though_it_is_wrong_is_told_and_left() -> None:
    text = file(entry("secrets, secret", "{identity: {}}")).decode()
    result = repaired(text)
    assert result.content == text.encode()
    assert {"KC-CFG-001", "KC-CFG-003"} <= {one.id for one in result.left}
    assert "keyctl enable" in str(next(one.fix for one in result.left if one.id == "KC-CFG-001"))


def test_no_key_is_in_what_is_told_or_shown() -> None:
    text, name = (HEAD + BODY).replace("          secret:", "        secret:"), base64.b64encode(OTHER).decode()
    result = repaired(text.replace("key1", name))
    assert result.done != ()
    wrong = repaired(with_secret(TWICE).replace("key1", name))
    assert "--generate NAME" in str(wrong.left[0].fix)
    for shown in (repr(result), repr(wrong)):
        assert [one for one in (SECRET, TWICE, name) if one[:8] in shown] == []


@given(documents(), st.sampled_from([27, 30, 31, 37]))
def test_an_accepted_document_comes_back_as_it_is(written: tuple[list[Written], Style], minor: int) -> None:
    content = join(written[0], written[1].end).encode()
    assert repairs(content, name="enc.yaml", server=Server(minor)).content == content


@given(documents(), st.data())
def test_whatever_was_wrong_the_result_is_accepted_as_what_was_meant_and_stays_so(
    written: tuple[list[Written], Style], data: st.DataObject
) -> None:
    lines, style = written
    meant = join(lines, style.end).encode()
    wrong = [
        replace(
            line,
            indent=data.draw(st.sampled_from([line.indent, line.indent, line.indent + " ", line.indent[:-2], "\t"])),
            text=line.text
            if line.comment
            else data.draw(
                st.sampled_from(
                    [
                        line.text,
                        line.text.replace("aescbc", "aesCBC").replace("providers", "Providers"),
                        line.text.replace("identity: {}", "identity:"),
                        line.text.replace("kind: EncryptionConfiguration", "kind: EncryptionConfig"),
                    ]
                )
            ),
        )
        for line in lines
        if line.text != "---"
    ]
    content = join(wrong, style.end).encode()
    result = repairs(content, name="enc.yaml")
    assert result.accepted
    if judge(content, name="enc.yaml").accepted:
        # A list element that is in too deep joins the one above it: a resource with a space, and all is accepted.
        assert config(result.content) == config(content)
        return
    assert config(result.content) == config(meant)
    assert repairs(result.content, name="enc.yaml").content == result.content


@given(documents(), KEY_NAMES, st.binary(max_size=60))
def test_no_text_makes_it_stumble_or_changes_an_accepted_key(
    written: tuple[list[Written], Style], name: str, noise: bytes
) -> None:
    content = join(written[0], written[1].end).encode()
    middle = len(content) // 2
    broken = content[:middle] + noise + content[middle:]
    result = repairs(broken, name="enc.yaml")
    assert result.accepted == judge(result.content, name="enc.yaml").accepted
    if judge(broken, name="enc.yaml").accepted:
        assert result.content == broken


def test_a_last_line_of_blanks_without_a_line_break_does_not_stop_a_repair() -> None:
    wrecked = HEAD + BODY.replace("          - name", "      - name").rstrip("\n") + "\n\t  "
    done = repairs(wrecked.encode(), name="enc.yaml")
    assert done.accepted or done.left
