"""keyctl: turn on, prove, rotate and audit Kubernetes encryption at rest."""

from __future__ import annotations

__version__ = "0.1.0"
