"""Several files of one host, and several hosts in one tree: drop-ins, environment files, files that flags name."""

from __future__ import annotations

import pytest

from keyctl.audit.facts import About, Program, UndecidedError, Unread
from tests.unit.audit.given import GOOD_CONFIG, GOOD_POLICY, facts_of

UNIT = "[Service]\nEnvironment=ETCD_CERT_FILE=/a\nExecStart=/usr/bin/etcd --name=a --trusted-ca-file=/ca\n"
READS_MORE = "[Service]\nEnvironmentFile=/etc/etcd/etcd.env\nExecStart=/usr/bin/etcd\n"


def etcds(*texts: tuple[str, str]) -> list[Program]:
    return [one for one in facts_of(*texts) if isinstance(one, Program)]


def unread(*texts: tuple[str, str]) -> list[tuple[str, frozenset[About]]]:
    return [(one.location.file or "", one.about) for one in facts_of(*texts) if isinstance(one, Unread)]


def test_drop_ins_add_to_their_unit_in_the_order_of_their_names() -> None:
    first = "[Service]\nEnvironment=ETCD_CERT_FILE=/of-the-first ETCD_KEY_FILE=/k\n"
    second = "[Service]\nExecStart=\nExecStart=/usr/bin/etcd --name=b\nEnvironment=ETCD_CERT_FILE=/of-the-second\n"
    (etcd,) = etcds(
        ("system/etcd.service.d/20.conf", second),
        ("system/etcd.service.d/10.conf", first),
        ("system/etcd.service", UNIT),
    )
    assert (etcd.text("cert-file"), etcd.text("key-file"), etcd.text("name")) == ("/of-the-second", "/k", "b")
    assert etcd.given("trusted-ca-file") is None


def test_an_empty_value_of_a_drop_in_takes_back_what_was_given() -> None:
    (etcd,) = etcds(("etcd.service", UNIT), ("etcd.service.d/a.conf", "[Service]\nEnvironment=\n"))
    assert etcd.given("cert-file") is None


def test_a_unit_with_two_commands_is_not_certain() -> None:
    (etcd,) = etcds(("etcd.service", UNIT), ("etcd.service.d/a.conf", "[Service]\nExecStart=/usr/bin/etcd --name=b\n"))
    with pytest.raises(UndecidedError, match="more than one ExecStart"):
        etcd.given("key-file")


def test_a_drop_in_whose_unit_was_not_given_tells_little() -> None:
    for text in ("[Service]\nEnvironment=ETCD_CERT_FILE=/a\n", UNIT.replace("ExecStart=", "ExecStart=\nExecStart=")):
        (etcd,) = etcds(("etcd.service.d/a.conf", text))
        with pytest.raises(UndecidedError):
            etcd.given("key-file")
    assert etcds(("other.service.d/a.conf", "[Service]\nRestart=always\n")) == []


def test_a_drop_in_adds_to_the_unit_of_its_own_host() -> None:
    found = etcds(
        ("cp1/etc/systemd/system/etcd.service", UNIT),
        ("cp2/etc/systemd/system/etcd.service", UNIT),
        ("cp2/etc/systemd/system/etcd.service.d/a.conf", "[Service]\nEnvironment=ETCD_CERT_FILE=/b\n"),
    )
    assert [one.text("cert-file") for one in found] == ["/a", "/b"]


def test_a_drop_in_that_may_add_to_either_of_two_units_adds_to_none() -> None:
    drop_in = ("x/etcd.service.d/a.conf", "[Service]\nEnvironment=ETCD_CERT_FILE=/b\n")
    found = etcds(("a/etcd.service", UNIT), ("b/etcd.service", UNIT), drop_in)
    assert [one.settings for one in found] == [(), ()]
    for etcd in found:
        with pytest.raises(UndecidedError, match="drop-ins"):
            etcd.given("key-file")


def test_each_unit_reads_the_environment_file_of_its_own_host() -> None:
    found = etcds(
        ("cp1/etc/etcd/etcd.env", "ETCD_CERT_FILE=/one\n"),
        ("cp1/etc/systemd/system/etcd.service", READS_MORE),
        ("cp2/etc/etcd/etcd.env", "ETCD_CERT_FILE=/two\n"),
        ("cp2/etc/systemd/system/etcd.service", READS_MORE),
    )
    assert [one.text("cert-file") for one in found] == ["/one", "/two"]


