"""What means something to YAML, JSON, Go's scalars, kube-apiserver or keyctl, and is put into inputs as it is."""

from __future__ import annotations

_WORDS = r"""
{ } [ ] : , - ? ! & * # | > @ ` % ~ ' " \ = == --- ... |- >+2 &a *a ! !!str !!binary !!int !a!b <<
!<tag:yaml.org,2002:str> {{ }} ${A} yes no on off y n true False null NULL .inf -.INF .NaN
0 -0 0x1F 0o17 017 0b1 0b-1 1_000 1e3 .5 1. 1__ +1 0x 1e400 1:30 2026-11-21
18446744073709551616 -9223372036854775809 2147483648 -2147483649
"\x41" "\/" "\u0000" "\ud800" "\U0001F600" "\ '' "" 'it''s' "\N\_\L"
apiVersion kind resources providers keys name secret identity: {} aescbc aesgcm secretbox kms endpoint timeout
cachesize v1 v2 EncryptionConfig EncryptionConfiguration apiserver.config.k8s.io/v1 apiserver.config.k8s.io/v2
Secret List items secrets secrets. configmaps events *.* *. *.apps a.* serviceipallocations Ä
unix:///a unix://@a unix:a% http://a 3s 0s -1s 1h1 .s 1µs 9999999999h 1.5.5s
spec containers initContainers command args volumes volumeMounts mountPath hostPath path subPath subPathExpr
kube-apiserver etcd -- --encryption-provider-config --encryption-provider-config= /bin/sh -c
--experimental-encryption-provider-config=/a --encryption-provider-config-automatic-reload=false
"""

_WITH_BLANKS = (
    *("\n", "\r\n", "\r", "\t", " ", "  ", "    ", "- ", ": ", ":\n", "? ", " #", "---\n", "\n--- ", "&a ", "*a : "),
    *("!!str ", "!!map ", "<<: *a\n", "%YAML 1.2\n---\n", "%TAG ! tag:a,1:\n---\n", "{{ a }}", "identity: {}"),
    *("<BASE 64 ENCODED SECRET>", "exec kube-apiserver", "9" * 400),
)
_ODD = ("\0", "\x1b[2J", "\x7f", "\x85", "\xa0", "\u200b", "\u2028", "\u202e", "\ufeff", "\ufffe", "😀", "e\u0301")
_NO_UTF8 = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf0\x9f", b"\xe2\x80")

WORDS = (*(word.encode() for word in (*_WORDS.split(), *_WITH_BLANKS, *_ODD)), *_NO_UTF8)
