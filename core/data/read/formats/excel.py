"""Excel workbooks: every sheet as a table with a header, one after the other, read by openpyxl.

A workbook is a zip of XML: what it unpacks to is limited before it is opened, and XML that declares
entities, which none needs, is refused.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from core.base.errors import UserError, first_line
from core.data.read.batches import MOST_ROWS, as_written
from core.data.read.flow import BLOCK_BYTES, Flow, refuse_bomb, refuse_entries
from core.data.read.formats import Block, Format, Item, ReadyBlock, Row, Unreadable
from core.data.read.head import Head
from core.data.read.header import Header, header_of

# openpyxl holds the texts of all cells, and a sheet may refer to each as often as it likes
_MOST_SHARED = 256 * 1024**2
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, LookupError, ValueError, TypeError)
_DAMAGE += (AttributeError, SyntaxError, NotImplementedError, RuntimeError, MemoryError)


class Excel(Format):
    """A workbook of Excel 2007 or later (.xlsx, .xlsm)."""

    name, title, order = "excel", "Excel", 35
    help = "Excel (`.xlsx`, each sheet with a header)"
    endings = (".xlsx", ".xlsm")

    def match(self, head: Head) -> Excel | None:
        is_zip = head.raw.startswith(b"PK\x03\x04")
        return self if is_zip and (b"xl/" in head.raw or head.ending in self.endings) else None

    def blocks(self, flow: Flow, encoding: str) -> Iterator[Block]:
        """The sheets' rows. Raises UserError for a damaged or dangerous workbook and for one without rows."""
        from openpyxl import load_workbook

        name, some, characters = flow.path.name, False, 0
        try:
            with flow.seekable() as file:
                _refuse_dangerous(file, name)
                book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
                sheets = book.worksheets
                for number, sheet in enumerate(sheets, start=1):
                    sheet.reset_dimensions()
                    place = f"sheet {sheet.title[:60]}, " if len(sheets) > 1 else ""
                    read = flow.size * number // (len(sheets) + 1)
                    for block in _blocks(_rows(sheet.iter_rows(values_only=True), name, place), read):
                        characters += block.characters
                        refuse_bomb(name, characters, flow.size)
                        some = True
                        yield block
        except _DAMAGE as error:
            raise UserError(
                f"{name} is an Excel workbook that is cut off or damaged ({first_line(error, 120)}). "
                "Get the file again, or save its sheet as CSV."
            ) from error
        if not some:
            raise UserError(
                f"{name} has no sheet with a header and rows. Choose a file with at least one row."
            )


@dataclass(slots=True)
class _SheetBlock(ReadyBlock):
    characters: int = 0


def _blocks(rows: Iterator[tuple[Item, int]], read: int) -> Iterator[_SheetBlock]:
    """The rows by about 1 MB: a workbook may refer to one long text from every cell."""
    items: list[Item] = []
    characters = 0
    for item, size in rows:
        items.append(item)
        characters += size
        if characters > BLOCK_BYTES or len(items) == MOST_ROWS:
            yield _SheetBlock(read, items, characters)
            items, characters = [], 0
    if items:
        yield _SheetBlock(read, items, characters)


def _rows(lines: Iterable[tuple[Any, ...]], name: str, place: str) -> Iterator[tuple[Item, int]]:
    """(row, its characters) of one sheet; its first row that is not empty names the columns."""
    header: Header | None = None
    for number, line in enumerate(lines, start=1):
        cells = list(line)
        while cells and cells[-1] in (None, ""):
            cells.pop()
        if not cells:
            continue
        where = f"{place}row {number}"
        if header is None:
            header = header_of(["" if cell is None else str(cell) for cell in cells], name, where)
            yield from ((note, 0) for note in header.notes)
            if not header.is_row:
                continue
        yield _row(cells, header.names, where), sum(len(cell) for cell in cells if isinstance(cell, str))


def _row(cells: list[Any], names: list[str], where: str) -> Item:
    if len(cells) > len(names):
        return Unreadable(where, f"has {len(cells)} cells where the header names {len(names)} columns")
    cells += [None] * (len(names) - len(cells))
    try:
        return Row({column: as_written(cell) for column, cell in zip(names, cells)}, where)
    except ValueError as error:
        return Unreadable(where, str(error))


def _refuse_dangerous(file: IO[bytes], name: str) -> None:
    """Raise UserError for what unpacks to far more than it is, and for XML that declares entities."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        refuse_entries(entries, name)
        for entry in entries:
            if "sharedstrings" in entry.filename.lower() and entry.file_size > _MOST_SHARED:
                raise UserError(
                    f"{name} holds more than 256 MB of text. Save its sheet as CSV and choose that."
                )
            if entry.filename.endswith((".xml", ".rels")):
                with archive.open(entry) as part:
                    if b"<!" in part.read(4096).replace(b"<!--", b"").replace(b"\0", b""):
                        raise UserError(
                            f"{name} declares entities, which no workbook needs. Do not trust it."
                        )
    file.seek(0)
