"""`python -m keyctl`, for when another `keyctl` comes first on the PATH."""

from __future__ import annotations

from keyctl.cli.main import main

main()
