"""HTML as text, in which nothing that comes from outside is ever taken for markup."""

from collections.abc import Iterable
from html import escape

STYLE = """\
:root { color-scheme: light dark; --ink: #1b2733; --faint: #5a6a79; --line: #d8e0e7; --paper: #f6f8fa;
  --card: #fff; --good: #13713f; --bad: #b3261e; --accent: #1f5fbf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaf0; --faint: #9badbd; --line: #33414e;
  --paper: #12181e; --card: #1a222a; --good: #5fd394; --bad: #ff8f86; --accent: #8ab8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; margin-bottom: 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
p { margin: .4rem 0; } .faint { color: var(--faint); font-weight: 400; }
a { color: var(--accent); } nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
.card, .table { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.card { padding: .8rem 1rem; } .card h2 { margin: 0 0 .4rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .9rem; margin: 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { text-align: left; vertical-align: top; padding: .45rem .9rem; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--faint); font-weight: 600; font-size: .85rem; }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 11rem; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; }
ul { list-style: none; margin: 0; padding: 0; }
form { display: flex; flex-wrap: wrap; gap: .5rem; margin: .6rem 0; }
input { flex: 1 1 16rem; } input, button { font: inherit; color: inherit; padding: .4rem .7rem;
  background: var(--card); border: 1px solid var(--line); border-radius: .4rem; }
@media (max-width: 40rem) { thead { display: none; }
  tr, td, tbody th { display: block; border: 0; padding: 0; }
  tr { padding: .6rem .9rem; } tr + tr { border-top: 1px solid var(--line); }
  td { display: grid; grid-template-columns: 6rem 1fr; overflow-wrap: anywhere; }
  td::before { content: attr(data-heading); color: var(--faint); } }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def html(content: object) -> Markup:
    """A text, made fit to stand in HTML; markup stays as it is."""
    return content if isinstance(content, Markup) else Markup(escape(str(content)))


def joined(*parts: object) -> Markup:
    """Several texts, one after the other."""
    return Markup("".join(map(html, parts)))


def tag(name: str, *contents: object, **attributes: str) -> Markup:
    """An element. Attributes are spelt with underscores; one at the end tells them from Python's words."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{said}>{joined(*contents)}</{name}>")


def lines(items: Iterable[object]) -> Markup:
    """A list without bullets."""
    return tag("ul", *(tag("li", item) for item in items))


def facts(*pairs: tuple[str, object]) -> Markup:
    """Names and what they are."""
    return tag("dl", *(part for name, what in pairs for part in (tag("dt", name), tag("dd", what))))


def table(caption: str, headings: Iterable[str], rows: Iterable[Iterable[object]]) -> Markup:
    """A table; the first cell of each row is its heading. If narrow, cells are below each other."""
    headings = tuple(headings)
    head = tag("thead", tag("tr", *(tag("th", heading, scope="col") for heading in headings)))
    body = []
    for first, *others in rows:
        named = zip(headings[1:], others, strict=True)
        cells = (tag("td", tag("div", cell), data_heading=heading) for heading, cell in named)
        body.append(tag("tr", tag("th", first, scope="row"), *cells))
    return tag("div", tag("table", tag("caption", caption), head, tag("tbody", *body)), class_="table")
