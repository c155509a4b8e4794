from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keyctl.stored.display import display


def test_control_and_direction_characters_are_escaped() -> None:
    assert display(b"a\x1b[31m\n\xe2\x80\xae\xffz") == "a\\x1b[31m\\n\\u202e\\xffz"


def test_what_is_readable_stays() -> None:
    assert display("/registry/secrets/öl/键") == "/registry/secrets/öl/键"


@given(st.one_of(st.binary(max_size=3000), st.text(max_size=3000)))
def test_everything_fits_on_one_printable_line(raw: bytes | str) -> None:
    shown = display(raw)
    assert shown.isprintable()
    assert len(shown) <= 256


def test_what_is_cut_says_so() -> None:
    assert display("a" * 256) == "a" * 256
    assert display("a" * 257) == "a" * 255 + "…"
