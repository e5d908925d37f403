"""Write the address of the repository into every file that states it.

    python .ci/set_repository.py https://github.com/OWNER/NAME

Until then the 3D Slicer extension has a placeholder, because Slicer needs the fields, and the other files have none.
Run it again after a move.
"""

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PLACES = (
    ("apps/slicer/CMakeLists.txt", r'set\(REPOSITORY "[^"]*"\)', 'set(REPOSITORY "{url}")'),
    ("apps/slicer/BratsMM.json", r'"scm_url": "[^"]*"', '"scm_url": "{url}.git"'),
    (
        "pyproject.toml",
        r"(?:\[project\.urls\]\n(?:.+\n)*\n)?(?=\[project\.scripts\])",
        '[project.urls]\nSource = "{url}"\nIssues = "{url}/issues"\nChangelog = "{url}/blob/main/CHANGELOG.md"\n\n',
    ),
    ("CITATION.cff", r"(?:repository-code: .*\n)?(?=license: )", 'repository-code: "{url}"\n'),
    ("docs/site/mkdocs.yml", r"(?:repo_url: .*\n)?(?=docs_dir: )", "repo_url: {url}\n"),
    (
        "docker/Dockerfile",
        r'(?:      org\.opencontainers\.image\.source="[^"]*" \\\n)?(?=      org\.opencontainers\.image\.licenses=)',
        '      org.opencontainers.image.source="{url}" \\\n',
    ),
)
"""File, pattern of what to replace or of the place to insert, and the new text."""


def main() -> None:
    """Read the command line and write the address."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="such as https://github.com/OWNER/NAME")
    url = parser.parse_args().url.removesuffix(".git").rstrip("/")
    if not re.fullmatch(r"https://[\w.-]+(/[\w.-]+){2,}", url):
        parser.error(f"{url} is not the address of a repository. Provide one such as https://github.com/OWNER/NAME.")
    set_repository(ROOT, url)


def set_repository(root: Path, url: str) -> None:
    """Write an address below a folder with the repository's files.

    Raises:
        ValueError: a file has no place for it.
    """
    for name, pattern, text in PLACES:
        path = root / name
        before = path.read_text(encoding="utf-8")
        place = re.search(pattern, before)
        if place is None:
            message = f"{name} has no place for the address. Correct its pattern in PLACES."
            raise ValueError(message)
        after = before[: place.start()] + text.replace("{url}", url) + before[place.end() :]
        path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
