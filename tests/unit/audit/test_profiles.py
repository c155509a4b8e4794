"""Profiles are data: every id stands for a check that there is, and every id that is known has a check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keyctl.audit.checks.catalogue import RULES
from keyctl.audit.engine import audit, finding
from keyctl.audit.profiles import profile as profile_module
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.audit.profiles.profile import Profile
from keyctl.findings import Severity
from tests.unit.audit.given import etcd, facts

IDS = {rule.id for rule in RULES}
# What is about the run, and belongs to every profile.
META = {"KC-META-001", "KC-META-002"}
FRAMEWORKS = ("stig", "nsa", "nist-800-53", "pci-4.0.1", "iso-27001", "soc2", "hipaa")

# The ids that are known from sources that were read: kube-bench and prowler for CIS, diki's rules
# for the STIG, and the OSCAL content of NIST for the moderate baseline.
CIS = {
    *("1.1.1", "1.1.2", "1.1.7", "1.1.8", "1.1.11", "1.1.12", "1.1.19", "1.1.20", "1.1.21", "1.2.6", "1.2.7", "1.2.8"),
    *("1.2.16", "1.2.17", "1.2.18", "1.2.19", "1.2.23", "1.2.26", "1.2.27", "1.2.28", "1.2.29"),
    *("2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "3.2.1", "3.2.2"),
}
STIG = {
    f"V-{number}"
    for number in (
        *(242379, 242380, 242402, 242403, 242405, 242408, 242413, 242418, 242423, 242426, 242427, 242428, 242429),
        *(242430, 242431, 242432, 242433, 242443, 242445, 242451, 242459, *range(242461, 242468), 274882),
    )
}
MODERATE = {
    *("AC-3", "AC-4", "AC-6", "AU-2", "AU-3", "AU-6", "AU-9", "AU-11", "AU-12", "CM-6", "CM-7", "CP-9", "CP-9(1)"),
    *("CP-9(8)", "CP-10", "IA-5(2)", "RA-5", "SA-22", "SC-7", "SC-8(1)", "SC-12", "SC-13", "SC-17", "SC-28"),
    *("SC-28(1)", "SI-2", "SI-4", "SI-7"),
}
DEMANDS = {"etcd-encryption", "etcd-tls", "etcd-ca", "etcd-network", "audit-logs", "updates"}
READ = {
    "pci-4.0.1": {"3.5.1", "3.6.1.2"},
    "iso-27001": {"A.8.24"},
    "soc2": {"CC6.1"},
    "hipaa": {"164.312(a)(2)(iv)"},
}


def named(profile: Profile) -> set[str]:
    return {control for controls in profile.controls.values() for control in controls}


def beside_checks(framework: str) -> set[tuple[str, str]]:
    """(check, id) of every id of the framework that stands beside a check."""
    prefix = f"{framework}/"
    return {(rule.id, one.removeprefix(prefix)) for rule in RULES for one in rule.mappings if one.startswith(prefix)}


def test_the_profiles_that_there_are() -> None:
    assert set(PROFILES) == {"ci-static", "host", "minimal", "cis-1.12", "cis-2.0.1", *FRAMEWORKS, "all"}
    folder = Path(profile_module.__file__ or "").parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "catalogue", "mapped", "profile"}
    assert files == {re.sub(r"[.-]", "_", name) for name in PROFILES} - {"all"}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda one: one.name)
def test_every_id_of_a_profile_is_one_of_the_catalogue(profile: Profile) -> None:
    assert META <= profile.controls.keys() <= IDS
    assert profile.controls.keys() - META - {"KC-META-003"}


@pytest.mark.parametrize("name", ["cis-1.12", "cis-2.0.1"])
def test_every_control_of_cis_has_its_check_and_no_other_is_named(name: str) -> None:
    assert named(PROFILES[name]) == CIS


def test_every_rule_of_the_stig_has_its_check_and_no_other_is_named() -> None:
    # V-242442 (remove old components) has none, which the profile says.
    assert named(PROFILES["stig"]) == STIG
    assert "V-242442" in PROFILES["stig"].source


def test_every_demand_of_the_guide_has_its_check() -> None:
    assert named(PROFILES["nsa"]) == DEMANDS


def test_no_control_is_named_that_the_moderate_baseline_does_not_have() -> None:
    assert named(PROFILES["nist-800-53"]) <= MODERATE
    outside = {control for _, control in beside_checks("nist-800-53")} - named(PROFILES["nist-800-53"])
    assert outside == {"SC-12(1)", "SC-28(3)", "AU-10"}
    assert all(one in PROFILES["nist-800-53"].source for one in outside)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_stands_beside_a_check_stands_in_the_profile_of_the_framework(name: str) -> None:
    profile = PROFILES[name]
    pairs = {(id, control) for id, controls in profile.controls.items() for control in controls}
    assert beside_checks(name)
    assert {(id, control) for id, control in beside_checks(name) if control in named(profile)} <= pairs
    assert profile.controls.keys() - META == {id for id, _ in pairs}


@pytest.mark.parametrize("name", READ)
def test_a_profile_with_ids_that_nobody_compared_says_so(name: str) -> None:
    profile = PROFILES[name]
    assert named(profile) - READ[name]
    assert re.search(r"from general knowledge", profile.source)
    assert all(one in profile.source for one in READ[name])


def test_a_framework_is_not_content_with_what_was_not_given() -> None:
    assert not any(PROFILES[name].absent_is_fine or PROFILES[name].optional for name in FRAMEWORKS)


def test_an_id_that_stands_beside_the_check_is_told_once() -> None:
    done = audit(facts(etcd(without=["cert-file"])), PROFILES["stig"], bar=Severity.HIGH)
    (wrong,) = [one for check in done.checks if check.rule.id == "KC-TLS-001" for one in check.results]
    mappings = finding(wrong, PROFILES["stig"]).mappings
    assert mappings[:2] == ("stig/V-242427", "stig/V-242428")
    assert len(mappings) == len(set(mappings))
