"""What there is to say about the areas of a file beside the values in them, collected while they are read."""

from __future__ import annotations

from keyctl.stored.source import Area, Remark


class Remarks:
    """`said`, in order, and the areas of which a part was `unread` and that so were not looked at to their end."""

    def __init__(self) -> None:
        self.said: list[Remark] = []
        self.unread: set[Area] = set()

    def say(self, area: Area, text: str, *, unread: bool = False) -> None:
        """Add one remark. `unread`: because of it the area does not count as looked at."""
        self.said.append(Remark(area, text))
        if unread:
            self.unread.add(area)
