"""Reads what Weights & Biases keeps of a run offline: a ``.wandb`` file, records in LevelDB's log format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, FILE_HEADER, RECORD_HEADER = 32768, 7, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(run: Path, kind: str) -> list[Any]:
    """All records of a kind, in order, from every offline file in a run folder."""
    found = []
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for data in _messages(path.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == kind:
                found.append(getattr(record, kind))
    return found


def values(items: Any) -> dict[str, Any]:
    """The items of a history, statistics or configuration record as numbers, words and trees."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _messages(data: bytes) -> Iterator[bytes]:
    """Whole messages; a record never crosses a block of the file, a message may be of several records."""
    assert data[:4] == b":W&B"
    position, message = FILE_HEADER, b""
    while position + RECORD_HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < RECORD_HEADER:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        position += RECORD_HEADER
        message = (b"" if kind in (FULL, FIRST) else message) + data[position : position + length]
        position += length
        if kind in (FULL, LAST):
            yield message
