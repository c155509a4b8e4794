"""Commands that a user is told to type: how they name a file, and when they are worth typing."""

from __future__ import annotations

import shlex

import pytest

from keyctl.document_text import UnreadableDocumentError, decode_text
from keyctl.file_argument import file_argument


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("enc.yaml", "enc.yaml"),
        ("/etc/kubernetes/enc.yaml", "/etc/kubernetes/enc.yaml"),
        ("my enc.yaml", "'my enc.yaml'"),
        ("$(reboot)", "'$(reboot)'"),
        ("it's", """'it'"'"'s'"""),
        ("-x.yaml", "./-x.yaml"),
        ("<stdin>", "FILE"),
        ("a\\nb", "FILE"),
        ("long…", "FILE"),
    ],
)
def test_a_file_is_one_word_of_a_shell_and_never_an_option(name: str, word: str) -> None:
    assert file_argument(name) == word
    assert len(shlex.split(word)) == 1


TEXT = "kind: EncryptionConfiguration\n# bön\n"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (TEXT.encode("utf-16"), "iconv -f UTF-16 -t UTF-8 'my enc.yaml'"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "iconv -f UTF-16 -t UTF-8 'my enc.yaml'"),
        (TEXT.encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8 'my enc.yaml'"),
        (TEXT.encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8 'my enc.yaml'"),
        (f"{TEXT}\0".encode(), "delete the NUL bytes; is it a text file?"),
        (b"\0" * 40, "delete the NUL bytes; is it a text file?"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0", "delete the NUL bytes; is it a text file?"),
    ],
)
def test_only_what_looks_like_utf16_is_to_be_converted_from_it(content: bytes, hint: str) -> None:
    with pytest.raises(UnreadableDocumentError) as caught:
        decode_text(content, "my enc.yaml")
    assert caught.value.hints == (hint,)
