"""What keyctl makes of an encryption configuration is what kube-apiserver's own loader makes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.judge import Judged
from tests.oracle_runs import __main__ as oracle_runs
from tests.support.encryption_document_agreement import Compared, compare, misreadings, server_of
from tests.support.encryption_document_parts import Written, entry, file, keys, secret
from tests.support.encryption_document_strategy import documents
from tests.support.encryption_documents import DOCUMENTS
from tests.support.oracle import MODULE_FILES, Loaded, oracle

_IDS = [document.name for document in DOCUMENTS]
_A, _B = keys(("a", secret(1))), keys(("b", secret(2)))
_IDENTITY = "{identity: {}}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=_IDS)
def test_a_document_gets_the_servers_verdict_and_is_read_as_the_server_reads_it(document: Written) -> None:
    compared = compare(document.content, document.kubernetes, document.kms_v1)
    assert compared.difference is None
    assert compared.judged.accepted is document.accepted


@pytest.mark.parametrize("kubernetes", MODULE_FILES)
def test_no_document_is_judged_otherwise_than_by_the_server_of_any_version(kubernetes: str) -> None:
    differences = {one.name: compare(one.content, kubernetes).difference for one in DOCUMENTS}
    assert {name: told for name, told in differences.items() if told} == {}


@settings(max_examples=500, derandomize=True)
@given(documents(), st.sampled_from(tuple(MODULE_FILES)))
def test_keyctl_never_accepts_refuses_or_reads_a_made_up_file_otherwise_than_the_server(
    content: bytes, kubernetes: str
) -> None:
    assert compare(content, kubernetes).difference is None


@pytest.mark.parametrize(
    ("read", "loaded"),
    [
        pytest.param(file(entry("secrets", _A, _B)), file(entry("secrets", _B, _A)), id="another order of elements"),
        pytest.param(
            file(entry("secrets", keys(("a", secret(1)), ("b", secret(2))))),
            file(entry("secrets", keys(("a", secret(1)), ("c", secret(2))))),
            id="another name",
        ),
        pytest.param(file(entry("secrets", _A)), file(entry("secrets", keys(("a", secret(3))))), id="other bytes"),
        pytest.param(
            file(entry("secrets", _A)),
            file(entry("secrets", keys(("a", secret(1)), provider="aesgcm"))),
            id="a provider",
        ),
        pytest.param(file(entry("secrets", _A, _IDENTITY)), file(entry("secrets", _A)), id="no plaintext"),
        pytest.param(file(entry("secrets", _A)), file(entry("secrets", _A, _IDENTITY)), id="plaintext"),
        pytest.param(
            file(entry("secrets", _A, _IDENTITY)), file(entry("secrets", _IDENTITY, _A)), id="plaintext first"
        ),
        pytest.param(file(entry("secrets", _A)), file(entry("configmaps", _A)), id="another resource"),
        pytest.param(file(entry("'*.'", _A)), file(entry("secrets", _A)), id="no wildcard"),
        pytest.param(file(entry("'*.*'", _A)), file(entry("'*.'", _A)), id="a smaller wildcard"),
        pytest.param(
            file(entry("secrets", _A), entry("secrets", _B)), file(entry("secrets", _A)), id="a second entry left out"
        ),
    ],
)
def test_a_reading_that_is_not_the_servers_is_noticed(read: str, loaded: str) -> None:
    taken = decode(read.encode(), name="enc.yaml").config
    assert misreadings(taken, loaded.encode(), oracle())
    assert not misreadings(taken, read.encode(), oracle())


def test_keyctl_and_the_oracle_are_asked_about_the_same_version() -> None:
    assert [server_of(kubernetes).minor for kubernetes in MODULE_FILES] == [37, 30, 28]


def _long_run(monkeypatch: pytest.MonkeyPatch, answer: Callable[[bytes, str], Compared]) -> Result:
    monkeypatch.setattr(oracle_runs, "compare", answer)
    return CliRunner().invoke(oracle_runs.main, ["--examples", "100", "--seed", "1"])


def _as_if(judged_as: bool, difference: str | None) -> Compared:
    return Compared(Judged(judged_as, None, ()), Loaded(judged_as), difference)


def test_the_long_run_ends_with_the_smallest_file_that_shows_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _long_run(monkeypatch, lambda content, _: _as_if(True, "a is read as b" if b"s" in content else None))
    assert result.exit_code == 1
    assert "DIFFERENT on Kubernetes 1.37: a is read as b" in result.stdout
    (shown,) = (line for line in result.stdout.splitlines() if line.startswith("the file: "))
    assert len(shown) < 300


def test_the_long_run_counts_what_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _long_run(monkeypatch, lambda _, kubernetes: _as_if(kubernetes != "1.28", None))
    assert result.exit_code == 0
    seen = [line.split() for line in result.stdout.splitlines() if line.startswith("Kubernetes")]
    assert sum(int(words[2]) for words in seen) == 100
    assert [words[4] == words[2] for words in seen] == [True, True, False]


def test_the_long_run_fails_when_hardly_anything_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _long_run(monkeypatch, lambda *_: _as_if(False, None)).exit_code == 1
