"""`certs renew --cluster`: what was renewed in the directory, brought to its hosts one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keyctl.cli import renewing
from keyctl.pki.generation import Generation
from keyctl.pki.layout import Layout
from keyctl.renewing.carry_out import Worker
from keyctl.renewing.files import torn
from keyctl.renewing.plan import Kind, Party, Step, renewal
from keyctl.renewing.proof import Proof
from keyctl.renewing.rollover import require_start, under_way

if TYPE_CHECKING:
    from keyctl.cluster_file.settings import ClusterSettings
    from keyctl.rotation.journal import Journal


class RenewedHosts:
    """The hosts of `settings`, whose certificates are those of the directory `root`."""

    def __init__(self, settings: ClusterSettings, root: Path) -> None:
        self._settings, self._root = settings, root
        self._layouts = {Generation.OLD: Layout(root)}

    def require_ours(self, journal: Journal) -> None:
        """Raise where a roll-over brings these hosts other certificates, or the directory is not that of them all."""
        renewing.require_no_rollover(under_way(journal) is not None)
        renewing.require_every_member(self._settings, self._root)

    def mend(self, say: Callable[[str], None], confirm: Callable[[], None]) -> None:
        """Bring what the directory has to whom a run that was killed left with half of it, after `confirm`."""
        with renewing.site(self._settings, self._root, self._layouts) as site:
            steps = self._of([party for party, place in site.places.items() if torn(place)])
            if steps:
                say("a renewal was cut off: a host has a key that is not that of its certificate")
                confirm()
            Worker(site, None, say).run(steps, begun=frozenset(), done=frozenset())

    def require_start(self) -> None:
        """Look at everybody before anything is renewed. Raises what says why nothing is."""
        with renewing.site(self._settings, self._root, self._layouts) as site:
            require_start(site)

    def steps(self, members: Collection[str], clients: Collection[str], *, named: bool) -> tuple[Step, ...]:
        """Whom something is brought: `members` and `clients`, the folders of the directory that are renewed.

        Unless they were `named`, also all those that have something else than the directory.
        """
        of = {one.name: one.certificates.client for one in self._settings.api_servers if one.certificates}
        with renewing.site(self._settings, self._root, self._layouts) as site:
            proof = Proof(site)
            return self._of(
                [
                    party
                    for party in site.places
                    if (party.name in members if party.kind is Kind.MEMBER else of[party.name] in clients)
                    or not (named or proof.holds(party, Generation.OLD))
                ]
            )

    def elsewhere(self, clients: Collection[str]) -> tuple[str, ...]:
        """Those of `clients` that are on no host of the cluster file: nobody brings them anything."""
        return tuple(name for name in renewing.others(self._settings, self._root) if name in clients)

    def bring(self, steps: tuple[Step, ...], say: Callable[[str], None]) -> None:
        """Carry out `steps` with what is in the directory now. Raises `StoppedError`: to be run again."""
        with renewing.site(self._settings, self._root, self._layouts) as site:
            Worker(site, None, say).run(steps, begun=frozenset(), done=frozenset())

    def _of(self, chosen: Sequence[Party]) -> tuple[Step, ...]:
        return renewal(
            [party.name for party in chosen if party.kind is Kind.MEMBER],
            [party.name for party in chosen if party.kind is Kind.API_SERVER],
        )
