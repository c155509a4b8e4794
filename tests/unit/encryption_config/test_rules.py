from __future__ import annotations

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import KmsReader
from keyctl.encryption_config.server import Server
from keyctl.errors import UnusableInputError
from tests.unit.encryption_config.configs import b64, config_of, entry, file, static

_ID = "{identity: {}}"


def _kms(fields: str) -> str:
    return entry("secrets", f"{{kms: {{{fields}}}}}", _ID)


def _keys(keys: str, provider: str = "aescbc") -> str:
    return entry("secrets", f"{{{provider}: {{keys: [{keys}]}}}}")


_V2 = "apiVersion: v2, name: a, endpoint: 'unix:///a.sock'"

_P = "resources[0].providers[0]"
_R = "resources[0].resources"
_SOCKET = f"{_P}.kms.endpoint: not the address of a Unix socket"

# Every row was refused by kube-apiserver 1.37's own loader too, unless its id says "keyctl only".
_REFUSED = {
    "no entry": ("  []\n", "resources: no entry"),
    "no resources list": ("- providers: [{identity: {}}]\n", "resources[0].resources: an empty or missing list"),
    "no providers list": ("- resources: [secrets]\n", "resources[0].providers: an empty or missing list"),
    "null entry": ("- null\n", "resources[0].resources: an empty or missing list"),
    "no type": (entry("secrets", "{}"), f"{_P}: no provider is set"),
    "identity without braces": (entry("secrets", "{identity: }"), f"{_P}: no provider is set"),
    "two types": (
        entry("secrets", f"{{aescbc: {{keys: [{{name: a, secret: {b64()}}}]}}, identity: {{}}}}"),
        f"{_P}: 2 providers in one element (aescbc, identity)",
    ),
    "no key": (_keys(""), f"{_P}.aescbc.keys: no key"),
    "no name": (_keys(f"{{secret: {b64()}}}"), f"{_P}.aescbc.keys[0].name: a key without a name"),
    "null name": (_keys(f"{{name: ~, secret: {b64()}}}"), f"{_P}.aescbc.keys[0].name: a key without a name"),
    "no secret": (_keys("{name: a}"), f"{_P}.aescbc.keys[0].secret: a key without a secret"),
    "url-safe base64": (
        _keys("{name: a, secret: '" + "-" * 43 + "='}"),
        f"{_P}.aescbc.keys[0].secret: the secret is not standard base64",
    ),
    "no padding": (
        _keys(f"{{name: a, secret: {b64()[:-1]}}}"),
        f"{_P}.aescbc.keys[0].secret: the secret is not standard base64",
    ),
    "a blank in base64": (
        _keys(f"{{name: a, secret: '{b64()} '}}"),
        f"{_P}.aescbc.keys[0].secret: the secret is not standard base64",
    ),
    "a variable": (
        _keys("{name: a, secret: '${KEY}'}"),
        f"{_P}.aescbc.keys[0].secret: the secret is not standard base64",
    ),
    "aescbc with 28 bytes": (
        _keys(f"{{name: a, secret: {b64(1, 28)}}}"),
        f"{_P}.aescbc.keys[0].secret: the secret has 28 bytes once decoded; this provider takes 16 or 24 or 32",
    ),
    "secretbox with 16 bytes": (
        _keys(f"{{name: a, secret: {b64(1, 16)}}}", "secretbox"),
        f"{_P}.secretbox.keys[0].secret: the secret has 16 bytes once decoded; this provider takes 32",
    ),
    "kms without name": (
        _kms("apiVersion: v2, endpoint: 'unix:///a'"),
        f"{_P}.kms.name: a KMS provider without a name",
    ),
    "kms v2 name with colon": (
        _kms("apiVersion: v2, name: 'a:b', endpoint: 'unix:///a'"),
        f"{_P}.kms.name: a colon in the name of a KMS v2 provider",
    ),
    "kms timeout zero": (_kms(_V2 + ", timeout: 0s"), f"{_P}.kms.timeout: not a positive duration"),
    "kms timeout negative": (_kms(_V2 + ", timeout: -3s"), f"{_P}.kms.timeout: not a positive duration"),
    "kms timeout below a nanosecond": (_kms(_V2 + ", timeout: 0.1ns"), f"{_P}.kms.timeout: not a positive duration"),
    "kms timeout without unit": (_kms(_V2 + ", timeout: '3'"), f"{_P}.kms.timeout: not a positive duration"),
    "kms timeout too long": (_kms(_V2 + ", timeout: 9999999999999h"), f"{_P}.kms.timeout: not a positive duration"),
    "kms without endpoint": (_kms("apiVersion: v2, name: a"), _SOCKET),
    "kms over tcp": (_kms("apiVersion: v2, name: a, endpoint: 'tcp:///a'"), _SOCKET),
    "kms with a bad escape": (_kms("apiVersion: v2, name: a, endpoint: 'unix:///a%zz'"), _SOCKET),
    "keyctl only: kms without a path": (_kms("apiVersion: v2, name: a, endpoint: 'unix://'"), _SOCKET),
    "kms version": (
        _kms("apiVersion: v3, name: a, endpoint: 'unix:///a'"),
        f"{_P}.kms.apiVersion: a KMS version other than v1 and v2",
    ),
    "kms v2 cachesize": (_kms(_V2 + ", cachesize: 5"), f"{_P}.kms.cachesize: cachesize exists for KMS v1 only"),
    "kms v1": (
        _kms("name: a, endpoint: 'unix:///a'"),
        f"{_P}.kms: a KMS v1 provider; Kubernetes 1.29 and newer refuse it",
    ),
    "kms name twice": (
        _kms(_V2) + entry("configmaps", f"{{kms: {{{_V2}}}}}"),
        "resources[1].providers[0].kms.name: a KMS provider name that stands twice",
    ),
    "capitals": (entry("Secrets", _ID), f"{_R}[0]: capital letters in a resource name"),
    "keyctl only: a letter beyond ASCII": (
        entry("sécrets", _ID),
        f"{_R}[0]: a resource name with letters beyond ASCII",
    ),
    "bare star": (entry("'*'", _ID), f"{_R}[0]: a bare *"),
    "no REST API": (entry("serviceipallocations", _ID), f'{_R}[0]: "serviceipallocations" has no REST API'),
    "events.k8s.io": (entry("events.events.k8s.io", _ID), f"{_R}[0]: nothing is stored under the group events.k8s.io"),
    "extensions": (entry("ingresses.extensions", _ID), f"{_R}[0]: nothing is stored under the group extensions"),
    "resource.*": (entry("'secrets.*'", _ID), f"{_R}[0]: one resource across all groups cannot be named"),
    "twice in a list": (entry("secrets, secrets.", _ID), f"{_R}[1]: the same resource twice in one list"),
    "star twice in a list": (entry("'*.', '*.'", _ID), f"{_R}[1]: the same resource twice in one list"),
    "group overlap": (
        entry("deployments.apps, '*.apps'", _ID),
        f"{_R}[1]: '*.apps' covers other resources of the same list",
    ),
    "core overlap": (entry("'*.', secrets", _ID), f"{_R}[0]: '*.' covers other resources of the same list"),
    "everything overlaps": (entry("secrets, '*.*'", _ID), f"{_R}[1]: '*.*' covers other resources of the same list"),
    "masked by its group": (
        entry("'*.'", _ID) + entry("secrets", _ID),
        "resources[1].resources[0]: masked by '*.' in resources[0]",
    ),
    "masked by everything": (
        entry("'*.*'", _ID) + entry("'*.apps'", _ID),
        "resources[1].resources[0]: masked by '*.*' in resources[0]",
    ),
    "a wildcard masked by itself": (
        entry("'*.apps'", _ID) + entry("'*.apps'", _ID),
        "resources[1].resources[0]: masked by '*.apps' in resources[0]",
    ),
}


