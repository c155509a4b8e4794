"""Least-privilege policies for Vault and OpenBao, as text. Pure; applies nothing."""

from __future__ import annotations

from enum import StrEnum

from keyctl.keys.vault.settings import VaultPlace


class Role(StrEnum):
    """Who works with the entries of a cluster."""

    ROTATOR = "rotator"
    NODE_READER = "node-reader"
    AUDITOR = "auditor"
    DESTROYER = "destroyer"


# The destroyer is no part of everyday work: its policy is printed only when it is asked for.
EVERYDAY = (Role.ROTATOR, Role.NODE_READER, Role.AUDITOR)

_OF_ITSELF = """\
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self"  { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
"""

# NOTE: "update" of a key's metadata is hedged by its parameters: max_versions and delete_version_after would
# destroy a key by the side door. Of what nodes load and report the newest version alone is to be kept.
_TEXTS = {
    Role.ROTATOR: """\
# Rotator: creates keys, and never overwrites, deletes or destroys one.
path "{mount}/data/{path}/keys/*" {{ capabilities = ["create", "read"] }}
path "{mount}/data/{path}/ledger" {{ capabilities = ["create", "update", "read"] }}
path "{mount}/data/{path}/current" {{ capabilities = ["create", "update", "read"] }}
path "{mount}/data/{path}/applied/*" {{ capabilities = ["read"] }}
path "{mount}/metadata/{path}/*" {{ capabilities = ["read", "list"] }}
path "{mount}/metadata/{path}/keys/*" {{
  capabilities = ["create", "update", "read", "list"]
  allowed_parameters = {{
    "custom_metadata" = []
    "cas_required" = [true]
  }}
}}
path "{mount}/metadata/{path}/current" {{
  capabilities = ["create", "update", "read"]
  allowed_parameters = {{
    "max_versions" = ["1"]
  }}
}}
path "{mount}/metadata/{path}/applied/*" {{
  capabilities = ["create", "update", "read", "list"]
  allowed_parameters = {{
    "max_versions" = ["1"]
  }}
}}
path "{mount}/config" {{ capabilities = ["read"] }}
path "sys/capabilities-self" {{ capabilities = ["update"] }}
""",
    Role.NODE_READER: """\
# Node reader: what control-plane nodes load, its newest version only; and what each reports of its own file.
path "{mount}/data/{path}/current" {{
  capabilities = ["read"]
  denied_parameters = {{
    "version" = []
  }}
}}
path "{mount}/data/{path}/applied/*" {{ capabilities = ["create", "update"] }}
path "{mount}/metadata/{path}/applied/*" {{
  capabilities = ["create", "update"]
  allowed_parameters = {{
    "max_versions" = ["1"]
  }}
}}
""",
    Role.AUDITOR: """\
# Auditor: everything about keys except keys.
path "{mount}/data/{path}/ledger" {{ capabilities = ["read"] }}
path "{mount}/metadata/{path}/*" {{ capabilities = ["read", "list"] }}
path "{mount}/config" {{ capabilities = ["read"] }}
""",
    Role.DESTROYER: """\
# Destroyer: erases keys for good. For keys destroy only, beside the rotator's policy, and never in a token that
# rotates.
path "{mount}/destroy/{path}/keys/*" {{ capabilities = ["update"] }}
path "{mount}/metadata/{path}/keys/*" {{ capabilities = ["read"] }}
""",
}


def policy(role: Role, place: VaultPlace) -> str:
    """The policy of `role` for the entries at `place`, in HCL."""
    return _TEXTS[role].format(mount=place.mount, path=place.path) + _OF_ITSELF
