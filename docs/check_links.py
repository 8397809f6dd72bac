"""Check the links of built pages: python docs/check_links.py docs/_build/html

Every link inside leads to a page and a place on it, and every picture is present.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag


class Page(HTMLParser):
    """Names of the places on a page, and what the page links to."""

    def __init__(self, path):
        super().__init__()
        self.places, self.links = {""}, set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.places |= {values[key] for key in ("id", "name") if values.get(key)}
        self.links |= {values[key] for key in ("href", "src") if values.get(key)}
        for candidate in (values.get("srcset") or "").split(","):
            self.links |= set(candidate.split()[:1])


def is_inside(link):
    """Tell links to pages of this folder from those to other sites."""
    return ":" not in link.split("#")[0] and not link.startswith("//")


def broken_links(folder):
    """Yield a line for each link that leads nowhere."""
    folder = Path(folder).resolve()
    paths = [path for path in folder.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Page(path) for path in paths}
    for path, page in sorted(pages.items()):
        for link in sorted(filter(is_inside, page.links)):
            name, place = urldefrag(link)
            target = (path.parent / unquote(name.split("?")[0])).resolve()
            target = target if name else path
            known = pages[target].places if target in pages else {"", place}
            if not target.exists() or unquote(place) not in known:
                yield f"{path.relative_to(folder)}: {link}"


if __name__ == "__main__":
    broken = list(broken_links(sys.argv[1]))
    print(*broken, f"{len(broken)} broken links", sep="\n")
    sys.exit(bool(broken))
