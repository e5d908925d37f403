"""Write docs/claims.md from docs/claims.yaml and the figures of the shipped weights.

python docs/tools/write_claims.py
python docs/tools/write_claims.py --check
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parents[1]
BUNDLE = DOCS.parent / "bundles" / "brats_mm_segmentation"
INTRODUCTION = """# Claims

Each claim has the command that reproduces it, the last figure and its date. Placeholders such as `CASES` stand for
your data. If a claim has an aim, compare the figure with it. Some aims are missed.

> Research software. Not a medical device; not for diagnosis or treatment decisions.

`python docs/tools/write_claims.py` writes this page from `docs/claims.yaml` and from the figures of the shipped weights
({version}). A test checks that they agree.
"""


def main() -> int:
    """Write the page, or compare it with its sources."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the page is out of date")
    check = parser.parse_args().check
    page, text = DOCS / "claims.md", render()
    if not check:
        page.write_text(text, encoding="utf-8")
    elif page.read_text(encoding="utf-8") != text:
        sys.stderr.write("docs/claims.md is out of date. Run python docs/tools/write_claims.py.\n")
        return 1
    return 0


def topics() -> list[dict[str, Any]]:
    """Return the topics with their claims from docs/claims.yaml."""
    loaded: list[dict[str, Any]] = yaml.safe_load((DOCS / "claims.yaml").read_text(encoding="utf-8"))
    return loaded


def render() -> str:
    """Return the text of the page."""
    parts = [INTRODUCTION.format(version=shipped_version())]
    for topic in topics():
        lines = [f"## {topic['topic']}", "", "| claim | last figure | aim | date |", "|---|---|---|---|"]
        lines += [row(claim) for claim in topic["claims"]]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def row(claim: dict[str, Any]) -> str:
    """Return one row of the table. Figures of older weights state their version."""
    figures = card_figures()
    text, figure = (str(claim[key]).format(**figures) for key in ("claim", "figure"))
    if claim.get("dated"):
        figure += f" (weights {claim['weights']})"
    return f"| {text}<br>`{claim['command']}` | {figure} | {claim.get('aim', '')} | {claim['date']} |"


class Figures(dict[str, str]):
    """Percentages of one row by region, read as attributes in a format string."""

    def __getattr__(self, region: str) -> str:
        return self[region]


def card_figures() -> dict[str, Any]:
    """Return the Dice in percent with all four sequences and as the mean of the 15 subsets, and the number of cases."""
    card = json.loads((BUNDLE / "docs" / "expected_dice.json").read_text(encoding="utf-8"))
    rows = list(card["dice"].values())
    complete = max(card["dice"], key=len)
    regions = ("et", "tc", "wt")
    means = {region: sum(row[region]["mean"] for row in rows) / len(rows) for region in regions}
    return {
        "cases": card["cases"],
        "all": Figures({region: f"{100 * card['dice'][complete][region]['mean']:.1f}" for region in regions}),
        "mean": Figures({region: f"{100 * means[region]:.1f}" for region in regions}),
    }


def shipped_version() -> str:
    """Return the version of the shipped weights."""
    return str(json.loads((BUNDLE / "configs" / "metadata.json").read_text(encoding="utf-8"))["version"])


if __name__ == "__main__":
    sys.exit(main())
