"""The series of a kube-apiserver's metrics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.kube.metrics import PATH, Metrics, parse_metrics

_INFO = "apiserver_encryption_config_controller_last_config_info"
_RELOADS = "apiserver_encryption_config_controller_automatic_reloads_total"
_OLD_FAILURES = "apiserver_encryption_config_controller_automatic_reload_failures_total"


def test_hash_identity_start_and_failures_are_read_among_other_series() -> None:
    text = f"""\
# HELP {_INFO} [ALPHA] Information
# TYPE {_INFO} gauge
{_INFO}{{apiserver_id_hash="sha256:aa",hash="sha256:bb"}} 1
{_RELOADS}{{apiserver_id_hash="sha256:aa",status="success"}} 7
{_RELOADS}{{apiserver_id_hash="sha256:aa",status="failure"}} 2
process_start_time_seconds 1.79525212057e+09
process_start_time_seconds_other 3
go_goroutines 5
"""
    assert parse_metrics(text) == Metrics("sha256:bb", "sha256:aa", 1795252120.57, 2)


def test_failures_are_counted_under_their_older_name_too() -> None:
    assert parse_metrics(f'{_OLD_FAILURES}{{apiserver_id_hash="x"}} 3\n').reload_failures == 3


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="no metric"),
        pytest.param(f'{_INFO}{{apiserver_id_hash="a",hash="h"}} 0\n', id="a series that is switched off"),
        pytest.param(
            f'{_INFO}{{apiserver_id_hash="a",hash="h1"}} 1\n{_INFO}{{apiserver_id_hash="a",hash="h2"}} 1\n',
            id="two hashes at once",
        ),
        pytest.param(f"{_INFO} 1\n", id="no labels"),
    ],
)
def test_no_single_hash_is_no_hash(text: str) -> None:
    assert parse_metrics(text).loaded_hash is None


def test_braces_and_escapes_in_labels_do_not_confuse() -> None:
    text = f'{_INFO}{{apiserver_id_hash="a\\"}} 1",hash="sha256:bb"}} 1\n'
    assert parse_metrics(text).loaded_hash == "sha256:bb"


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    assert parse_metrics(text).loaded_hash is None
    assert parse_metrics(f"process_start_time_seconds {text}").reload_failures == 0


def test_only_the_needed_series_are_asked_for() -> None:
    assert PATH.startswith("/metrics?name%5B%5D=")
    assert _INFO in PATH
    assert "process_start_time_seconds" in PATH
