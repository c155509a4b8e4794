"""A snapshot of etcd with known faults, made without any server, for `keyctl demo --offline`."""
