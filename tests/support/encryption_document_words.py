"""The texts that made-up encryption configurations are put together from: usual ones, and ones that readers trip over.

Names, resources, addresses, durations and numbers, and splinters to damage a text with.
"""

from __future__ import annotations

# fmt: off
ODD_NAMES = (
    "1", "0", "-0", "+1", "007", "08", "0x1f", "0o17", "0b11", "0b2", "1_000", "1__0", "_1", "1e3", ".5",
    "5.", "-.5", "1e999", ".inf", "-.INF", "+.inf", ".nan", ".NaN", "0x", "0xffffffffffffffff",
    "18446744073709551616", "1:30", "yes", "No", "ON", "off", "y", "N", "yEs", "true", "TRUE", "False",
    "null", "Null", "~", "", " ", "<<", "=", "2026-11-21", "2026-11-21T10:00:00Z", "2026-11-21 10:00:00",
    "12:30:45", "1.2.3", "a:b", "a: b", "a:", ":a", "a#b", "a #b", "#a", "a b", " a", "a ", "a\tb", "a\nb",
    "a\n\n  b\n", "a'b", 'a"b', 'a\\b', "\xe9", "\u043a\u043b\u044e\u0447", "\U0001f511", "\u2028", "\x85",
    "\ufeff", "\x7f", "\x00", "-", "--", "---", "...", "- a", "? a", "a?b", "?a", "*a", "&a b", "!a b",
    "!!str 1", "!!binary aGk=", "|", ">", "%a", "@a", "`a", "a,b", "[a]", "{a: b}", "{{ .key }}", "${KEY}",
    "k:", "key1:",
)
ODD_RESOURCES = (
    "secrets.", "secret", "Secrets", "secrets ", "", ".", "..", ".apps", "*", "secrets.*", "*.*.", "*.*.*",
    "*.a.*", "events", "events.events.k8s.io", "ingresses.extensions", "x.extensions.",
    "serviceipallocations", "apiserveripinfo", "servicenodeportallocations.", "secrets.\xe9", "\xc9",
    "pods/status", "a.b.c.d", "**", "*.*apps", "secrets\n", "pods",
)
ODD_ENDPOINTS = (
    "unix://", "unix:", "unix:a", "UNIX:///a", "tcp:///a", "http://a:1", "/a", "", "unix:///a b",
    "unix:///a%20b", "unix:///a%zz", "unix:///a?b", "unix:///a#b", "unix://host/a", "unix://[::1",
    "unix:///\n", "unix", ":", "unix:///\xe9", " unix:///a",
)
ODD_TIMEOUTS = (
    "0s", "0", "-3s", "+1m", ".5s", "1.s", ".s", "1\xb5s", "1\u03bcs", "3", "3x", "0.1ns",
    "0.999999999999999999ns", "", "1s ", "9223372036854775807ns", "9223372036854775808ns", "1e3s",
    "2540400h10m10s", "1d", "1h1h", "1_000s", "99999999h",
)
ODD_NUMBERS = (
    "0", "-0", "+5", "007", "08", "0x10", "1_000", "1e3", "5.0", "5.5", "2147483647", "2147483648",
    "-2147483649", "a", ".inf", "~", "true", "99999999999999999999",
)
ODD_FIELDS = (
    "Kind", "apiversion", "aesCBC", "Secret", "x", "metadata", "1", "yes", "~", "", "timeout", "\u212aind",
    "a b",
)
SPLINTERS = (
    "\t", " ", "\n", ":", ",", "-", "#", "&", "*", "!", "|", ">", "'", '"', "%", "@", "`", "?", "[", "]",
    "{", "}", "~", '\\', "/", ".", "=", "0", "a", "\xe9", "\r", "\x01", "\x7f", "\x85", "\u2028", "\ufeff",
    ": ", "- ", " #", "\n\n", "  ", "\n- ", "? ", "\\'", '\\/', '\\x41', '\\ud800', "{{ a }}", "null",
    "<<: ", "&a ", "*a", "!!str ", "!a ", "|\n", "---\n", "...\n", "''", '""', "\r\n", "\n\t",
)
NAMES = (
    "key1", "key2", "key-20261121t1000z", "k",
)
RESOURCES = (
    "secrets", "configmaps", "deployments.apps", "things.example.com", "leases.coordination.k8s.io",
)
WILDCARDS = (
    "*.apps", "*.coordination.k8s.io", "*.", "*.*",
)
ENDPOINTS = (
    "unix:///run/kms.sock", "unix:///@kms",
)
TIMEOUTS = (
    "3s", "1h2m3.5s",
)
NUMBERS = (
    "1000", "-1",
)
# fmt: on
