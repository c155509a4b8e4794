#!/bin/sh
# Makes what keyctl needs in Vault or OpenBao: an engine, the policies, a login by AppRole. Run by an administrator of the
# Vault (VAULT_ADDR and VAULT_TOKEN, or BAO_ADDR and BAO_TOKEN), in the folder of keyctl.yaml, which names mount and cluster.
# It leaves a wrapped secret id in ./secret-id, which keyctl takes out at its first login. docs/keys-in-vault.md
set -eu
umask 077

bao=${BAO:-bao}                  # BAO=vault for HashiCorp's
mount=keyctl                     # keys.mount, keys.auth.roleId and keys.auth.secretIdFile of keyctl.yaml
role=keyctl-prod-eu1
secret_id=secret-id

"$bao" secrets list -format=json | grep -q "\"$mount/\"" || "$bao" secrets enable -path="$mount" -version=2 kv
"$bao" auth list -format=json | grep -q '"approle/"' || "$bao" auth enable approle

# For whoever rotates, and for nodes with an agent. The right to destroy keys is a policy of its own, for a token that
# exists only while a key is destroyed: keyctl keys policies destroyer
for policy in rotator node-reader auditor; do
  kube-keyctl keys policies "$policy" | "$bao" policy write "$role-$policy" -
done

"$bao" write "auth/approle/role/$role" token_policies="$role-rotator" token_ttl=20m secret_id_num_uses=1
"$bao" write "auth/approle/role/$role/role-id" role_id="$role"
"$bao" write -field=wrapping_token -wrap-ttl=10m -f "auth/approle/role/$role/secret-id" > "$secret_id"
echo "ready; within ten minutes: kube-keyctl keys list" >&2
