"""The Kubernetes API, each server on its own address. Secret data is never asked for (rule R14)."""
