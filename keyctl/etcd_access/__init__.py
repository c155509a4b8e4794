"""Users and roles of etcd itself: which there must be, in which order they come, whether they are there."""
