"""The series of a kube-apiserver's metrics."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.kube.interface import Transformed
from keyctl.kube.metrics import PATH, TRANSFORMED_PATH, Metrics, parse_metrics, parse_transformed

_INFO = "apiserver_encryption_config_controller_last_config_info"
_RELOADS = "apiserver_encryption_config_controller_automatic_reloads_total"
_RELOADED_AT = "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds"
_OLD_SUCCESSES = "apiserver_encryption_config_controller_automatic_reload_success_total"
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
    assert parse_metrics(text) == Metrics("sha256:bb", "sha256:aa", 1795252120.57, 2, reloads=7)


def test_the_key_of_a_plugin_is_the_one_that_its_status_named_last() -> None:
    name = "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds"
    text = f"""\
{name}{{apiserver_id_hash="sha256:aa",key_id_hash="sha256:new",provider_name="vault"}} 1.8e+09
{name}{{apiserver_id_hash="sha256:aa",key_id_hash="sha256:old",provider_name="vault"}} 1.7e+09
{name}{{apiserver_id_hash="sha256:aa",key_id_hash="sha256:zz",provider_name="other"}} 1.6e+09
"""
    assert parse_metrics(text) == Metrics(None, "sha256:aa", kms_key_ids={"vault": "sha256:new", "other": "sha256:zz"})
    assert name in parse_qs(urlsplit(PATH).query)["name[]"]


def test_before_the_first_reload_nothing_is_said_of_reloads() -> None:
    seen = parse_metrics("process_start_time_seconds 5\n")
    assert (seen.reloads, seen.reloaded_at, seen.reload_failures) == (0, 0.0, 0)


def test_one_reload_that_is_told_under_two_names_counts_once() -> None:
    text = f"""\
{_RELOADS}{{apiserver_id_hash="sha256:aa",status="success"}} 3
{_RELOADS}{{apiserver_id_hash="sha256:aa",status="failure"}} 2
{_OLD_SUCCESSES}{{apiserver_id_hash="sha256:aa"}} 3
{_OLD_FAILURES}{{apiserver_id_hash="sha256:aa"}} 2
{_RELOADED_AT}{{apiserver_id_hash="sha256:aa",status="success"}} 1.7e+09
{_RELOADED_AT}{{apiserver_id_hash="sha256:aa",status="failure"}} 1.8e+09
"""
    assert parse_metrics(text) == Metrics(None, "sha256:aa", 0.0, 2, reloads=3, reloaded_at=1.7e9)


def test_the_counters_of_1_28_without_labels_are_read_too() -> None:
    seen = parse_metrics(f'{_OLD_SUCCESSES} 4\n{_OLD_FAILURES} 3\n{_RELOADED_AT}{{status="success"}} 1.7e+09\n')
    assert seen == Metrics(None, None, 0.0, 3, reloads=4, reloaded_at=1.7e9)


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
    assert {_RELOADS, _OLD_SUCCESSES, _OLD_FAILURES, _RELOADED_AT} <= set(parse_qs(urlsplit(PATH).query)["name[]"])


def test_what_a_server_has_read_and_written_is_told_apart() -> None:
    name = "apiserver_storage_transformation_operations_total"
    text = (
        f'{name}{{resource="secrets",status="OK",transformation_type="to_storage",transformer_prefix="k8s:enc:a:"}} 7\n'
        f'{name}{{resource="secrets",status="OK",transformation_type="from_storage",transformer_prefix="identity"}} 2\n'
        f'{name}{{status="Unknown",transformation_type="to_storage",transformer_prefix=""}} 1\n'
        "apiserver_storage_objects 3\n"
    )
    assert parse_transformed(text) == (
        Transformed("secrets", written=True, prefix="k8s:enc:a:", succeeded=True, count=7),
        Transformed("secrets", written=False, prefix="identity", succeeded=True, count=2),
        Transformed("", written=True, prefix="", succeeded=False, count=1),
    )
    assert parse_transformed("") == ()
    assert parse_qs(urlsplit(TRANSFORMED_PATH).query) == {"name[]": [name]}
