"""The reader on inputs made to exhaust it: each ends in one line or in a result, in bounded time and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

import pytest

from keyctl.cli.files import LIMIT
from tests.fuzz.hostile import CASES, CASES_TO_REPAIR, CASES_TO_VIEW, MANIFESTS, content_of

ROOT = Path(__file__).parents[2]
# The slowest takes a quarter of the time. No clock is looked at: machines are shared and noisy.
SECONDS, MEMORY = 20, 1 << 30
NOT_A_CONFIGURATION = "not an EncryptionConfiguration"
DEEP = "nested more than 50 levels deep"
ACCEPTED = ""

# What is said of each, without the place.
OUTCOMES = {
    "empty": "the file is empty",
    "white space": "the file holds no document",
    "a null document": "the first document is empty",
    "comments": "the file holds no document",
    "comments in a good file": ACCEPTED,
    "blank lines in a good file": ACCEPTED,
    "documents": ACCEPTED,
    "documents with content": ACCEPTED,
    "billion laughs": "too many values once aliases are expanded",
    "quadratic aliases": "too many values once aliases are expanded",
    "anchors": ACCEPTED,
    "aliases": "too many values once aliases are expanded",
    "an anchor in itself": "an alias without a complete anchor before it",
    "one anchor again and again": "the same resource twice in one list",
    "a long anchor": "an empty or missing list",
    "tags": "the same resource twice in one list",
    "a long tag": "not YAML",
    "directives": "not YAML",
    "other directives": "not YAML",
    "merge keys": "YAML merge keys are not read by keyctl",
    "brackets": DEEP,
    "brackets and ends": DEEP,
    "brackets on lines": DEEP,
    "braces": "not JSON",
    "braces in YAML": DEEP,
    "flow mappings": DEEP,
    "flow mappings on lines": DEEP,
    "dashes": DEEP,
    "dashes and fields": "not YAML",
    "question marks": DEEP,
    "block indentation": DEEP,
    "block indentation of lists": DEEP,
    "JSON lists": "nested too deeply",
    "JSON mappings": "nested too deeply",
    "JSON lists without an end": "nested too deeply",
    "one line": "the top level should be a mapping, and is text",
    "one key of a mapping": "not YAML",
    "one quoted line": "the top level should be a mapping, and is text",
    "one quote without an end": "not YAML",
    "quotes": "the top level should be a mapping, and is text",
    "escapes": "capital letters in a resource name",
    "folded lines": NOT_A_CONFIGURATION,
    "a literal block": NOT_A_CONFIGURATION,
    "a literal block of blanks": NOT_A_CONFIGURATION,
    "many lines of one plain text": NOT_A_CONFIGURATION,
    "colons": "not YAML",
    "commas": "not YAML",
    "commas between nothing": "not YAML",
    "blanks": "the top level should be a mapping, and is text",
    "tabs": NOT_A_CONFIGURATION,
    "a long number": ACCEPTED,
    "a long number of base 16": ACCEPTED,
    "a long number of base 2": ACCEPTED,
    "a long fraction": ACCEPTED,
    "a long exponent": ACCEPTED,
    "underscores": "should be text, and is a number",
    "a long JSON number": NOT_A_CONFIGURATION,
    "a long cachesize": "should be a whole number of 32 bits",
    "a long secret": "bytes once decoded; this provider takes 16 or 24 or 32",
    "a long secret that is no base64": "the secret is not standard base64",
    "a long secret of line breaks": "the secret has 0 bytes once decoded",
    "keys": ACCEPTED,
    "keys of one name": ACCEPTED,
    "keys without a secret": "a key without a secret",
    "null keys": "a key without a name",
    "entries": ACCEPTED,
    "entries in JSON": ACCEPTED,
    "entries of secrets": ACCEPTED,
    "masked entries": "masked by '*.*'",
    "entries of one group's wildcard": ACCEPTED,
    "null entries": "an empty or missing list",
    "providers": ACCEPTED,
    "null providers": "no provider is set",
    "KMS providers": ACCEPTED,
    "KMS providers of one name": "a KMS provider name that stands twice",
    "a long duration": ACCEPTED,
    "a long duration of digits": "not a positive duration",
    "no duration": "not a positive duration",
    "an endpoint": ACCEPTED,
    "resources and keys": ACCEPTED,
    "resources": ACCEPTED,
    "resources of groups": ACCEPTED,
    "wildcards of groups": ACCEPTED,
    "wildcards that cover": "'*.g0' covers other resources of the same list",
    "one resource again and again": "the same resource twice in one list",
    "everything again and again": "the same resource twice in one list",
    "everything, then resources": "'*.*' covers other resources of the same list",
    "capitals": "capital letters in a resource name",
    "a long resource": ACCEPTED,
    "a resource of dots": ACCEPTED,
    "fields that stand twice": "a field that stands twice in one mapping",
    "JSON fields that stand twice": "a field that stands twice in one mapping",
    "unknown fields": "unknown field at the top level",
    "unknown fields of keys": "unknown field at resources[0].providers[0].aescbc.keys[0]",
    "wrong types": "should be a list, and is text",
    "templates": "not JSON",
    "templates as values": "an unrendered template",
    "binary": "not UTF-8 text",
    "NUL bytes": "not UTF-8 text",
    "a NUL byte at the end": "not UTF-8 text",
    "Latin-1": "not UTF-8 text",
    "UTF-16": "not UTF-8 text",
    "UTF-16 without a mark": "not UTF-8 text",
    "UTF-32": "not UTF-8 text",
    "a byte order mark": ACCEPTED,
    "byte order marks": "a byte order mark inside the text",
    "control characters": "a control character that YAML does not allow, U+001B",
    "half a character": "not UTF-8 text",
    "overlong characters": "not UTF-8 text",
    "surrogates": "not UTF-8 text",
    "carriage returns": "a field that stands twice in one mapping",
    "line separators": "a field that stands twice in one mapping",
}


class Outcome(TypedDict):
    """What `tests.fuzz.hostile` prints."""

    exit: int
    message: str
    cause: str | None
    hints: list[str]


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run_within_limits(case: str) -> Outcome:
    child = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.hostile", case],
        cwd=ROOT, preexec_fn=_limit, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 0, f"ended with {child.returncode}: {child.stderr[-2000:]}"
    outcome: Outcome = json.loads(child.stdout)
    return outcome


@pytest.mark.parametrize("case", CASES)
def test_an_input_made_to_exhaust_the_reader_ends_in_one_line_or_in_a_result(case: str) -> None:
    outcome = run_within_limits(case)
    if OUTCOMES[case] == ACCEPTED:
        assert outcome["exit"] == 0
        return
    assert OUTCOMES[case] in outcome["message"]
    assert_one_line_each(outcome)


@pytest.mark.parametrize("case", [*CASES_TO_REPAIR, *CASES_TO_VIEW])
def test_a_large_input_is_repaired_and_shown_without_a_blow_up(case: str) -> None:
    assert run_within_limits(case)["exit"] == 0


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_large_manifest_is_read_judged_and_repaired_without_a_blow_up(case: str) -> None:
    outcome = run_within_limits(case)
    if outcome["exit"]:
        assert_one_line_each(outcome, exit_code=5 if "another value" in outcome["message"] else 3)


def assert_one_line_each(outcome: Outcome, *, exit_code: int = 3) -> None:
    assert outcome["exit"] == exit_code
    assert outcome["hints"]
    for line in (outcome["message"], outcome["cause"] or "", *outcome["hints"]):
        assert line.isprintable()
        assert len(line) < 300


def test_no_such_input_is_one_that_is_refused_for_its_size() -> None:
    assert {case for case in (*CASES, *MANIFESTS) if len(content_of(case)) > LIMIT} == set()


@pytest.mark.parametrize(
    ("code", "why"),
    [("resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass", ""), ("bytes(2 << 30)", "MemoryError")],
    ids=["time", "memory"],
)
def test_what_does_exhaust_it_ends_the_child(code: str, why: str) -> None:
    command = [sys.executable, "-c", f"import resource; {code}"]
    child = subprocess.run(command, preexec_fn=_limit, capture_output=True, text=True, check=False)
    assert child.returncode != 0
    assert why in child.stderr
