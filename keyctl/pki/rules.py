"""What can be wrong between a certificate and the files beside it, beyond what it says of itself. Values only."""

from __future__ import annotations

from keyctl.findings import Rule, Severity

PAIR = Rule(
    "KC-CRT-001",
    Severity.HIGH,
    "a private key is not that of its certificate",
    "A program that is given both does not start, or goes on with the pair that it has loaded until its next start.",
    "put the certificate beside its own key, or issue both anew",
    "crypto/tls of Go, X509KeyPair",
)
CHAIN = Rule(
    "KC-CRT-002",
    Severity.HIGH,
    "a certificate is not signed by the CA that it is checked against",
    "Whoever is shown it refuses it. Most often the CA was made anew under its old name: then names match, and "
    "signatures do not.",
    "issue the certificate anew from the CA that stands there, or put back the CA that signed it",
    "crypto/x509 of Go, Certificate.Verify",
)
FITNESS = Rule(
    "KC-CRT-003",
    Severity.HIGH,
    "a certificate may not be used for what it is there for",
    "Its extended key usage forbids it, or it does not name the address at which it is reached. A member of etcd is "
    "server and client to its peers and needs both usages.",
    "issue it anew with the usage and the names that are missing",
    "crypto/x509 of Go, VerifyOptions.KeyUsages; etcd client/pkg/transport",
)

RULES: tuple[Rule, ...] = (PAIR, CHAIN, FITNESS)
