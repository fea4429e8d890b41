"""Pieces of a page: escaped text in, markup out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from quantum_trader.evaluate.report import candle_script
from quantum_trader.evaluate.report.style import STYLE

# Nothing may be fetched or sent, and nothing but the page's own script run, whatever text found its way in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MANY = 12
"""Columns beyond which print needs smaller letters."""
_STYLE_OF_WORDS = ' class="words"'


def document(title: str, body: str, *, moving: bool = False) -> str:
    """A whole page around `body`, which is markup: it needs no network and no other file.

    Args:
        title: of the page.
        body: the page itself, readable without any script.
        moving: whether it holds candles that a script sets moving; nothing else may run.
    """
    policy = f"{_POLICY}; script-src '{candle_script.HASH}'" if moving else _POLICY
    script = f"<script>{candle_script.SCRIPT}</script>" if moving else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main>{script}</body></html>\n"
    )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table: its text, a smaller line below it, and whether it holds words."""

    text: str
    below: str = ""
    words: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: the first cell is its heading; `style` is a class of the style sheet."""

    cells: tuple[Cell, ...]
    style: str = ""


def cells(*texts: str | tuple[str, str] | Cell) -> tuple[Cell, ...]:
    """Cells from texts, or from pairs of a text and the smaller line below it, or as they are."""
    return tuple(_cell(item) for item in texts)


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of plain text."""
    name = f' class="{style}"' if style else ""
    return f"<p{name}>{escape(text)}</p>"


def section(title: str, *parts: str) -> str:
    """A titled section; empty where all parts are."""
    body = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def figure(chart: str, lead: str, caption: str, legend: str = "") -> str:
    """A chart with the words that say how to read it; `lead` is set in bold."""
    words = f"<figcaption><b>{escape(lead)}</b> {escape(caption)}</figcaption>"
    return f"<figure>{legend}{chart}{words}</figure>"


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names with a sample of their line; `entries` are pairs of name and style."""
    items = "".join(
        f'<li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="line {style}" d="M0 5H26"/></svg>'
        f"{escape(name)}</li>"
        for name, style in entries
    )
    return f'<ul class="legend">{items}</ul>'


def table(lead: str, caption: str, header: Sequence[str], rows: Sequence[Row]) -> str:
    """A table that scrolls sideways on its own where the page is too narrow for it."""
    # Columns of words are read from the left, those of numbers from their last digit.
    words = [cell.words for cell in rows[-1].cells] if rows else [False] * len(header)
    head = "".join(
        f'<th scope="col"{_STYLE_OF_WORDS if wordy else ""}>{escape(name)}</th>'
        for name, wordy in zip(header, words, strict=True)
    )
    body = "".join(_row(row) for row in rows)
    name = escape(lead, quote=True)
    many = ' class="many"' if len(header) > _MANY else ""
    # The words stand outside the scrolling part: a caption would be as wide as the table and be cut off.
    return (
        f'<div class="table"><p class="caption"><b>{escape(lead)}</b> {escape(caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table{many} aria-label="{name}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def folded(title: str, body: str) -> str:
    """Something that opens on demand, without a script; print leaves it closed."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>" if body else ""


def definitions(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A titled list of name and value."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<div><h3>{escape(title)}</h3><dl>{items}</dl></div>"


def _cell(item: str | tuple[str, str] | Cell) -> Cell:
    if isinstance(item, Cell):
        return item
    text, below = (item, "") if isinstance(item, str) else item
    return Cell(text=text, below=below)


def _row(row: Row) -> str:
    style = f' class="{row.style}"' if row.style else ""
    head, rest = row.cells[0], row.cells[1:]
    heading = f'<th scope="row">{_content(head)}</th>'
    others = "".join(f"<td{_words(cell)}>{_content(cell)}</td>" for cell in rest)
    return f"<tr{style}>{heading}{others}</tr>"


def _words(cell: Cell) -> str:
    return _STYLE_OF_WORDS if cell.words else ""


def _content(cell: Cell) -> str:
    below = f'<span class="ci">{escape(cell.below)}</span>' if cell.below else ""
    return escape(cell.text) + below
