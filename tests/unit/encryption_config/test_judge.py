from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyctl.encryption_config import unread
from keyctl.encryption_config.decode import Decoded, attempt
from keyctl.encryption_config.judge import Judged, judge
from keyctl.encryption_config.server import NEWEST, OLDEST, Server
from keyctl.findings import Location, Status
from tests.support.encryption_document_agreement import NAME, server_of
from tests.support.encryption_document_parts import HEAD, IDENTITY, Written, entry, file, keys, secret
from tests.support.encryption_document_strategy import documents
from tests.support.encryption_documents import DOCUMENTS

_UNREAD = {rule.id for rule in unread.RULES}
_SERVERS = st.builds(Server, st.integers(OLDEST, NEWEST), st.sampled_from([None, True, False]))
# Any base64 text of a test key starts with these, however many bytes the key has, and so do its other spellings.
_STARTS = [secret(number, 48)[:12] for number in range(6)]
_KEY_TEXTS = [
    *_STARTS,
    *(base64.b64encode(text.encode()).decode()[:12] for text in _STARTS),
    *(base64.b64decode(text).hex()[:12] for text in _STARTS),
]


def _judged(document: Written) -> Judged:
    return judge(document.content, name=NAME, server=server_of(document.kubernetes, document.kms_v1))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_document_gets_its_verdict_its_rules_and_the_place_of_its_mistake(document: Written) -> None:
    judged = _judged(document)
    found = [finding for finding in judged.findings if finding.id.startswith("KC-CFG")]
    assert judged.accepted is document.accepted
    assert {finding.id for finding in found} == set(document.rules)
    if document.rules:
        first = next(finding for finding in found if finding.id == document.rules[0])
        assert first.location == Location(NAME, document.line, document.column)


@given(st.one_of(documents(), st.binary(max_size=60)), _SERVERS)
@settings(max_examples=200)
def test_any_bytes_get_a_verdict_and_a_reason(content: bytes, server: Server) -> None:
    judged = judge(content, name=NAME, server=server)
    assert (judged.decoded is not None) is (judged.accepted is True)
    if judged.accepted is not True:
        assert judged.findings
        assert (judged.accepted is None) is all(finding.id in _UNREAD for finding in judged.findings)
    for finding in judged.findings:
        assert finding.status is Status.FAIL
        assert finding.location.file == NAME
        assert "\n" not in finding.message + (finding.fix or "")


@given(documents(), _SERVERS)
@settings(max_examples=200)
def test_no_finding_ever_repeats_a_key(content: bytes, server: Server) -> None:
    judged = judge(content, name=NAME, server=server)
    said = " ".join(f"{finding.message} {finding.fix} {finding.id}" for finding in judged.findings) + repr(judged)
    assert not [text for text in _KEY_TEXTS if text in said]


def test_all_mistakes_of_a_document_are_told_in_the_order_of_the_file() -> None:
    content = file(
        entry("Secrets", keys(("a", "YQ=="))),
        entry("'*.*'", "{}", IDENTITY),
        entry("configmaps, configmaps", IDENTITY),
    )
    judged = judge(content.encode(), name=NAME)
    assert [(finding.id, finding.location.line) for finding in judged.findings] == [
        ("KC-CFG-122", 4),
        ("KC-CFG-136", 5),
        ("KC-CFG-130", 7),
        ("KC-CFG-129", 8),
        ("KC-CFG-127", 8),
        ("KC-CFG-129", 8),
    ]


def test_one_mistake_of_the_servers_outweighs_what_keyctl_does_not_read() -> None:
    assert judge(file(entry("é", IDENTITY)).encode(), name=NAME).accepted is None
    assert judge(file(entry("é, '*'", IDENTITY)).encode(), name=NAME).accepted is False


def test_what_older_servers_ignore_is_told_with_its_place() -> None:
    content = (HEAD + "- {resources: [secrets], x: 1, providers: [{identity: {}}]}\n").encode()
    result = attempt(content, name=NAME, server=Server(30))
    assert isinstance(result, Decoded)
    assert [(one.line, one.column) for one in result.ignored] == [(4, 26)]
    assert judge(content, name=NAME, server=Server(31)).accepted is False


def test_required_resources_are_looked_for() -> None:
    content = file(entry("secrets", keys(("a", secret())))).encode()
    ids = [finding.id for finding in judge(content, name=NAME, required=("secrets", "configmaps")).findings]
    assert "KC-CFG-002" in ids
    assert "KC-CFG-002" not in [finding.id for finding in judge(content, name=NAME).findings]
