"""Links out of ``docs/`` lead somewhere on the site too: what they name in the repository becomes a page of it.

In a checkout such a link opens the file. On the site a Markdown file (the results' pages are some) is a page like any
other, with its pictures; source and configuration files are shown as they are; a folder is a list of its files. Only
what is linked to is taken up, and what that links to.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".js": "javascript", ".css": "css", ".html": "html"}
PICTURES = (".png", ".svg", ".gif")
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
RST_ROLE = re.compile(r":(?:class|meth|mod|func|attr):(?=<code>)")

_paths: dict[str, str] = {}
"""Where in the repository a page of the site comes from, where that is not its place in ``docs``."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of results in the navigation."""
    (section,) = (entry["Results"] for entry in config.nav or [] if "Results" in entry)
    section += [site_uri(path) for path in _results()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of results, what any page links to, and what that links to."""
    _paths.clear()
    waiting = [file for file in files.documentation_pages() if file.inclusion.is_included()]
    waiting += [added for path in _results() for added in _add(path, files, config)]
    while waiting:
        file = waiting.pop()
        if not file.is_documentation_page() or file.src_uri.startswith("source/"):
            continue
        for target, _ in _links(file.content_string):
            path = _in_repository(file.src_uri, target)
            if path is not None and site_uri(path) not in files.src_uris:
                waiting += _add(path, files, config)
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Turn links into the repository into links to the site's pages of it."""
    own = page.file.src_uri

    def link(match: re.Match[str]) -> str:
        path = _in_repository(own, match[1])
        if path is None:
            return match[0]
        return posixpath.relpath(site_uri(path), posixpath.dirname(own)) + (match[2] or "")

    parts = FENCED.split(markdown)
    parts[::2] = [LINK.sub(link, part) for part in parts[::2]]
    return "".join(parts)


def on_page_content(html: str, **_: object) -> str:
    """Docstrings name things as Sphinx does; its roles say nothing to a reader."""
    return RST_ROLE.sub("", html)


def site_uri(path: str) -> str:
    """Where a file or folder of the repository stands among the site's sources."""
    if (ROOT / path).is_dir():
        return f"source/{path}-folder.md"  # beside the pages of its files
    if path.startswith("docs/") and not path.endswith(".py"):
        return path.removeprefix("docs/")
    if path == "README.md":
        return "index.md"
    if path.startswith("results/") and path.endswith(("/README.md", *PICTURES)):
        return path.replace("/README.md", ".md")
    return f"source/{path}" if path.endswith((".md", *PICTURES)) else f"source/{path}.md"


def _in_repository(src_uri: str, target: str) -> str | None:
    """The path in the repository that a page's link names; None where it leads elsewhere or is of this page."""
    if re.match(r"[a-z]+:|/", target):
        return None
    here = posixpath.dirname(_paths.get(src_uri, f"docs/{src_uri}"))
    return posixpath.normpath(posixpath.join(here, target))


def _links(markdown: str) -> Iterator[tuple[str, str]]:
    for part in FENCED.split(markdown)[::2]:
        yield from LINK.findall(part)


def _results() -> list[str]:
    """The page of each folder of results, in the repository."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "results").glob("*/README.md"))


def _add(path: str, files: Files, config: MkDocsConfig) -> list[File]:
    """Add a file of the repository, or a folder with the files in it; nothing where there is none: MkDocs says so."""
    source = ROOT / path
    if path.startswith("..") or not source.exists() or site_uri(path) in files.src_uris:
        return []
    added = []
    if source.is_dir():
        inside = sorted(each for each in source.iterdir() if each.suffix in LANGUAGES)
        for each in inside:
            added += _add(f"{path}/{each.name}", files, config)
        lines = [f"- [`{each.name}`]({each.name})" for each in inside]
        # Its links are relative to the folder itself.
        file = File.generated(config, site_uri(path), content=_page(f"{path}/", "\n".join(lines)))
        _paths[file.src_uri] = f"{path}/."
    elif source.suffix in (".md", *PICTURES):
        file = File.generated(config, site_uri(path), abs_src_path=str(source))
        _paths[file.src_uri] = path
    else:
        text = source.read_text()
        file = File.generated(
            config, site_uri(path), content=_page(path, f"````{LANGUAGES.get(source.suffix, 'text')}\n{text}\n````")
        )
        _paths[file.src_uri] = path
    files.append(file)
    return [*added, file]


def _page(title: str, body: str) -> str:
    """A page of a file or folder; searching the site is for finding what is explained."""
    return f"---\nsearch: {{exclude: true}}\nhide: [toc]\n---\n\n# {title}\n\n{body}\n"
