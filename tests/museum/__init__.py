"""Accidents set up on real servers: three API servers, three members of etcd, and changes all the time."""
