"""A built page, a service that serves it, and Chromium. Tests are skipped if one is unavailable."""

import shutil
import subprocess
import tempfile
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from pathlib import Path

import nibabel as nib
import pytest
from filelock import FileLock

from tests.fakes.serving import serving, small_settings
from tests.fakes.viewer_results import make_results
from tests.fakes.viewer_tab import LONGEST_MS, Tab

VIEWER = Path(__file__).resolve().parents[2] / "apps" / "viewer"
LAPTOP = {"width": 1366, "height": 768}
# With several pytest processes, one installs and builds, and the others wait.
BUILDING = FileLock(Path(tempfile.gettempdir()) / f"brats-mm-page-{sha256(str(VIEWER).encode()).hexdigest()[:16]}.lock")
# Chromium renders in software without a graphics card.
FLAGS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")


@pytest.fixture(scope="session")
def node_modules():
    """The page's packages from its lock file."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, so the web page cannot be built")
    with BUILDING:
        if not (VIEWER / "node_modules" / ".package-lock.json").is_file():
            run_npm("ci", "--no-audit", "--no-fund")
    return VIEWER / "node_modules"


@pytest.fixture(scope="session")
def built_page(node_modules):
    """The page, rebuilt if its sources have changed."""
    index = VIEWER / "dist" / "index.html"
    sources = [VIEWER / "index.html", VIEWER / "vite.config.ts", VIEWER / "package-lock.json"]
    sources += [*(VIEWER / "src").iterdir(), *(VIEWER.parents[1] / "brats_mm" / "domain").glob("*.json")]
    with BUILDING:
        if not index.is_file() or index.stat().st_mtime < max(path.stat().st_mtime for path in sources):
            run_npm("run", "build")
    return VIEWER / "dist"


def run_npm(*arguments):
    done = subprocess.run(["npm", *arguments], cwd=VIEWER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium from Debian."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS), timeout=LONGEST_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def made_results(made_head, tmp_path_factory):
    """A folder of results on the synthetic head's grid."""
    affine = nib.load(made_head / "BraTS-GLI-00000-000-t1c.nii.gz").affine
    return make_results(tmp_path_factory.mktemp("made") / "results", affine)


def ready_service(results, settings, **behaviour):
    """Return a service whose fake worker returns results at once, unless configured otherwise."""
    return serving(settings, behaviour={"results": str(results), "pause_s": 0.05} | behaviour)


@pytest.fixture
def tabs():
    """The open pages."""
    return []


@pytest.fixture
def page_service(built_page, made_results, tmp_path, tabs):
    """Start services. Pages close before their service stops, so that no page requests a stopped service."""

    @contextmanager
    def start(settings=None, folder=made_results, **behaviour):
        with ready_service(folder, settings or small_settings(tmp_path / "data"), **behaviour) as client:
            try:
                yield client
            finally:
                for tab in tabs:
                    tab.page.goto("about:blank")

    return start


@pytest.fixture
def open_tab(browser, tabs):
    """Open pages. At the end, no page may have logged an error or requested another host."""

    def open_(client, address="/", **context):
        tab = Tab(browser.new_context(**({"viewport": LAPTOP} | context)), client)
        tabs.append(tab)
        tab.go(address)
        return tab

    with ExitStack() as stack:
        yield open_
        for tab in tabs:
            stack.callback(tab.close)


@pytest.fixture(scope="session")
def result_tab(built_page, browser, made_results, made_head, tmp_path_factory):
    """A tab that shows a result, for read-only tests. Opening one takes seconds without a graphics card."""
    with ready_service(made_results, small_settings(tmp_path_factory.mktemp("looked-at"))) as client:
        tab = Tab(browser.new_context(viewport=LAPTOP), client)
        with closing(tab):
            tab.go("/")
            tab.run(made_head)
            yield tab


@pytest.fixture
def result(result_tab):
    """The shared tab in its initial state: crosshair in the tumour, all planes, outlines."""
    result_tab.page.set_viewport_size(LAPTOP)
    result_tab.page.keyboard.press("c")
    result_tab.page.keyboard.press("Escape")
    result_tab.page.click(".area >> nth=1")  # middle of the tumour
    result_tab.background("t1ce")
    result_tab.view("All")
    result_tab.outline(on=True)
    for name, value in {"segmentation-opacity": 1, "entropy-opacity": 0.6, "threshold": 0.6}.items():
        result_tab.slide(name, value)
    return result_tab
