"""k3s and RKE2 read config.yaml and then what is in config.yaml.d, by name: the last value counts, lists may grow."""

from __future__ import annotations

import pytest

from keyctl.audit.facts import About, Absent, Program, UndecidedError
from tests.unit.audit.given import facts_of

MAIN = "etc/rancher/k3s/config.yaml"
FIRST, SECOND = f"{MAIN}.d/10-first.yaml", f"{MAIN}.d/20-second.yml"


def started(*texts: tuple[str, str], about: About = About.API_SERVER) -> list[Program]:
    return [one for one in facts_of(*texts) if isinstance(one, Program) and one.about is about]


def test_the_last_of_several_files_says_whether_secrets_are_encrypted() -> None:
    on, off = (SECOND, "secrets-encryption: true\n"), (FIRST, "secrets-encryption: false\n")
    main = (MAIN, "secrets-encryption: false\ncluster-init: true\n")
    (server,) = started(on, main, off)
    flag = server.given("encryption-provider-config")
    assert flag is not None
    assert (flag.location.file, flag.location.line) == (SECOND, 1)
    (server,) = started(main, (FIRST, "secrets-encryption: true\n"), (SECOND, "secrets-encryption: false\n"))
    assert server.given("encryption-provider-config") is None


@pytest.mark.parametrize(("name", "path"), [("kube-apiserver-arg", ""), ("kube-apiserver-arg+", "/x")])
def test_a_list_takes_the_place_of_an_earlier_one_unless_its_name_ends_in_a_plus(name: str, path: str) -> None:
    main = (MAIN, "secrets-encryption: true\nkube-apiserver-arg: [audit-log-path=/x]\n")
    (server,) = started(main, (FIRST, f"{name}: [audit-log-maxage=30]\n"))
    assert (server.text("audit-log-path"), server.text("audit-log-maxage")) == (path, "30")
    found = server.setting("audit-log-maxage")
    assert found is not None
    assert found.location.file == FIRST


def test_a_file_beside_it_says_which_datastore_there_is() -> None:
    main = (MAIN, "secrets-encryption: true\n")
    assert [one.reason for one in facts_of(main) if isinstance(one, Absent)] == ["kine"]
    assert started(main, (FIRST, "cluster-init: true\n"), about=About.ETCD)
    # No word of it is one that files of etcd have: its place tells.
    assert not [one for one in facts_of(main, (FIRST, "server: https://a:6443\n")) if isinstance(one, Absent)]


def test_files_of_another_node_add_nothing() -> None:
    main = (f"a/{MAIN}", "secrets-encryption: true\n")
    one, other = started(main, (f"b/{FIRST}", "kube-apiserver-arg: [audit-log-path=/x]\n"))
    assert one.text("audit-log-path") == ""
    with pytest.raises(UndecidedError, match=r"config\.yaml, which was not given"):
        other.text("authorization-mode")


def test_each_cloud_init_file_has_a_node_of_its_own() -> None:
    text = (
        "write_files:\n- {{path: /etc/rancher/k3s/config.yaml, content: 'secrets-encryption: {on}'}}\n"
        "- {{path: /etc/rancher/k3s/config.yaml.d/a.yaml, content: 'kube-apiserver-arg: [audit-log-path={log}]'}}\n"
    )
    nodes = started(("a.yaml", text.format(on="true", log="/a")), ("b.yaml", text.format(on="false", log="/b")))
    told = [(one.given("encryption-provider-config") is not None, one.text("audit-log-path")) for one in nodes]
    assert told == [(True, "/a"), (False, "/b")]


def test_a_directory_of_that_name_that_has_nothing_to_do_with_it_says_nothing() -> None:
    assert facts_of(("srv/config.yaml.d/a.yaml", "server: x\n")) == ()