@pytest.mark.parametrize(("entries", "message"), _REFUSED.values(), ids=_REFUSED)
def test_what_the_server_refuses_is_refused_with_its_place(entries: str, message: str) -> None:
    with pytest.raises(UnusableInputError) as caught:
        decode(file(entries), name="enc.yaml")
    place, _, said = str(caught.value).partition(": ")
    assert said == message
    name, line, column = place.split(":")
    assert name == "enc.yaml"
    assert int(line) > 0
    assert int(column) > 0
    assert caught.value.hints


@pytest.mark.parametrize(
    "entries",
    [
        entry("secret", _ID),
        entry("'secrets '", _ID),
        entry("secrets., configmaps", _ID),
        entry("deployments.apps, '*.batch'", _ID),
        entry("'*.apps', '*.'", _ID),
        entry("secrets", static()) + entry("secrets", static("key2", 2)),
        entry("secrets", _ID) + entry("'*.'", _ID) + entry("'*.*'", _ID),
        _keys(f"{{name: a, secret: {b64()}}}, {{name: a, secret: {b64(2)}}}"),
        _keys(f'{{name: "a:b\\n", secret: {b64()}}}'),
        _keys(f"{{name: a, secret: {b64(1, 16)}}}, {{name: b, secret: {b64(1, 24)}}}", "aesgcm"),
        _kms(_V2 + ", timeout: +1h2m3.5s"),
        _kms(_V2 + ", timeout: .5s"),
        _kms(_V2 + ", timeout: 1µs"),
        _kms("apiVersion: v2, name: a, endpoint: 'unix:///@abstract'"),
        entry("secrets", _ID, static()),
    ],
)
def test_what_the_server_accepts_without_a_word_is_accepted(entries: str) -> None:
    assert config_of(entries).entries


def test_kms_v1_is_read_for_servers_that_still_have_it() -> None:
    content = file(_kms("name: 'a:b', endpoint: 'unix:///a', cachesize: -1"))
    config = decode(content, name="enc.yaml", server=Server(kms_v1_gate=True)).config
    assert config.entries[0].providers[0].readers == (KmsReader("a:b", "v1"),)


def test_a_kms_v1_cache_of_zero_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="cachesize of 0"):
        decode(
            file(_kms("name: a, endpoint: 'unix:///a', cachesize: 0")), name="enc.yaml", server=Server(kms_v1_gate=True)
        )


def test_the_first_violation_of_the_file_is_told_and_the_others_counted() -> None:
    content = file(entry("secrets", "{}"), entry("Configmaps", _ID, "{}"))
    with pytest.raises(UnusableInputError) as caught:
        decode(content, name="enc.yaml")
    assert str(caught.value) == "enc.yaml:5:15: resources[0].providers[0]: no provider is set"
    assert caught.value.cause == "2 more violations in this file: keyctl config validate FILE"


def test_a_single_violation_counts_no_others() -> None:
    with pytest.raises(UnusableInputError) as caught:
        decode(file(entry("secrets", "{}")), name="enc.yaml")
    assert caught.value.cause is None
