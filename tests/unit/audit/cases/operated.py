"""Control planes that others run, from texts as people apply them, and as the providers' command lines print them."""

from __future__ import annotations

import json
from typing import Any

from keyctl.audit.facts import Fact
from keyctl.findings import Status
from tests.unit.audit.cases import Case
from tests.unit.audit.given import facts_of, server
from tests.unit.audit.stored_and_running import secret, stored

P, F, U, N = Status.PASS, Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE
ARN = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
VAULT = "https://example.vault.azure.net/keys/etcd/0123"
RING = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
EKSCTL = "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: shop, region: eu-central-1}\n"
ON_AWS = """\
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: AWSManagedControlPlane
metadata: {name: shop}
spec: {encryptionConfig: {provider: %s, resources: [%s]}}
"""
ON_AZURE = """\
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: AzureManagedControlPlane
metadata: {name: shop}
spec: {securityProfile: {azureKeyVaultKms: {enabled: %s, keyID: %s}}}
"""
ON_GOOGLE = """\
apiVersion: container.cnrm.cloud.google.com/v1beta1
kind: ContainerCluster
metadata: {name: shop}
spec: {databaseEncryption: {state: %s, keyName: %s}}
"""
OPERATOR = "apiVersion: config.openshift.io/v1\nkind: APIServer\nmetadata: {name: cluster}\nspec: {%s}\n"


def told(text: str) -> tuple[Fact, ...]:
    return facts_of(("cluster.yaml", text))


def printed(document: object) -> tuple[Fact, ...]:
    return facts_of(("cluster.json", json.dumps(document, indent=2)))


def eks(*configs: dict[str, Any]) -> dict[str, Any]:
    arn = "arn:aws-cn:eks:cn-north-1:111122223333:cluster/shop"
    given = {"encryptionConfig": list(configs)} if configs else {}
    return {"cluster": {"name": "shop", "arn": arn, "resourcesVpcConfig": {}, **given}}


def gke(**encryption: str) -> dict[str, Any]:
    link = "https://container.googleapis.com/v1/projects/p/locations/l/clusters/shop"
    return {"name": "shop", "selfLink": link, "databaseEncryption": encryption}


def aks(profile: object) -> dict[str, Any]:
    return {"name": "shop", "type": "Microsoft.ContainerService/ManagedClusters", "securityProfile": profile}


def by_type(written: str) -> tuple[Fact, ...]:
    return told(OPERATOR % f"encryption: {{type: {written}}}")


NO_KEYS = ("false", "12345", "TODO", "'<your key>'", "'@@KEY@@'", "'  '", "{Ref: Key}", "'${KEY}'")
OWN_KEY = {"resources": ["secrets"], "provider": {"keyArn": ARN}}
CASES: list[Case] = [
    ("KC-ENC-015", N, (server(),)),
    ("KC-ENC-015", P, told(EKSCTL + f"secretsEncryption: {{keyARN: {ARN}}}\n")),
    ("KC-ENC-015", F, told(EKSCTL)),
    ("KC-ENC-015", U, told(EKSCTL + 'secretsEncryption: {keyARN: "${KEY}"}\n')),
    ("KC-ENC-015", P, told(ON_AWS % (ARN, "secrets"))),
    ("KC-ENC-015", F, told(ON_AWS % (ARN, ""))),
    ("KC-ENC-015", P, told(ON_AZURE % ("true", VAULT))),
    ("KC-ENC-015", F, told(ON_AZURE % ("false", VAULT))),
    ("KC-ENC-015", F, told(ON_AZURE % ("true", "''"))),
    ("KC-ENC-015", U, told(ON_AZURE % ("'${ON}'", VAULT))),
    ("KC-ENC-015", P, told(ON_GOOGLE % ("ENCRYPTED", RING))),
    ("KC-ENC-015", F, told(ON_GOOGLE % ("DECRYPTED", RING))),
    ("KC-ENC-015", U, told(ON_GOOGLE % ("'${STATE}'", RING))),
    ("KC-ENC-015", P, printed(eks(OWN_KEY))),
    ("KC-ENC-015", F, printed(eks())),
    ("KC-ENC-015", P, printed(gke(state="ENCRYPTED", keyName=RING, currentState="CURRENT_STATE_ENCRYPTED"))),
    ("KC-ENC-015", U, printed(gke(state="ENCRYPTED", keyName=RING, currentState="CURRENT_STATE_ENCRYPTION_PENDING"))),
    ("KC-ENC-015", F, printed([gke(state="DECRYPTED", currentState="CURRENT_STATE_DECRYPTED")])),
    ("KC-ENC-015", P, printed(aks({"azureKeyVaultKms": {"enabled": True, "keyId": VAULT}}))),
    ("KC-ENC-015", F, printed(aks(None))),
    # Something stands in the place of a key, and is none; or what it stands in is put in later.
    *(("KC-ENC-015", U, told(EKSCTL + f"secretsEncryption: {{keyARN: {key}}}\n")) for key in NO_KEYS),
    ("KC-ENC-015", U, told(EKSCTL + 'secretsEncryption: "${ENCRYPTION}"\n')),
    ("KC-ENC-015", U, told(ON_AWS % (ARN, '"${R}"'))),
    ("KC-ENC-015", U, told(ON_AZURE.replace("{azureKeyVaultKms: {enabled: %s, keyID: %s}}", '"${PROFILE}"'))),
    ("KC-ENC-015", U, told(ON_GOOGLE.replace("{state: %s, keyName: %s}", '"${ENCRYPTION}"'))),
    ("KC-ENC-015", P, told(ON_AZURE % ("True", VAULT))),
    ("KC-ENC-016", N, (server(),)),
    ("KC-ENC-016", P, by_type("aescbc")),
    ("KC-ENC-016", P, (*by_type("aesgcm"), stored(secret("a")))),
    ("KC-ENC-016", F, (*by_type("aescbc"), stored(secret("a") | secret("b", None)))),
    ("KC-ENC-016", F, by_type("identity")),
    ("KC-ENC-016", F, told(OPERATOR % "")),
    ("KC-ENC-016", U, by_type('"${TYPE}"')),
    ("KC-ENC-016", U, told(OPERATOR % 'encryption: "${ENCRYPTION}"')),
    ("KC-ENC-016", U, by_type("KMS")),
    ("KC-ENC-016", P, told(OPERATOR % "encryption: {type: KMS, kms: {type: AWS}}")),
    ("KC-ENC-016", U, by_type("rot13")),
]
