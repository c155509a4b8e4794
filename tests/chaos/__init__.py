"""Rotation after rotation while servers, members of etcd and keyctl itself are killed and paused by chance."""
