"""What can be wrong with a KMS v2 plugin: the texts. `checks` applies them.

Critical is what kube-apiserver cannot work with, or what loses data; it takes the others without a word.
"""

from __future__ import annotations

from keyctl.findings import Rule, Severity

_CONTRACT = "k8s.io/kms apis/v2/api.proto, and what k8s.io/apiserver's envelope/kmsv2 checks of it"
_ASKED = "what the plugin itself answers"


def _rule(number: int, severity: Severity, title: str, why: str, fix: str, source: str = _CONTRACT) -> Rule:
    return Rule(f"KC-KMS-{number:03}", severity, title, why, fix, source)


VERSION = _rule(
    1,
    Severity.CRITICAL,
    "what answers is no KMS v2 plugin",
    "Status must answer, with version v2 or v2beta1, and the version must never change. kube-apiserver takes the "
    "plugin for unhealthy otherwise, and never writes with it.",
    "use a plugin for KMS v2; one for v1 has another service",
)
HEALTH = _rule(
    2,
    Severity.CRITICAL,
    "the plugin says that it is not healthy",
    "Any healthz but ok fails /readyz of kube-apiserver. It does not load a configuration with such a plugin; where it "
    "has one, writing ends three minutes after the last ok.",
    "mend what the plugin names, then look again",
)
KEY_ID = _rule(
    3,
    Severity.CRITICAL,
    "a key id that kube-apiserver refuses",
    "It must not be empty, and must not have more than 1024 bytes. It stands in the clear beside every value.",
    "correct the plugin; the hash of what names the key makes a good id",
)
SAME_KEY_ID = _rule(
    4,
    Severity.CRITICAL,
    "Encrypt answers with another key id than Status",
    "kube-apiserver throws such an answer away, and never writes with this plugin.",
    "correct the plugin: both must name the key that seals now",
)
STEADY_KEY_ID = _rule(
    5,
    Severity.HIGH,
    "the key id changes by itself, or comes back",
    "Each change makes kube-apiserver seal a new seed and take all older values for stale. An id that comes back names "
    "two keys, or two plugins behind one socket, and nobody can say any more which values an old key still holds.",
    "let the id change when the key is rotated and at no other time, and never use one twice",
)
SIZE = _rule(
    6,
    Severity.CRITICAL,
    "a ciphertext that kube-apiserver refuses",
    "It must not be empty, and must not have more than 1024 bytes for a seed of 32: it is stored with every value.",
    "correct the plugin",
)
ANNOTATIONS = _rule(
    7,
    Severity.CRITICAL,
    "annotations that kube-apiserver refuses",
    "Their names must be domain names with at least two parts, in lower case, and names and values together must not "
    "have more than 32 KiB. One that breaks this makes Encrypt fail.",
    "correct the plugin; and put little there, for it is stored with every value",
)
ROUND_TRIP = _rule(
    8,
    Severity.CRITICAL,
    "Decrypt does not give back what was sealed",
    "Every value that is written now would be lost.",
    "do not use this plugin before that is understood",
    _ASKED,
)
HONEST = _rule(
    9,
    Severity.CRITICAL,
    "the plugin says ok, and does not seal or open",
    "kube-apiserver asks Status only, once a minute: it stays ready, and finds out when it needs a new seed, at its "
    "next start or at the next change of the key.",
    "let Status try the key before it says ok: one Encrypt and one Decrypt",
    _ASKED,
)
SECRET = _rule(
    10,
    Severity.CRITICAL,
    "the plugin does not encrypt",
    "What was to be sealed stands in the ciphertext or in an annotation, in the clear in etcd and in every backup.",
    "do not use this plugin",
    _ASKED,
)
ALTERED = _rule(
    11,
    Severity.HIGH,
    "an altered ciphertext is not refused",
    "Whoever can write to etcd could then hand the plugin what they like and see what becomes of it. A plugin must "
    "know its own ciphertexts again.",
    "use authenticated encryption in the plugin, such as AES-GCM",
    _ASKED,
)
OLD = _rule(
    12,
    Severity.CRITICAL,
    "a value that was sealed earlier does not open any more",
    "Every value of the cluster and of its backups that was sealed then is lost with it. Where the key id is still the "
    "same, one id has named two keys.",
    "bring the old key back at the KMS, and let the plugin keep every key that has ever sealed",
    _ASKED,
)
SOCKET = _rule(
    13,
    Severity.HIGH,
    "others than its owner can reach the socket",
    "Whoever can connect can have every sealed seed opened that they find in a backup of etcd. Whoever can put a "
    "socket in its place is handed new seeds by kube-apiserver. An abstract socket has no mode at all.",
    "put the socket into a directory of its owner with mode 0700, and give it mode 0600",
    "the mode of the socket and of the directories on the way to it",
)
SLOW = _rule(
    14,
    Severity.MEDIUM,
    "the plugin is nearly as slow as kube-apiserver allows",
    "A call that takes longer than the timeout of the provider, 3 s unless the configuration says otherwise, has "
    "failed. A slow plugin is asked seldom, but each server asks it when it starts.",
    "look at the way to the KMS; or give the kms provider a longer timeout",
    "the time of every call",
)

RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
