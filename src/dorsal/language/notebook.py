"""Values as small tables in a notebook: what their `_repr_html_` returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MOST_ROWS = 20


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as HTML with a line above it. Texts are escaped. Of many rows the first 20 are shown.

    The first column is text, the others are numbers.
    """
    from html import escape  # here, as `dorsal list` starts without it

    def line(tag: str, cells: Sequence[str]) -> str:
        aligned = ("left", *("right" for _ in cells[1:]))
        parts = (
            f"<{tag} style='text-align: {side}'>{escape(cell)}</{tag}>"
            for cell, side in zip(cells, aligned, strict=True)
        )
        return f"<tr>{''.join(parts)}</tr>"

    listed = list(rows)
    body = "".join(line("td", row) for row in listed[:_MOST_ROWS])
    more = f"<p>and {len(listed) - _MOST_ROWS:,} more</p>" if len(listed) > _MOST_ROWS else ""
    table = f"<table><thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"
    return f"<div><p>{escape(title)}</p>{table}{more}</div>"
