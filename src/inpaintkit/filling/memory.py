"""Amounts of memory as people write them: 2GB, 500MB, 1.5GiB."""

import math
import re

from ..errors import UsageError

UNITS = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
"""Unit to bytes: decimal (MB, GB) and binary (MiB, GiB)."""

LEAST_MEMORY = 1_000_000
"""No photo can be filled in less; so small a number is a unit forgotten."""

_SPELLINGS = {unit.upper(): factor for unit, factor in UNITS.items()} | {
    letter: UNITS[f"{letter}B"] for letter in "KMGT"
}


def parse_memory(memory: int | str) -> int:
    """Bytes from a number of bytes, or a text such as "2GB", "500 MB", "1.5GiB" or "2G" (the same as 2GB).

    Raises UsageError for anything else, and for less than LEAST_MEMORY.
    """
    expected = "expected an amount such as 2GB, 500MB or 1.5GiB"
    if isinstance(memory, bool) or not isinstance(memory, int | str):
        raise UsageError(f"memory is {memory!r}, {expected}, or a whole number of bytes")
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([A-Z]*)", str(memory).strip().upper())
    factor = _SPELLINGS.get(match[2]) if match else None
    if match is None or factor is None:
        raise UsageError(f"memory is '{memory}', {expected}")
    amount = float(match[1]) * factor
    if not math.isfinite(amount) or amount >= UNITS["TiB"] * 1024:
        raise UsageError(f"memory is '{memory}', which no computer has: {expected}")
    if amount < LEAST_MEMORY:
        raise UsageError(f"memory is {int(amount)} bytes, too little for any photo: {expected}, with its unit")
    return int(amount)
