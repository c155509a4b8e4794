"""The values that a request in etcd's log carries, whatever became of the request. Judges no value.

An entry of the log is a raftpb.Entry, and what it holds an
etcdserverpb.InternalRaftRequest.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.stored.protobuf import LENGTH_DELIMITED, DamagedError, chunks, fields, varint

# InternalRaftRequest: what a request is; those from 1000 on are of authentication and of the cluster.
_ID, _HEADER, _PUT, _TXN = 1, 100, 4, 6
_WITHOUT_VALUES = {3, 5, 7, 8, 9, 10, 11}
_FIRST_ADMINISTRATIVE = 1000
# PutRequest; Compare, which may name a value to compare with; RequestOp.
_PUT_KEY, _PUT_VALUE = 1, 2
_COMPARE_KEY, _COMPARE_VALUE = 3, 7
_OPERATION_PUT, _OPERATION_TXN = 2, 4
_OPERATIONS = {1, 2, 3, 4}
# TxnRequest
_COMPARE, _SUCCESS, _FAILURE = 1, 2, 3

_VARINT = 0


def entry(data: bytes) -> tuple[int, int, bytes]:
    """Index, type (0 is a request) and content of an entry. Raises `DamagedError`."""
    index = kind = 0
    content = b""
    for number, wire, start, end in fields(data, 0, len(data)):
        if number == 4 and wire == LENGTH_DELIMITED:
            content = data[start:end]
        elif number == 3 and wire == _VARINT:
            index, _ = varint(data, start, end)
        elif number == 1 and wire == _VARINT:
            kind, _ = varint(data, start, end)
    return index, kind, content


def values(request: bytes) -> list[tuple[bytes, bytes]]:
    """(etcd key, value) of each value in the request: also of the branch of a transaction that was not taken.

    Raises `DamagedError` for bytes that are no request, or one of another kind than those known.
    """
    found: list[tuple[bytes, bytes]] = []
    for number, wire, start, end in fields(request, 0, len(request)):
        if number in (_PUT, _TXN) and wire == LENGTH_DELIMITED:
            found += [_pair(request, start, end, _PUT_KEY, _PUT_VALUE)] if number == _PUT else _txn(request, start, end)
        elif number not in (_ID, _HEADER) and number not in _WITHOUT_VALUES and number < _FIRST_ADMINISTRATIVE:
            raise DamagedError
    return [(key, value) for key, value in found if value]


def _txn(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """The values of a transaction and of those inside it; made-up nesting takes no stack."""
    pending = [(start, end)]
    while pending:
        for number, _, at, until in fields(data, *pending.pop()):
            if number == _COMPARE:
                yield _pair(data, at, until, _COMPARE_KEY, _COMPARE_VALUE)
            elif number in (_SUCCESS, _FAILURE):
                operation = chunks(data, at, until)
                if operation.keys() - _OPERATIONS:
                    raise DamagedError
                if _OPERATION_PUT in operation:
                    yield _pair(data, *operation[_OPERATION_PUT], _PUT_KEY, _PUT_VALUE)
                if _OPERATION_TXN in operation:
                    pending.append(operation[_OPERATION_TXN])
            else:
                raise DamagedError


def _pair(data: bytes, start: int, end: int, key: int, value: int) -> tuple[bytes, bytes]:
    parts = chunks(data, start, end)
    return data[slice(*parts.get(key, (0, 0)))], data[slice(*parts.get(value, (0, 0)))]
