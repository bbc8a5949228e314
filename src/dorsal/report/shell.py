"""What every page has: the shell of HTML around it, and figures with a switch. Nothing is fetched from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from plotly.offline import get_plotlyjs

from dorsal.report.plot import View

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def shell(title: str, body: str, style: str = "") -> str:
    """A whole page that needs nothing else: Plotly is inside, and its policy forbids it to fetch anything.

    `body` is HTML with everything foreign escaped; `style` is added to the style sheet of all pages.
    """
    package = files("dorsal.report")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{package.joinpath("page.css").read_text("utf-8")}{style}</style>
</head>
<body>
{body}
<script>{get_plotlyjs()}</script>
<script>{package.joinpath("page.js").read_text("utf-8")}</script>
</body>
</html>
"""


def chart(name: str, views: Sequence[View], caption: str, legend: str = "") -> str:
    """A figure, with a switch where there are several views. `name` is its word for readers who do not see it."""
    switch = "".join(
        f'<label><input type="radio" name="{name}" value="{i}"{" checked" * (i == 0)}>{escape(view.name)}</label>'
        for i, view in enumerate(views)
    )
    # Plotly spells "<" in JSON as an escape, so no string of the study can end the script element.
    data = ",".join(view.figure.to_json() for view in views)
    return f"""<figure class="chart">{f"<fieldset>{switch}</fieldset>" if len(views) > 1 else ""}
<div class="canvas" role="img" aria-label="{name}: {escape(caption)}"></div>{legend}
<figcaption>{prose(caption)}</figcaption><script type="application/json">[{data}]</script></figure>
"""


def prose(text: str) -> str:
    """Escaped text in which a number stays on one line with its sign and unit."""
    return escape(text).replace(" %", "&nbsp;%").replace(" ± ", "&nbsp;±&nbsp;")
