"""Certificates of a running etcd and of its API servers, renewed on their hosts; its CAs, rolled over."""
