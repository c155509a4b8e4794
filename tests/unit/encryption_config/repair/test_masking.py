"""Diffs without keys: what shows, what does not, whatever form the key has."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyctl.encryption_config.repair.masking import masked_diff
from tests.unit.encryption_config.repair.test_relayout import GOOD
from tests.unit.encryption_config.written import SECRETS

KEY = base64.b64encode(bytes(range(3, 35))).decode()
OTHER = base64.b64encode(bytes(range(77, 109))).decode()


def both_sides(text: str) -> str:
    """`text` as a diff shows it when all of it is new."""
    return masked_diff("", text, name="enc.yaml")


def shown(text: str) -> str:
    """The lines of `text` as a diff shows them."""
    return "".join(f"{line[1:]}\n" for line in both_sides(text).splitlines()[3:])


def test_equal_texts_have_no_diff() -> None:
    assert masked_diff(GOOD, GOOD, name="enc.yaml") == ""


def test_a_moved_secret_shows_as_moved_and_as_the_same() -> None:
    diff = masked_diff(f"keys:\n- name: a\n secret: {KEY}\n", f"keys:\n- name: a\n  secret: {KEY}\n", name="enc.yaml")
    assert diff.splitlines() == [
        "--- enc.yaml",
        "+++ enc.yaml, fixed",
        "@@ -1,3 +1,3 @@",
        " keys:",
        " - name: a",
        "- secret: <secret 1>",
        "+  secret: <secret 1>",
    ]


def test_a_replaced_secret_shows_as_another_one() -> None:
    diff = masked_diff(f"- secret: {KEY}\n- secret: {OTHER}", f"- secret: {KEY}\n- secret: {KEY}", name="e")
    assert diff.splitlines()[-2:] == ["-- secret: <secret 2>", "+- secret: <secret 1>"]


def test_quotes_around_a_secret_show_when_they_are_what_changes() -> None:
    diff = masked_diff("secret: 12345678901234567890\n", 'secret: "12345678901234567890"\n', name="e")
    assert diff.splitlines()[-2:] == ["-secret: <secret 1>", '+secret: "<secret 1>"']


def test_only_line_ends_changed_is_said() -> None:
    assert "white space at line ends" in masked_diff("kind: a\n", "kind: a \n", name="e")


def test_all_that_is_no_key_is_readable() -> None:
    text = """---
# Ask the platform team, see /etc/kubernetes/enc/readme.txt before you edit.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets, customresourcedefinitions.apiextensions.k8s.io]
  - resources:
      - validatingwebhookconfigurations.admissionregistration.k8s.io  # too
      - '*.apps'
    providers:
      - kms:
          apiVersion: v2
          name: my-very-long-plugin-name-of-2026
          endpoint: unix:///var/run/kmsplugin/socket.sock
          timeout: 3s
      - aescbc:
          keys:
            - name: key-20261121t100000z-ab12
      - identity: {}
"""
    assert shown(text) == text


def test_flags_of_a_manifest_are_readable() -> None:
    text = """apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 192.168.0.7:6443
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml
    - --encryption-provider-config-automatic-reload=true
    - --etcd-servers=https://127.0.0.1:2379
    - --service-account-signing-key-file=/etc/kubernetes/pki/sa.key
    - --profiling=false
    image: registry.k8s.io/kube-apiserver:v1.37.1
    volumeMounts:
    - {mountPath: /etc/kubernetes/enc, name: keyctl-encryption, readOnly: true}
  volumes:
  - hostPath: {path: /etc/kubernetes/enc, type: DirectoryOrCreate}
    name: keyctl-encryption
"""
    assert shown(text) == text


def test_what_a_manifest_may_hold_of_secrets_is_masked() -> None:
    text = f"""kind: Pod
spec:
  containers:
  - command:
    - kube-apiserver
    - --webhook-token=correct-horse
    - --basic-auth-password=correct-horse
    - --key={KEY}
    env:
    - name: PLACE
      value: correct-horse
    - {{name: OTHER, password: correct-horse, {KEY[:-1]}: a}}
    - name: "correct

        horse"
