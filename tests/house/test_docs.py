"""The documentation site has every page, and every Python block of a page parses and runs."""

import ast
import importlib.util
import re
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SITE = yaml.safe_load((DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NEEDS = {"monailabel": "monailabel", "prediction.view()": "ipyniivue"}
"""Packages that a block needs and the extra `test` lacks, by text in the block."""


def nav_pages(entry):
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for value in entry.values():
            yield from nav_pages(value)
    else:
        for one in entry:
            yield from nav_pages(one)


def hook():
    spec = importlib.util.spec_from_file_location("repository_pages", DOCS / "site" / "repository_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks():
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
            yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


BLOCKS = list(blocks())

NOT_RUN = ("docs/add_output.md", "docs/learn_from_corrections.md", "docs/service.md")
"""Pages whose blocks change the repository or need a running service."""


def test_every_page_is_in_navigation_once():
    listed = list(nav_pages(SITE["nav"]))
    assert len(listed) == len(set(listed))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    pages -= {page for page in pages if page.startswith("decisions/0")}
    generated = set(
        re.findall(r'"([\w-]+\.md)",\n', (DOCS / "site" / "repository_pages.py").read_text(encoding="utf-8"))
    )
    assert set(listed) - {"decisions/*.md"} == pages | generated


def test_links_outside_docs_are_resolved():
    pattern, resolve = hook().LINK, hook().resolve
    text = "[card](../bundles/brats_mm_segmentation/docs/README.md#figures), [yaml](../docker/kuberay.yaml), [a](cohorts.md)"
    result = pattern.sub(lambda link: resolve(link, "docs/clusters.md", "clusters.md"), text)
    assert result == "[card](model-card.md#figures), yaml, [a](cohorts.md)"


@pytest.mark.parametrize("block", BLOCKS)
def test_python_block_parses(block):
    ast.parse(block)


@pytest.mark.slow
@pytest.mark.parametrize("block", [one for one in BLOCKS if not one.id.startswith(NOT_RUN)])
def test_python_block_runs(block, made_head, tmp_path, monkeypatch):
    """Each block runs in a folder with a.nii.gz, b.nii.gz and CASE_FOLDER of a synthetic head."""
    for word, package in NEEDS.items():
        if word in block:
            pytest.importorskip(package)
    shutil.copy(made_head / "BraTS-GLI-00000-000-t1c.nii.gz", tmp_path / "a.nii.gz")
    shutil.copy(made_head / "BraTS-GLI-00000-000-t2f.nii.gz", tmp_path / "b.nii.gz")
    (tmp_path / "CASE_FOLDER").symlink_to(made_head)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "block", "exec"), {"__name__": "block"})
