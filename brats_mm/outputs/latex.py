"""Tables in LaTeX, for the package booktabs."""

from collections.abc import Sequence

_SPECIAL = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def format_tabular(columns: str, head: str, blocks: Sequence[str], caption: str) -> str:
    """Return a `tabular` of blocks of rows with rules between them, after its caption as a comment.

    Args:
        columns: LaTeX column specification.
        head: cells of the header row.
        blocks: blocks of rows, each row already formatted.
        caption: text of the comment.
    """
    body = "\n\\midrule\n".join(blocks)
    return (
        f"% {caption}.\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def format_row(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Escape the characters that LaTeX interprets."""
    return "".join(_SPECIAL.get(character, character) for character in text)
