"""What stands in etcd: recognise it, open it, count it. Pure."""
