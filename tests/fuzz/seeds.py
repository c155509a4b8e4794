"""What the fuzzer starts from: configurations and manifests as people write them, right and wrong, with known keys.

Every key text here is unlike any word that a message may hold, so that a part of one in a message is a leak.
"""

from __future__ import annotations

import base64
import codecs

# No two of them share eight characters. The third is what comes of `openssl rand -hex`, the fourth of a person.
SECRETS = (
    "qL7xZ0vT3nWc8yBdKfRjHsEaPmUgXi5OlNt2VwQ4hYk=",
    "9fGzJ1uMb6CeTqDoSrLpAxVi",
    "7d3b9e1fa05c826447c1d98eb2630f5a",
    "gnaw-vulture-oblong-dusk-4471!?",
    base64.b64encode(b"Jackdaws4love&my%big#sphinx+of=q").decode(),
)
_A, _B, _HEX, _WORDS, _C = SECRETS
_HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"

_BLOCK = f"""\
# Written by hand.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets
      - configmaps  # and these
    providers:
      - aescbc:
          keys:
            - name: key1
              secret: {_A}
            - name: key2
              secret: "{_C}"
      - secretbox:
          keys: [{{name: key3, secret: {_C}}}]
      - identity: {{}}
  - resources: ["*.apps", widgets.example.com]
    providers:
      - kms:
          apiVersion: v2
          name: plugin
          endpoint: unix:///run/kms/socket.sock
          timeout: 3s
      - identity: {{}}
  - resources: ['*.*']
    providers:
    - identity: {{}}
"""
_FLOW = (
    f"{_HEAD}- {{resources: [secrets], providers: [{{aesgcm: {{keys: [{{name: key1, secret: '{_B}'}}]}}}},"
    " {identity: {}}]}\n"
)
_JSON = (
    '{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [{"resources":'
    f' ["secrets"], "providers": [{{"aescbc": {{"keys": [{{"name": "key1", "secret": "{_A}"}}]}}}}, {{"identity":'
    " {}}]}]}"
)
_JSON_LINES = f"""\
{{
  "kind": "EncryptionConfiguration",
  "apiVersion": "apiserver.config.k8s.io/v1",
  "resources": [
    {{
      "resources": ["secrets", "configmaps"],
      "providers": [
        {{"kms": {{"name": "a", "endpoint": "unix:\\/\\/\\/run\\/a.sock", "cachesize": 100, "timeout": "1m0s"}}}},
        {{"secretbox": {{"keys": [{{"name": "key\\u0031", "secret": "{_C}"}}]}}}}
      ]
    }}
  ]
}}
"""
_LEGACY = f"""\
kind: EncryptionConfig
apiVersion: v1
resources:
  - resources:
    - secrets
    providers:
    - aescbc:
        keys:
        - name: key1
          secret: {_A}
    - identity: {{}}
"""
_MISINDENTED = f"""\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  - providers:
    - aescbc:
        keys:
        - name: key1
        secret: {_A}
    - identity:
"""
_SHARED = f"""\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: &names [secrets]
  providers: &list
  - aescbc: &keys
      keys:
      - &one
        name: key1
        secret: !!str {_A}
  - identity: {{}}
- resources: [configmaps]
  providers: *list
"""
_ODD_SCALARS = f"""\
%YAML 1.1
---
"apiVersion": 'apiserver.config.k8s.io/v1'
? kind
: EncryptionConfiguration
resources:
- resources: [!!str yes, 0x1f, 1_000, .inf, ~, "\\x41\\/\\u00e9", 'it''s']
  providers:
  - aescbc:
      keys:
      - name: >-
          folded
          name
        secret: |
          {_A}
      - name: yes
        secret: "{_C[:20]}\\
          {_C[20:]}"
  <<: {{identity: {{}}}}
...
---
kind: Other
"""
_NOT_ENCODED = f"""\
{_HEAD}- resources:
  - secrets
  providers:
  - aescbc:
      keys:
      - name: {{{{ .Values.name }}}}
        secret: {_WORDS}
      - name: key2
        secret: {_HEX}
      - name: key3
        secret: {base64.b64encode(_C.encode()).decode()}
      - name: key4
        secret: <BASE 64 ENCODED SECRET>
  - identity: {{}}
"""
_SECRET_IN_PLACE = f"{_HEAD}- resources: [secrets]\n  providers:\n  - aescbc: {_A}\n  - secretbox: [{_C}]\n"
_WRONG_WHOLE = f"{_A}\n"

_MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
  namespace: kube-system
spec:
  containers:
  - command:
    - kube-apiserver
    - --etcd-servers=https://127.0.0.1:2379
    - --etcd-servers-overrides=/events#https://127.0.0.1:2381;https://127.0.0.1:2382
    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml
    - --encryption-provider-config-automatic-reload
    - "--request-timeout=1m30s"
    image: registry.k8s.io/kube-apiserver:v1.37.1
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/kubernetes/enc
      name: enc
      readOnly: true
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/enc
      type: DirectoryOrCreate
    name: enc
"""
_ETCD_MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: etcd
    command: [etcd, --data-dir=/var/lib/etcd, --experimental-encryption-provider-config=/etc/enc.yaml]
    volumeMounts: [{mountPath: /etc/enc.yaml, name: enc}]
  volumes: [{hostPath: {path: /etc/enc.yaml, type: File}, name: enc}]
"""
_JSON_MANIFEST = """\
{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "kube-apiserver", "command": ["/bin/sh", "-c",
 "exec kube-apiserver"], "args": ["--experimental_encryption_provider_config", "/a/b"]}]}}
"""

# For what compares an input with another file.
CONFIGURATION = _BLOCK.encode()
API_SERVER = _MANIFEST.encode()

_TEXTS = (
    _BLOCK,
    _FLOW,
    _JSON,
    _JSON_LINES,
    _LEGACY,
    _MISINDENTED,
    _SHARED,
    _ODD_SCALARS,
    _NOT_ENCODED,
    _SECRET_IN_PLACE,
    _WRONG_WHOLE,
    _MANIFEST,
    _ETCD_MANIFEST,
    _JSON_MANIFEST,
    _BLOCK.replace("\n", "\r\n"),
    _LEGACY.replace("\n", "\r"),
    _MISINDENTED.replace("  ", "\t"),
    f"---\n# first\n{_LEGACY}---\n{_FLOW}",
)

SEEDS = (
    *(text.encode() for text in _TEXTS),
    codecs.BOM_UTF8 + _LEGACY.encode(),
    _LEGACY.encode("utf-16"),
    _BLOCK.encode() + b"\xff\xfe\x00",
    b"",
)