"""
    readable = shown(text)
    assert "correct" not in readable
    assert readable_parts(KEY, readable) == []
    assert "- --webhook-token=<secret " in readable
    assert "- name: PLACE" in readable


def test_a_comment_after_a_whole_secret_is_readable_and_one_in_a_block_is_not() -> None:
    assert shown(f"secret: {KEY}\n# next\n- name: b\n") == "secret: <secret 1>\n# next\n- name: b\n"
    assert "next" not in shown(f"secret: |\n  {KEY}\n# next\n- name: b\n")


def test_a_control_character_is_escaped() -> None:
    assert "\x1b" not in shown("kind: \x1b[31mred\n")


FORMS = [
    "secret: {key}",
    "- secret: {key}  # mine",
    'secret: "{key}"',
    "secret: '{key}'",
    "secret : {key}",
    "secret:{key}",
    "secret={key}",
    "SECRET:\t{key}",
    '"secret": "{key}",',
    "'secret': {key}",
    "# secret: {key}",
    "  #   - secret: {key}",
    "keys: [{{name: a, secret: {key}}}]",
    '{{"name": "a", "secret": "{key}"}}]}}',
    "{{secret: {key}, name: a}}",
    "? secret\n: {key}",
    "secret:\n  {key}",
    "secret:\n\n# why\n  {key}",
    "secret: |\n  {first}\n  {middle}\n  {last}\n",
    "secret: >-  # folded\n  {first}\n\n  {middle}\n  {last}\n",
    'secret: "{first}\\\n  {middle}\\\n  {last}"',
    "secret: '{first}\n  {middle}\n\n  {last}'",
    "secret: {first}\n  {middle}\n  {last}\n",
    "# secret: |\n#   {first}\n#   {middle}\n#   {last}\n",
    "# secret: |\n#\n#   {first}\n#   {middle}\n#   {last}\n",
    "secret: &a {key}",
    "secret: !!str {key}",
    "secret: !!binary |\n  {first}\n  {middle}\n  {last}",
    "key: {key}",
    "name: {key}",
    "# old: {key}",
    "# {key}",
    "#{key}",
    "{key}",
    "- {key}",
    "\t{key}",
    "kind: [{key}]",
    "resources: [{key}]",
    "secrte: {key}  # a typo",
    "endpoint: unix:///{key}",
    "{first}\n{middle}\n{last}",
    "secret: {urls}",
    "was: {urls}",
    "# {urls}",
]


def written(form: str, key: str) -> str:
    urls = key.replace("+", "-").replace("/", "_")
    return form.format(key=key, urls=urls, first=key[:10], middle=key[10:25], last=key[25:])


def readable_parts(key: str, diff: str) -> list[str]:
    """The runs of eight characters of the key that `diff` shows."""
    urls = key.replace("+", "-").replace("/", "_")
    return [one[i : i + 8] for one in (key, urls) for i in range(len(key) - 7) if one[i : i + 8] in diff]


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_key_shows_whatever_form_it_has(form: str) -> None:
    text = f"- name: a\n{written(form, KEY)}\n- identity: {{}}\n"
    assert readable_parts(KEY, both_sides(text)) == []
    assert "identity: {}" in both_sides(text)


@given(st.lists(st.tuples(st.sampled_from(FORMS), SECRETS), min_size=1, max_size=6), st.data())
@example([("secret: {key}", KEY)], None).via("a document without damage")
def test_no_part_of_any_key_shows_in_a_broken_document(keys: list[tuple[str, str]], data: st.DataObject | None) -> None:
    texts = []
    for _ in range(2):
        lines = [
            *"apiVersion: a\nkind: b\nresources:\n- resources: [secrets]\n  providers:\n  - aescbc:\n".splitlines(),
            *(line for form, key in keys for line in f"- name: a\n{written(form, key)}\n- identity: {{}}".splitlines()),
        ]
        if data is not None:
            for number in data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=5)):
                lines[number] = data.draw(st.sampled_from(["", " ", "\t", "     "])) + lines[number].lstrip()
            # A file that was cut off; where it is cut within a key, too little may be left to know it by.
            del lines[data.draw(st.integers(1, len(lines)) | st.just(len(lines))) :]
        texts.append("\n".join(lines))
    diff = masked_diff(*texts, name="enc.yaml")
    assert [part for _, key in keys for part in readable_parts(key, diff)] == []


def test_a_megabyte_of_anything_is_masked_at_once() -> None:
    for text in ("-_" * 500_000, "a" * 1_000_000, "/a" * 500_000, "secret: '" * 100_000, "#" * 1_000_000):
        assert len(masked_diff("", text, name="e")) < 2_000_000


PASSPHRASES = [
    "correct-horse-battery-staple",
    "correct_horse_battery_staple",
    "correct.horse.battery.staple",
    "correct horse battery staple",
    "correcthorsebatterystaple",
    "Tr0ub4dor&3-wrong",
    "aa:bb:cc:dd:ee:ff:ab:cd:ef:fe:dc:ba",
    "0xABCD,0xEFAB,0xCDEF",
    KEY[:-1],
    bytes(range(3, 35)).hex(),
    bytes(range(160, 192)).hex(" "),
]
PLACES = [
    "secert: {text}",
    "password: {text}",
    "pass_word: {text}",
    'key: "{text}"',
    "k: '{text}'",
    "note: |\n  {text}\n",
    "note: |\n  # {text}\n",
    "note: >-\n  see: {text}\n",
    "providers: {text}",
    "aescbc: {{keys: {text}}}",
    "identity: {text}",
    "secret: [{text}]",
    "secret: {{a: {text}}}",
    "timeout: {text}",
    "cachesize: {text}",
    "providers: [{text}]",
    "providers:\n- {text}",
    "keys:\n- '{text}'",
    "# secret: {text}",
    "# the password is {text}",
    "# SECRET:\n#  {text}",
    "# key={text}",
    '"secr\\u0065t": "{text}"',
    '"\\x73ecret": "{text}"',
    "'{text}': a",
    "? {text}\n: a",
    "x: a  # token {text}",
    "x: &a {text}",
    "x: !!str {text}",
    "name: &{text} a",
    "resources:\n- &{text} pods",
    "secret: |\n  secrets\n  {text}",
    "secret: '\n  {text}'",
    "name: 'a\n\n  {text}'",
    "name:\n- {text}",
    "a: b\n---\nc: {text}",
]
# What stands before makes a text that can be read, and one that cannot.
BEFORE = ["", "a: [}\n"]


def words_of(text: str) -> list[str]:
    return [text[start : start + 5] for start in range(len(text) - 4)]


@pytest.mark.parametrize("before", BEFORE, ids=["nodes", "lines"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", PASSPHRASES)
def test_no_passphrase_shows_where_no_name_belongs(text: str, place: str, before: str) -> None:
    diff = both_sides(f"{before}{place.format(text=text)}\n")
    # In comments every word stands for itself, and short words without a digit are readable.
    assert [word for word in words_of(text) if word in diff] == []


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY[:-1],
        "Vq8mZr2TnK5wXe1cJb7yHd4sUa9fLg3P",
        bytes(range(160, 192)).hex(":"),
        bytes(range(160, 176)).hex(),
        "VqbmZrfTnKgwXehcJbiyHdjsUakfLglP",
    ],
)
@pytest.mark.parametrize(
    "place",
    ["name: {text}", "kind: {text}", "apiVersion: {text}", "endpoint: unix:///{text}", "resources: ['{text}']"],
)
@pytest.mark.parametrize("before", BEFORE, ids=["nodes", "lines"])
def test_no_key_shows_where_a_name_belongs(text: str, place: str, before: str) -> None:
    assert [word for word in words_of(text) if word in both_sides(f"{before}{place.format(text=text)}\n")] == []


@pytest.mark.parametrize(
    "text",
    [
        "correct-horse-battery-staple",
        "correct_horse",
        "correcthorsebatterystaple",
        "Tr0ub4dor",
        "0xAB,0xCD",
        bytes(range(160, 192)).hex(":"),
        bytes(range(160, 192)).hex(" "),
        KEY[:9],
        "passwörter",
    ],
)
@pytest.mark.parametrize("before", BEFORE, ids=["nodes", "lines"])
def test_no_long_or_odd_word_of_a_comment_shows(text: str, before: str) -> None:
    diff = both_sides(f"{before}x: 1  # see {text} and\n# then {text}\n")
    assert [word for word in words_of(text) if word in diff] == []
    assert "<secret " in diff


@pytest.mark.parametrize("before", BEFORE, ids=["nodes", "lines"])
def test_what_was_a_secret_above_does_not_hide_what_is_none_below(before: str) -> None:
    text = f"secret: |\n  {KEY}\nname: a\n# some words\nkind: b\n# old secret: hunter2\nresources: []\n# other words\n"
    diff = both_sides(before + text)
    assert "# some words" in diff
    assert "# other words" in diff
    assert "# old secret: <secret " in diff
    assert KEY[:8] not in diff


@pytest.mark.parametrize("before", BEFORE, ids=["nodes", "lines"])
def test_a_name_that_is_the_text_of_a_secret_does_not_show(before: str) -> None:
    text = "aescbc: {keys: [{name: tea-and-biscuits, secret: tea-and-biscuits}]}\n"
    assert "biscuits" not in both_sides(before + text)
    assert "biscuits" in both_sides(before + text.replace("secret: tea-and", "secret: coffee-and"))


def test_a_text_behind_an_alias_shows_only_if_it_may_in_all_its_places() -> None:
    assert "pods" in shown("- resources: &a [pods]\n- resources: *a\n")
    assert "pods" not in shown("- resources: &a [pods]\n- keys: *a\n")
    assert "biscuits" not in shown("- name: &a tea-and-biscuits\n- secret: *a\n")


def test_a_field_inside_a_secret_of_several_lines_does_not_show() -> None:
    assert "biscuits" not in shown("secret: |\n  name: tea-and-biscuits\n")


@pytest.mark.parametrize("tab", ["  ", "\t"], ids=["nodes", "lines"])
def test_of_a_tutorials_file_all_but_the_key_is_readable(tab: str) -> None:
    text = f"""kind: EncryptionConfig
