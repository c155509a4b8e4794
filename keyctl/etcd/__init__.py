"""etcd over mutual TLS: read, stream a snapshot, ask for status, compact. No verdicts here."""
