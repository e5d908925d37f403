"""Write the results of benchmarks into pages of the documentation."""

from collections.abc import Mapping
from pathlib import Path

from brats_mm.packaging.trust import replace_blocks


def update_page(page: Path | None, blocks: Mapping[str, str], benchmark: str) -> None:
    """Replace marked blocks of a page, if there is a page.

    Args:
        page: Markdown page.
        blocks: new content by name of the block.
        benchmark: path of the benchmark, as in the marks.
    """
    if page is not None:
        page.write_text(replace_blocks(page.read_text(), blocks, benchmark))
