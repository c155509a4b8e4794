"""The hand-made set: encryption configurations for every rule, with the verdict and the place that each must get."""

from __future__ import annotations

from tests.support.encryption_document_accepted import ACCEPTED
from tests.support.encryption_document_parts import Written
from tests.support.encryption_document_refused import REFUSED
from tests.support.encryption_document_unread import UNREAD

DOCUMENTS: tuple[Written, ...] = (*ACCEPTED, *REFUSED, *UNREAD)
