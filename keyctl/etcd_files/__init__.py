"""etcd's files as they lie on disk: read-only, no sockets. No verdicts here."""
