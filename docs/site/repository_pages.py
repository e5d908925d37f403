"""Add pages from other folders of the repository to the site, and resolve links to them.

MkDocs reads one folder. The changelog, the model card and other pages stay at their usual locations. A link to a file
that is not a page becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "apps/service/README.md": "service-packages.md",
    "benchmarks/README.md": "benchmarks.md",
    "brats_mm/README.md": "packages.md",
    "bundles/brats_mm_segmentation/docs/README.md": "model-card.md",
}
PICTURES = {"bundles/brats_mm_segmentation/docs/failures.jpg": "pictures/failures.jpg"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions in the navigation."""
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    for section in config.nav or []:
        for entry in section.get("Explanation", []):
            if isinstance(entry, dict) and "Design decisions" in entry:
                entry["Design decisions"] = ["decisions/README.md", *(f"decisions/{name}" for name in decisions)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures outside docs/."""
    from mkdocs.structure.files import File

    for source, target in {**PAGES, **PICTURES}.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Resolve links relative to the page's location in the repository."""
    source_of_page = {target: source for source, target in PAGES.items()}
    source = source_of_page.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return LINK.sub(lambda link: resolve(link, source, page.file.src_uri), markdown)


def resolve(link: re.Match[str], source: str, page: str) -> str:
    """Return the link for the site, or only its text if the site has no such page."""
    picture, text, target, anchor = link.groups()
    if re.match(r"\w+:", target):
        return link[0]
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if file in {**PAGES, **PICTURES}:
        wanted = {**PAGES, **PICTURES}[file]
    elif file.startswith("docs/"):
        wanted = file.removeprefix("docs/")
    else:
        return text
    return f"{picture}[{text}]({posixpath.relpath(wanted, posixpath.dirname(page) or '.')}{anchor or ''})"