@pytest.mark.parametrize(
    "unit",
    [pytest.param("cp3/etc/systemd/system/etcd.service", id="of another host"), pytest.param("u.service", id="a tie")],
)
def test_a_unit_reads_no_file_of_another_host(unit: str) -> None:
    files = [(f"{host}/etc/etcd/etcd.env", "ETCD_CERT_FILE=/x\n") for host in ("cp1", "cp2")]
    (etcd,) = [one for one in etcds((unit, READS_MORE), *files) if one.location.file == unit]
    assert etcd.settings == ()
    with pytest.raises(UndecidedError, match="not"):
        etcd.given("cert-file")


def test_each_pod_has_the_configuration_file_of_its_own_host() -> None:
    pod = (
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: etcd, command: [etcd, --config-file=/etc/etcd.yml]}]}\n"
    )
    config = "listen-client-urls: https://10.0.0.1:2379\nclient-transport-security: {cert-file: /@}\n"
    found = etcds(
        ("cp1/etc/etcd.yml", config.replace("@", "one")),
        ("cp1/etc/kubernetes/manifests/etcd.yaml", pod),
        ("cp2/etc/kubernetes/manifests/etcd.yaml", pod),
    )
    assert [(one.location.file, bool(one.hidden)) for one in found] == [
        ("cp1/etc/etcd.yml", False),
        ("cp2/etc/kubernetes/manifests/etcd.yaml", True),
    ]


def test_two_files_of_variables_in_one_document_are_two() -> None:
    text = (
        "#cloud-config\nwrite_files:\n- path: /etc/a.env\n  content: |\n    ETCD_KEY_FILE=/a\n"
        "- path: /etc/b.env\n  content: |\n    ETCD_CERT_FILE=/b\n"
    )
    assert len(etcds(("cloud.yaml", text))) == 2
    unit = READS_MORE.replace("/etc/etcd/etcd.env", "/etc/a.env")
    reading = next(one for one in etcds(("cloud.yaml", text), ("etcd.service", unit)) if not one.hidden)
    assert (reading.text("key-file"), reading.given("cert-file")) == ("/a", None)


FLAGS = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: kube-apiserver, args: [@]}]}\n"
CONFIG_FLAG = FLAGS.replace("@", "--encryption-provider-config=/etc/kubernetes/enc/enc.yaml")
POLICY_FLAG = FLAGS.replace("@", "--audit-policy-file=/etc/kubernetes/policy.yaml")


@pytest.mark.parametrize(
    ("flag", "other", "about"),
    [
        pytest.param(CONFIG_FLAG, ("docs/example.yaml", GOOD_CONFIG), About.CONFIGURATION, id="a configuration"),
        pytest.param(POLICY_FLAG, ("docs/example.yaml", GOOD_POLICY), About.AUDIT_POLICY, id="an audit policy"),
    ],
)
def test_what_a_file_says_that_a_flag_names_and_nobody_gave_is_not_known(
    flag: str, other: tuple[str, str], about: About
) -> None:
    assert unread(("pod.yaml", flag)) == [("pod.yaml", frozenset({about}))]
    assert unread(("pod.yaml", flag), other) == [("pod.yaml", frozenset({about}))]


@pytest.mark.parametrize(
    ("flag", "given"),
    [
        pytest.param(CONFIG_FLAG, ("repo/enc.yaml", GOOD_CONFIG), id="by its name"),
        pytest.param(CONFIG_FLAG, ("repo/enc.yaml.j2", GOOD_CONFIG), id="as a template"),
        pytest.param(POLICY_FLAG, ("repo/policy.yaml", GOOD_POLICY), id="a policy"),
        pytest.param(FLAGS.replace("@", "--encryption-provider-config="), ("x.yaml", "a: b\n"), id="no file"),
        pytest.param("secrets-encryption: true\n", ("x.yaml", "a: b\n"), id="the installer's own"),
        pytest.param(
            CONFIG_FLAG,
            (
                "x.yaml",
                "kind: ConfigMap\napiVersion: v1\ndata:\n  enc.yaml: |\n    " + GOOD_CONFIG.replace("\n", "\n    "),
            ),
            id="inside a ConfigMap",
        ),
    ],
)
def test_a_file_that_a_flag_names_is_known_by_its_name(flag: str, given: tuple[str, str]) -> None:
    assert unread(("k3s.yaml", flag), given) == []