apiVersion: v1
resources:
  - resources:
{tab}- secrets
{tab}- configmaps
{tab}- pandas.awesome.bears.example # a custom resource
    providers:
{tab}- aescbc:
        keys:
        - name: key1
          secret: {KEY}
        - name: "key2"
          secret: <BASE 64 ENCODED SECRET>
    # plaintext, as a fallback
    - kms: {{apiVersion: v2, name: vault, endpoint: unix:///var/run/kms.sock, timeout: 3s, cachesize: 10}}
{tab}- identity: {{}}
"""
    masked = text.replace(KEY, "<secret 1>").replace("<BASE 64 ENCODED SECRET>", "<secret 2>")
    assert shown(text) == masked


def test_json_is_readable_but_for_its_keys() -> None:
    text = f"""{{
  "apiVersion": "apiserver.config.k8s.io/v1",
  "kind": "EncryptionConfiguration",
  "resources": [{{"resources": ["secrets", "*.apps"], "providers": [
    {{"aescbc": {{"keys": [{{"name": "key1", "secret": "{KEY}"}}]}}}}, {{"identity": {{}}}}]}}]
}}
"""
    assert shown(text) == text.replace(KEY, "<secret 1>")


def test_a_repair_of_what_is_no_yaml_shows_only_what_it_changes() -> None:
    before = f"resources:\n\t- secrets\nproviders:\n- secret: {KEY}\n  password: a-b\n"
    diff = masked_diff(before, before.replace("\t", "  "), name="e")
    assert [line for line in diff.splitlines()[3:] if line[0] in "+-"] == ["-\t- secrets", "+  - secrets"]
