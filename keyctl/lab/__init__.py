"""The lab: a real control plane on loopback, to try things on. It simulates nothing and is not for production."""
