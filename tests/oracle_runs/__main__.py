"""keyctl and the loaders of three kube-apiservers on thousands of made-up files: `python -m tests.oracle_runs`.

Prints how many were accepted, refused and not read, by rule. Exits 1 when the two differ, with the smallest file found
that shows it (all keys in it are test keys), or when too few were accepted to say anything.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable

import click
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.support.encryption_document_agreement import Compared, compare
from tests.support.encryption_document_strategy import documents
from tests.support.oracle import MODULE_FILES

EXAMPLES = 10_000
# A run in which the server refuses nearly everything compares no effective view.
LEAST_ACCEPTED = 0.1


class DifferenceError(Exception):
    """keyctl and a server differ on a file."""

    def __init__(self, content: bytes, kubernetes: str, difference: str) -> None:
        super().__init__(difference)
        self.content, self.kubernetes = content, kubernetes


class Tally:
    """What came of the files, by version: verdicts, and the rules of those that were not accepted."""

    def __init__(self) -> None:
        self.verdicts: dict[str, Counter[bool | None]] = {version: Counter() for version in MODULE_FILES}
        self.accepted_unread: Counter[str] = Counter()
        self.rules: dict[str, Counter[str]] = {version: Counter() for version in MODULE_FILES}

    def add(self, kubernetes: str, compared: Compared) -> None:
        judged = compared.judged
        self.verdicts[kubernetes][judged.accepted] += 1
        self.accepted_unread[kubernetes] += judged.accepted is None and compared.loaded.accepted
        if not judged.accepted:
            self.rules[kubernetes].update({finding.id for finding in judged.findings})

    def share_accepted(self) -> float:
        seen = sum(map(Counter.total, self.verdicts.values()))
        return sum(counted[True] for counted in self.verdicts.values()) / seen if seen else 0.0

    def lines(self) -> Iterable[str]:
        for version, counted in self.verdicts.items():
            yield (
                f"Kubernetes {version}: {counted.total()} files, {counted[True]} accepted, {counted[False]} refused, "
                f"{counted[None]} not read by keyctl ({self.accepted_unread[version]} of which it accepts)"
            )
            rules = sorted(self.rules[version].items())
            yield "  " + ", ".join(f"{rule} {count}" for rule, count in rules)


def compare_many(examples: int, first: int) -> Tally:
    """Compare `examples` files of the seed `first`. Raises `DifferenceError` with the smallest one that differs."""
    tally = Tally()

    @seed(first)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(documents(), st.sampled_from(tuple(MODULE_FILES)))
    def each(content: bytes, kubernetes: str) -> None:
        compared = compare(content, kubernetes)
        tally.add(kubernetes, compared)
        if compared.difference is not None:
            raise DifferenceError(content, kubernetes, compared.difference)

    each()
    return tally


@click.command()
@click.option("--examples", default=EXAMPLES, show_default=True, help="How many files to make.")
@click.option("--seed", "first", default=None, type=int, help="Make the files of an earlier run again.")
def main(examples: int, first: int | None) -> None:
    """Compare keyctl with kube-apiserver on made-up files."""
    started = time.time()
    first = int(started) if first is None else first
    click.echo(f"seed {first}")
    try:
        tally = compare_many(examples, first)
    except DifferenceError as found:
        click.echo(f"DIFFERENT on Kubernetes {found.kubernetes}: {found}")
        click.echo(f"the file: {found.content!r}")
        sys.exit(1)
    for line in tally.lines():
        click.echo(line)
    click.echo(f"no difference in {examples} files ({time.time() - started:.0f} s)")
    if tally.share_accepted() < LEAST_ACCEPTED:
        click.echo("but too few were accepted to say much")
        sys.exit(1)


if __name__ == "__main__":
    main()
