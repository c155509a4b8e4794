"""Wildcards in files that servers read which do not know them."""

from __future__ import annotations

from keyctl.findings import Status
from tests.unit.audit.cases import Case
from tests.unit.audit.given import GOOD_CONFIG, config, server

P, F = Status.PASS, Status.FAIL
WILD = GOOD_CONFIG.replace("[secrets]", "['*.*']")
BOTH = GOOD_CONFIG.replace("[secrets]", "[secrets, '*.apps']")

CASES: list[Case] = [
    ("KC-ENC-007", F, (config(WILD), server(version="1.26.15"))),
    ("KC-ENC-008", F, (config(WILD), server(version="1.26.15"))),
    ("KC-ENC-007", P, (config(BOTH), server(version="1.26.15"))),
    ("KC-ENC-008", F, (config(BOTH), server(version="1.26.15"))),
    ("KC-ENC-007", P, (config(GOOD_CONFIG), server(version="1.26.15"))),
    ("KC-ENC-008", P, (config(GOOD_CONFIG), server(version="1.26.15"))),
    ("KC-ENC-007", P, (config(WILD), server(version="1.27.0"))),
    ("KC-ENC-008", P, (config(WILD), server(version="1.27.0"))),
    # It reads another file.
    ("KC-ENC-007", P, (config(WILD, "/x/other.yaml"), config(), server(version="1.26.15"))),
]
