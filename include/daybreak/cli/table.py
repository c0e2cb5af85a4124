"""Columns for people: what every list of the command line is printed with."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """One line for the header and one for each row; the last column is as long as it likes.

    :param rows: each with as many cells as the header; a line break within a cell becomes a space.
    :param right: positions of the columns whose cells end at the same place: numbers.
    """
    cells = [[" ".join(cell.split()) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def clock_seconds(seconds: float | None) -> str:
    """``12.3``; a dash for what was not done."""
    return "-" if seconds is None else f"{seconds:.1f}"
