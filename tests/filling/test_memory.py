"""Amounts of memory: what people write is read, and a slip is not taken for an amount."""

import pytest

from inpaintkit.errors import UsageError
from inpaintkit.filling.memory import parse_memory


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2GB", 2_000_000_000),
        ("500MB", 500_000_000),
        ("1.5GiB", 1_610_612_736),
        ("512MiB", 536_870_912),
        ("0.25TB", 250_000_000_000),
        ("2g", 2_000_000_000),
        (" 800 mb ", 800_000_000),
        ("2048kib", 2_097_152),
        ("3000000", 3_000_000),
        ("3000000B", 3_000_000),
        (1_000_000, 1_000_000),
    ],
)
def test_an_amount_is_read(text: str | int, amount: int) -> None:
    assert parse_memory(text) == amount


@pytest.mark.parametrize("text", ["", "GB", "-2GB", "2 G B", "2GBs", "1e9", "nan", "inf", "two", "2,5GB", "٢GB", "2Gi"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected an amount such as 2GB"):
        parse_memory(text)


@pytest.mark.parametrize("text", ["2", "0", "0GB", "999999", 2, 0, -5])
def test_a_forgotten_unit_is_refused(text: str | int) -> None:
    with pytest.raises(UsageError, match="memory is"):
        parse_memory(text)


@pytest.mark.parametrize("text", ["2000000TB", "9" * 400])
def test_more_than_there_is_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no computer has"):
        parse_memory(text)


@pytest.mark.parametrize("memory", [True, None, 2.5, b"2GB"])
def test_other_types_are_refused(memory: object) -> None:
    with pytest.raises(UsageError, match="memory is"):
        parse_memory(memory)  # type: ignore[arg-type]
