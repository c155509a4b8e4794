"""Snapshots of etcd, what they need and what they leak; and etcd's own files freed of what was overwritten."""
