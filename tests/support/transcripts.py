"""What processes and commands said during a run of tests, kept to be searched for keys at its end.

Nothing is kept outside of such a run.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = "RECORDED_KEYS"
SUFFIX = ".said"


def note(who: str, *said: str | bytes | None) -> None:
    """Keep what `who` (a command, a test) said."""
    folder = os.environ.get(FOLDER)
    texts = [text.encode(errors="surrogateescape") if isinstance(text, str) else text for text in said if text]
    if folder and texts:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        head = f"\n== {test}: {' '.join(who.split())[:300]}\n"
        with Path(folder, f"{os.getpid()}{SUFFIX}").open("ab") as file:
            file.write(b"".join([head.encode(errors="surrogateescape"), *texts]))
