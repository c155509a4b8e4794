"""Keys in a KV v2 engine of HashiCorp Vault or OpenBao."""
