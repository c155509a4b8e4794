"""Keys that are digests of words everyone tries first: a password, or nothing at all, put through sha256sum.

The table is computed from the words; nothing here repeats what it is asked about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache

# The first is the empty one.
_WORDS = (
    " 0 1 12 123 1234 12345 123456 1234567 12345678 123456789 1234567890 0000 00000000 1111 111111 11111111 1q2w3e4r "
    "a aa aaa abc abc123 abcd abcdef admin admin123 administrator aes aesgcm aescbc aes256 api apiserver asdf asdfgh "
    "backup bar baz change-me change_me changeit changeme changeme123 cluster cluster1 companyname data default demo "
    "dev developer development dragon dummy enc encrypt encrypted encryption encryption-key encryption_key "
    "encryptionconfig encryptionconfiguration encryptionkey etcd etcd-encryption example foo foobar football guest "
    "hello helloworld hunter2 iloveyou k3s k8s k8s-secret key key0 key1 key2 keys kms kube kube-apiserver kubeadm "
    "kubernetes kubernetes-secret kubernetes123 lab letmein local localhost login master masterkey minikube monkey "
    "my-key my-secret my-secret-key my_secret my_secret_key mykey mypassword mysecret mysecretkey none null openshift "
    "p@ssw0rd p@ssword pass pass123 passphrase passw0rd password password! password1 password12 password123 "
    "password1234 placeholder private prod production qwerty qwerty123 qwertyuiop rancher random rke rke2 root root123 "
    "sample secret secret-key secret1 secret123 secret_key secretbox secretkey secrets sesame staging string super "
    "supersecret supersecretkey sys system team temp test test1 test123 test1234 testing testkey testsecret token "
    "topsecret toor ubuntu undefined user vagrant vault welcome welcome1 x xxx your-secret your-secret-key yoursecret"
)
_PHRASES = (
    "hello world",
    "my secret",
    "my secret key",
    "secret key",
    "secret is secure",
    "this is a secret",
    "top secret",
)
_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
_LENGTHS = (16, 24, 32)


def word_digest(key: bytes) -> str | None:
    """The algorithm that makes the key bytes `key` of a word everyone tries first; None when none is known to."""
    return _table().get(key)


@cache
def _table() -> dict[bytes, str]:
    return dict(_digests())


def _digests() -> Iterator[tuple[bytes, str]]:
    """Each digest, and its hex digits, as far as a key has room for it."""
    for word in {form for one in (*_WORDS.split(" "), *_PHRASES) for form in (one, one.capitalize(), one.upper())}:
        # The line break is what echo appends.
        for text in (word.encode(), f"{word}\n".encode()):
            for algorithm in _ALGORITHMS:
                digest = hashlib.new(algorithm, text, usedforsecurity=False).digest()
                for whole in (digest, digest.hex().encode()):
                    yield from ((whole[:length], algorithm.upper()) for length in _LENGTHS if length <= len(whole))
