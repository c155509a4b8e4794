"""The main job on other versions of Kubernetes and etcd: `make versions`, in a run of its own."""
