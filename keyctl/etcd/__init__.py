"""etcd over mutual TLS: read, stream a snapshot, ask for status. No verdicts here."""
