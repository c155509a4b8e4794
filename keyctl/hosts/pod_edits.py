"""Splices in a pod manifest: flags, a mount and its volume put in; list items and words taken out or replaced; a mark.

Comments and layout stay. What is removed or replaced is read again and must mean just that; the functions that
return insertions leave this to their caller.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from keyctl.documents import Document, Mapping, Node, Scalar, Sequence, parse, refuse, splice
from keyctl.encryption_config.editing.layout import Edit, check_editable, remove
from keyctl.errors import RefusedError
from keyctl.hosts.encryption_flags import TRUE
from keyctl.hosts.pod import PROGRAM, Pod, Word, field_of, items_of, text_of

# The annotation whose change makes a kubelet start a static pod anew.
RESTART_MARK = "keyctl/restarted-at"
_VOLUME = "keyctl-encryption"
_PLAIN_TEXT = re.compile(r"[A-Za-z/-][A-Za-z0-9/._=-]*")


def flag_edits(pod: Pod, wanted: dict[str, str]) -> list[Edit]:
    """Insertions behind the last word of the command line for the flags of `wanted` that are not there.

    Raises `RefusedError` when one is there with another value.
    """
    flags = {flag.name: flag.value for flag in pod.flags()}
    for flag, value in wanted.items():
        given = flags.get(flag)
        if given is not None and given != value and not (value == "true" and given in TRUE):
            raise RefusedError(
                f"{pod.document.name} has the flag --{flag} with another value",
                hint=f"set --{flag}={value} in it, or correct the cluster file",
            )
    missing = [f"--{flag}={value}" for flag, value in wanted.items() if flag not in flags]
    lists = [field_of(pod.container, name) for name in ("args", "command")]
    words = next((node for node in lists if isinstance(node, Sequence) and node.items), None)
    if words is None:
        refuse(
            pod.document.name,
            pod.container.span,
            f"the {PROGRAM} container has no command",
            hint="the manifest must name the command: an image's own one cannot be given flags",
        )
    return [_append(pod.document, words, _quoted(word), json.dumps(word)) for word in missing]


def mount_edits(pod: Pod, file: PurePosixPath, *, volume: str = _VOLUME) -> list[Edit]:
    """Insertions that mount the directory of `file` at its own path; its volume is called `volume` where that is free.

    Raises `RefusedError` when that place of the container is taken, or is the root of its file system.
    """
    directory = file.parent
    taken = [mount.inside for mount in pod.mounts() if mount.inside in (directory, file)]
    if taken or directory == PurePosixPath("/"):
        raise RefusedError(
            f"{pod.document.name}: the directory {directory} cannot be mounted into the container",
            cause=f"something else is mounted at {taken[0]}" if taken else "it is the root of the file system",
            hint="choose a directory of its own for the file",
        )
    name = _free_volume_name(pod, volume)
    path, quoted = str(directory), _quoted(str(directory))
    return [
        _add(
            pod.document,
            pod.container,
            "volumeMounts",
            (f"mountPath: {quoted}", f"name: {name}", "readOnly: true"),
            {"mountPath": path, "name": name, "readOnly": True},
        ),
        _add(
            pod.document,
            pod.spec,
            "volumes",
            ("hostPath:", f"  path: {quoted}", "  type: DirectoryOrCreate", f"name: {name}"),
            {"hostPath": {"path": path, "type": "DirectoryOrCreate"}, "name": name},
        ),
    ]


def with_restart_mark(content: bytes, mark: str, *, name: str) -> bytes:
    """The manifest with `mark` as the value of the annotation that stands for a restart; put in where it is not there.

    Raises `RefusedError` for a layout that is not edited, `UnusableInputError` for what is no pod with metadata.
    """
    document = parse(content, name=name)
    check_editable(document)
    metadata = field_of(document.root, "metadata")
    if not isinstance(metadata, Mapping) or not metadata.items:
        refuse(name, document.root.span, "not the manifest of a pod", hint="correct apiServers[].manifest")
    edited = splice(document.text, [_mark_edit(document, metadata, json.dumps(mark))]).encode()
    marked = field_of(field_of(field_of(parse(edited, name=name).root, "metadata"), "annotations"), RESTART_MARK)
    if text_of(marked) != mark or _without_mark(parse(edited, name=name)) != _without_mark(document):
        raise RefusedError(
            f"{name}: the annotations cannot be edited as they are written",
            hint="write metadata.annotations as plain lines, name and value, and make the pod load it",
        )
    return edited


def same_but_for_restarts(one: bytes, other: bytes, *, name: str) -> bool:
    """Whether two manifests differ in nothing but the mark of a restart."""
    return one == other or with_restart_mark(one, "", name=name) == with_restart_mark(other, "", name=name)


def without_item(document: Document, parent: Mapping, name: str, index: int) -> bytes:
    """The manifest without item `index` of the list `name` of `parent`; comment lines around it stay.

    A list left without items is written as an empty one. Raises `RefusedError` for a layout that is not edited.
    """
    check_editable(document)
    items = field_of(parent, name)
    if not isinstance(items, Sequence):
        raise RuntimeError("an item of no list was to be removed")
    edits = remove(document, items, index) if len(items.items) > 1 else _emptied(document, parent, name, items)
    return _checked(document, edits, items.items[index], None)


def with_shorter_name(document: Document, word: Word, prefix: re.Pattern[str]) -> bytes:
    """The manifest with the flag `word` renamed: what `prefix` matches right behind the dashes goes; quotes stay.

    Raises `RefusedError` when the name does not stand in the file as it reads.
    """
    check_editable(document)
    start, line = word.node.span.start, word.node.span.line
    name = start + (document.text[start] in "\"'") + len("--")
    found, read = prefix.match(document.text, name), prefix.match(word.text, len("--"))
    if found is None or read is None:
        raise RefusedError(
            f"{document.name}:{line}: a flag written with escapes", hint=f"write the flag on line {line} without them"
        )
    return _checked(document, [(name, found.end(), "")], word.node, f"--{word.text[read.end() :]}")


def _mark_edit(document: Document, metadata: Mapping, value: str) -> Edit:
    """The splice that sets the mark to `value`, which is quoted as JSON is."""
    flow = f"{json.dumps(RESTART_MARK)}: {value}"
    annotations = field_of(metadata, "annotations")
    if annotations is None:
        if any(key.text == "annotations" for key, _ in metadata.items):
            refuse(document.name, metadata.span, "annotations is empty", hint="delete the field annotations")
        if metadata.flow:
            end = metadata.items[-1][1].span.end
            return end, end, f', "annotations": {{{flow}}}'
        indent = " " * (metadata.span.column - 1)
        return _after(document, metadata, f"{indent}annotations:\n{indent}  {RESTART_MARK}: {value}")
    if not isinstance(annotations, Mapping):
        refuse(document.name, annotations.span, "annotations is no mapping", hint="write name: value below it")
    old = next((node for key, node in annotations.items if key.text == RESTART_MARK), None)
    if old is not None:
        return old.span.start, old.span.end, value
    if annotations.flow or not annotations.items:
        end = annotations.items[-1][1].span.end if annotations.items else annotations.span.start + 1
        return end, end, f", {flow}" if annotations.items else flow
    return _after(document, annotations, f"{' ' * (annotations.span.column - 1)}{RESTART_MARK}: {value}")


def _without_mark(document: Document) -> object:
    """What a manifest says, but for the mark; annotations that held nothing else are none."""
    meaning = _meaning(document.root)
    metadata = meaning["metadata"] if isinstance(meaning, dict) else None
    if isinstance(metadata, dict) and isinstance(annotations := metadata.get("annotations", {}), dict):
        others = {key: value for key, value in annotations.items() if key != RESTART_MARK}
        metadata = {key: value for key, value in metadata.items() if key != "annotations"} | {"annotations": others}
        return meaning | {"metadata": metadata} if isinstance(meaning, dict) else meaning
    return meaning


def _checked(document: Document, edits: list[Edit], changed: Node, to: str | None) -> bytes:
    edited = splice(document.text, edits).encode()
    if _meaning(parse(edited, name=document.name).root) != _meaning(document.root, changed, to):
        raise RuntimeError("the edited manifest does not say what it was to say")
    return edited


def _meaning(node: Node, changed: Node | None = None, to: str | None = None) -> object:
    """What a node says, with the item `changed` of a list left out, or with the text `to` in its place."""
    if isinstance(node, Scalar):
        return (node.kind, to if node is changed and to is not None else node.text)
    if isinstance(node, Sequence):
        return [_meaning(item, changed, to) for item in node.items if item is not changed or to is not None]
    return {key.text: _meaning(value, changed, to) for key, value in node.items}


def _emptied(document: Document, parent: Mapping, name: str, items: Sequence) -> list[Edit]:
    if items.flow:
        start, end = items.span.start + 1, items.span.end - 1
        if "#" in document.text[start:end]:
            raise RefusedError(
                f"{document.name}:{items.span.line}: a list in brackets with a comment inside is not edited",
                hint="move the comment above the list",
            )
        return [(start, end, "")]
    key = next(key for key, _ in parent.items if key.text == name)
    colon = document.text.index(":", key.span.end) + 1
    return [(colon, colon, " []"), *remove(document, items, 0)]


def _free_volume_name(pod: Pod, wanted: str) -> str:
    taken = {text_of(field_of(volume, "name")) for volume in items_of(field_of(pod.spec, "volumes"))}
    number = 1
    while (name := wanted if number == 1 else f"{wanted}-{number}") in taken:
        number += 1
    return name


def _add(document: Document, parent: Mapping, name: str, block: tuple[str, ...], flow: dict[str, object]) -> Edit:
    """The insertion of one more item into the list `name` of `parent`, which may not be there yet."""
    node = field_of(parent, name)
    if isinstance(node, Sequence) and (node.items or node.flow):
        return _append(document, node, "\n".join(block), json.dumps(flow))
    if any(key.text == name for key, _ in parent.items):
        refuse(document.name, parent.span, f"{name} is empty or no list", hint=f"delete the field {name}")
    if parent.flow:
        end = parent.items[-1][1].span.end
        return end, end, f", {json.dumps(name)}: [{json.dumps(flow)}]"
    indent = " " * (parent.span.column - 1)
    item = "\n".join(f"{indent}{'- ' if not index else '  '}{line}" for index, line in enumerate(block))
    return _after(document, parent, f"{indent}{name}:\n{item}")


def _append(document: Document, node: Sequence, block: str, flow: str) -> Edit:
    if node.flow:
        end = node.items[-1].span.end if node.items else node.span.start + 1
        return end, end, f", {flow}" if node.items else flow
    indent = " " * (node.span.column - 1)
    lines = block.split("\n")
    text = "\n".join([f"{indent}- {lines[0]}", *(f"{indent}  {line}" for line in lines[1:])])
    return _after(document, node, text)


def _after(document: Document, node: Node, lines: str) -> Edit:
    """The insertion of whole lines below the last line of a block `node`, with the file's own line ends."""
    text = document.text
    end = text.find("\n", _last_leaf(node).span.end - 1) + 1
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = lines.replace("\n", newline)
    return (end, end, lines + newline) if end else (len(text), len(text), newline + lines)


def _last_leaf(node: Node) -> Node:
    """What stands last in `node`: a block's own span may run on over the comments below it."""
    if isinstance(node, Sequence) and not node.flow:
        return _last_leaf(node.items[-1])
    if isinstance(node, Mapping) and not node.flow:
        key, value = node.items[-1]
        # A null that is not written has no place of its own.
        return _last_leaf(value) if value.span.end > key.span.end else key
    return node


def _quoted(text: str) -> str:
    return text if _PLAIN_TEXT.fullmatch(text) else json.dumps(text)
