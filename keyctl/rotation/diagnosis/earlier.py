"""The files that a rotation of keyctl's had placed before those that are there now: made again, known by their hash.

A server that has not loaded its file runs on the one before, which stands on no host any more. The edits of the
rotation lead back to it, and the hash that the server reports proves that they did. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from keyctl.encryption_config.decode import hash_of
from keyctl.errors import KeyctlError
from keyctl.keys.key import Key, KeyRef
from keyctl.rotation.diagnosis.facts import ConfigText
from keyctl.rotation.diagnosis.look import Look, read_text
from keyctl.rotation.plan import Plan, Stage
from keyctl.rotation.stages import IDENTITY, Files

# As many as `Files.hashes` looks at.
_MOST = 16


def earlier(plan: Plan | None, looks: Iterable[Look], keys: Iterable[Key]) -> tuple[ConfigText, ...]:
    """What the servers of `plan` report as loaded and have in no file: as many of them as can be made again."""
    if plan is None:
        return ()
    looked, known = tuple(looks), {key.fingerprint: key for key in keys}
    at_hand = {look.seen.file.sha256 for look in looked if look.seen.file is not None}
    found: dict[str, ConfigText] = {}
    for look in looked:
        wanted = look.seen.loaded_hash
        if wanted is not None and wanted not in at_hand and wanted not in found:
            text = _made_again(plan, look, wanted, known)
            if text is not None:
                found[wanted] = text
    return tuple(found.values())


def _made_again(plan: Plan, look: Look, wanted: str, known: dict[str, Key]) -> ConfigText | None:
    server = next((one for one in plan.servers if one.name == look.place.name), None)
    new = known.get(plan.fingerprint)
    if server is None or (new is None and plan.new != IDENTITY):
        return None
    old = [key for planned in plan.old if (key := _renamed(known.get(planned.fingerprint), planned.ref)) is not None]
    files = Files(plan.change, plan.old, _renamed(new, plan.new), old)
    content = None if look.file is None else look.file.content
    stage = server.stage_of(None if content is None else hash_of(content))
    todo = [] if stage is None else [(stage, content)]
    seen: list[tuple[Stage, bytes | None]] = []
    while todo and len(seen) < _MOST:
        stage, content = todo.pop()
        if content is not None and hash_of(content) == wanted:
            return read_text(content, f"an earlier file of rotation {plan.rotation}")[0]
        seen.append((stage, content))
        todo += [one for one in _neighbours(files, server.name, stage, content) if one not in seen]
    return None


def _neighbours(files: Files, name: str, stage: Stage, content: bytes | None) -> list[tuple[Stage, bytes | None]]:
    found: list[tuple[Stage, bytes | None]] = []
    for want in (Stage(n) for n in (stage - 1, stage + 1) if Stage.BASE <= n <= Stage.RETIRED):
        try:
            found.append((want, files.step(content, stage, want, name=name)))
        except (KeyctlError, LookupError):
            # A key that is not at hand, or a file that does not allow the change: no way leads there.
            continue
    return found


def _renamed(key: Key | None, ref: KeyRef) -> Key | None:
    return None if key is None else Key(ref.provider, ref.name, key.material)
