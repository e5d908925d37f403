"""Draw the pictures of the documentation again. Each group of pictures has a separate program, which this script calls.

    python docs/tools/make_pictures.py --list
    python docs/tools/make_pictures.py gallery icon
    python docs/tools/make_pictures.py viewer slicer report

Viewer, Slicer and report show the synthetic head of the gallery. Show other cases only if their licence allows you to
publish their images.
"""

import argparse
import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
BUNDLE = ROOT / "bundles" / "brats_mm_segmentation"
SHOWN = ("t1ce", "flair")
"""Sequences of the head in the pictures of viewer and report. The others count as missing."""

UNCERTAIN = ("t2", "flair")
"""Sequences in the pictures of Slicer. Without T1ce, the model is uncertain inside the tumour."""

SEED = 1
"""Seed of that head, as in the gallery."""

CLOSER = "3"
"""Magnification of the close view in Slicer."""

WIDTH, HEIGHT = 880, 1976
"""Size of the report on the screen, down to the first row of key slices."""

SPARE = 200
"""Additional height of the window, because Chromium leaves the lowest part blank."""

LONGEST_START_S = 300

BRATS_MM = (sys.executable, "-c", "from brats_mm.cli.main import entry; entry()")
"""The command of the package that this Python has."""


@dataclass(frozen=True)
class Group:
    """Pictures that one program draws.

    Attributes:
        files: the pictures, relative to the repository.
        needs: what it needs besides the installed package, in words.
        draw: function that draws them.
        programs: programs on the path.
        modules: Python packages.
        inputs: options of this command that it needs.
    """

    files: tuple[str, ...]
    needs: str
    draw: Callable[[argparse.Namespace], None]
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()

    def lacks(self, options: argparse.Namespace) -> list[str]:
        """Return what is missing to draw it."""
        lacking = [f"--{name.replace('_', '-')}" for name in self.inputs if not getattr(options, name)]
        lacking += [name for name in self.programs if shutil.which(name) is None]
        return lacking + [name for name in self.modules if importlib.util.find_spec(name) is None]


def main() -> int:
    """Read the command line and draw the groups."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join(GROUPS)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{known} (default: all that can be drawn)")
    parser.add_argument("--list", action="store_true", help="list the groups with their pictures and needs, and stop")
    parser.add_argument("--raw-case", type=Path, help="folder of one raw case, for `raw`")
    parser.add_argument("--cases", type=Path, help="folder of labelled cases, for `failures`")
    parser.add_argument(
        "--show", action="append", metavar="CASE:SEQUENCES", help="rows of `failures`, such as A:t1+flair"
    )
    parser.add_argument("--evaluation", type=Path, help="result of `brats-mm evaluate`, for `trust`")
    options = parser.parse_args()
    if options.list:
        for name, group in GROUPS.items():
            print(f"{name}: {', '.join(group.files)}\n  needs {group.needs}")
        return 0
    unknown = sorted(set(options.groups) - GROUPS.keys())
    if unknown:
        parser.error(f"There is no group {', '.join(unknown)}. Choose from {known}.")
    left_out = False
    for name in options.groups or GROUPS:
        lacking = GROUPS[name].lacks(options)
        if lacking:
            print(f"{name}: not drawn. Missing: {', '.join(lacking)}")
            left_out = left_out or name in options.groups
            continue
        print(f"{name}: drawing", flush=True)
        GROUPS[name].draw(options)
    return 2 if left_out else 0


def run(*words: str | Path) -> None:
    """Run a program in the top folder."""
    subprocess.run([str(word) for word in words], cwd=ROOT, check=True)


def python(script: str, *words: str | Path) -> None:
    """Run a script of the repository."""
    run(sys.executable, ROOT / script, *words)


def brats_mm(*words: str | Path) -> None:
    """Run a command of the installed package."""
    run(*BRATS_MM, *words)


def shown_files(folder: Path, names: tuple[str, ...] = SHOWN) -> dict[str, Path]:
    """Write the synthetic head, and return the files of these sequences."""
    from brats_mm.pipeline.demo import write_head

    files, _ = write_head(folder, seed=SEED)
    return {modality.value: file for modality, file in files.items() if modality.value in names}


def segmented(folder: Path, names: tuple[str, ...], *words: str) -> Path:
    """Segment these sequences of the synthetic head, and return the folder of results."""
    output = folder / "result"
    named = [word for name, file in shown_files(folder / "head", names).items() for word in (f"--{name}", str(file))]
    brats_mm("segment", *named, "-o", output, *words)
    return output


def draw_viewer(_: argparse.Namespace) -> None:
    """Take pictures of the browser viewer on a service of this checkout."""
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        python("apps/viewer/screenshots.py", url, PICTURES, *shown_files(Path(folder) / "head").values())


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Start a service with an empty data folder, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data:
        service = subprocess.Popen([*BRATS_MM, "serve", "--port", str(port), "--data", data, "--quiet"], cwd=ROOT)
        try:
            wait_for(url, service)
            yield url
        finally:
            service.terminate()
            service.wait()


def wait_for(url: str, service: "subprocess.Popen[bytes]") -> None:
    """Wait until a service responds."""
    end = time.monotonic() + LONGEST_START_S
    while not answers(url):
        if service.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"The service at {url} did not start. Run `brats-mm serve` to see why.")
        time.sleep(0.5)


def answers(url: str) -> bool:
    """Return whether a service responds at an address."""
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except OSError:
        return False
    return True


def draw_slicer(_: argparse.Namespace) -> None:
    """Draw the scene of the head with the core of 3D Slicer."""
    with tempfile.TemporaryDirectory() as folder:
        scene = segmented(Path(folder), UNCERTAIN, "--scene") / "scene.mrb"
        python("apps/slicer/tools/draw_views.py", scene, "-o", PICTURES / "slicer-scene.jpg")
        python("apps/slicer/tools/draw_views.py", scene, "-o", PICTURES / "slicer-close.jpg", "--closer", CLOSER)


def draw_report(_: argparse.Namespace) -> None:
    """Take pictures of the report page of the head, on the screen and printed."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        output = segmented(Path(folder), SHOWN, "--report")
        page, pdf, screen = (output / "report.html").as_uri(), Path(folder) / "report.pdf", Path(folder) / "screen.png"
        chromium = ("chromium", "--headless", "--no-sandbox", "--hide-scrollbars")
        run(*chromium, f"--screenshot={screen}", f"--window-size={WIDTH},{HEIGHT + SPARE}", page)
        run(*chromium, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", page)
        run("pdftoppm", "-png", "-r", "66", pdf, Path(folder) / "page")
        shown = Image.open(screen).convert("RGB").crop((0, 0, WIDTH, HEIGHT))
        shown.save(PICTURES / "report_screen.jpg", quality=85)
        sheets = [Image.open(path).convert("RGB") for path in sorted(Path(folder).glob("page-*.png"))[:3]]
        gap = 4
        printed = Image.new("RGB", (sum(sheet.width + gap for sheet in sheets) - gap, sheets[0].height), (90, 90, 90))
        for number, sheet in enumerate(sheets):
            printed.paste(sheet, (number * (sheet.width + gap), 0))
        printed.save(PICTURES / "report_printed.jpg", quality=85)


def draw_raw(options: argparse.Namespace) -> None:
    """Draw a raw case before, during and after preprocessing."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result"
        brats_mm("segment", options.raw_case, "-o", output, "--reference", "t1ce", "--keep-intermediate")
        python("docs/tools/draw_raw_case.py", options.raw_case, output, "-o", PICTURES / "raw_tcga.jpg")


def draw_failures(options: argparse.Namespace) -> None:
    """Draw failures of the shipped weights."""
    rows = [word for selected in options.show for word in ("--show", selected)]
    python("benchmarks/failure_pictures.py", options.cases, "-o", BUNDLE / "docs" / "failures.jpg", *rows, "--force")


def draw_trust(options: argparse.Namespace) -> None:
    """Write the trust profile, whose plot is a picture of docs/trust.md."""
    words = ("--bundle", BUNDLE, "--page", ROOT / "docs" / "trust.md")
    brats_mm("bundle", "trust-profile", options.evaluation, *words)


def draw_corrections(_: argparse.Namespace) -> None:
    """Run the experiment with corrected labels."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "corrections.json"
        python("benchmarks/corrections.py", "-o", figures, "--plot", PICTURES / "corrections.png")


def _in_docs(*names: str) -> tuple[str, ...]:
    return tuple(f"docs/pictures/{name}" for name in names)


SUBSETS = ("t1-t1ce-t2-flair", "t1ce-flair", "t2-flair", "t1ce", "flair")
SCREENS = ("start", "light", "dark", "axial", "beside", "what-if", "tablet", "phone")

GROUPS = {
    "gallery": Group(
        _in_docs(*(f"gallery-{name}.jpg" for name in SUBSETS)),
        "nothing, and a few minutes. Also writes docs/gallery.md (docs/tools/make_gallery.py)",
        lambda _: python("docs/tools/make_gallery.py"),
    ),
    "icon": Group(
        ("apps/slicer/BratsMM/Resources/Icons/BratsMM.png",),
        "nothing (apps/slicer/tools/draw_icon.py)",
        lambda _: python("apps/slicer/tools/draw_icon.py"),
    ),
    "corrections": Group(
        _in_docs("corrections.png"),
        "nothing, and about ten minutes on one core (benchmarks/corrections.py)",
        draw_corrections,
    ),
    "viewer": Group(
        _in_docs(*(f"viewer-{name}.png" for name in SCREENS)),
        "playwright, chromium, and the built page (apps/viewer/screenshots.py)",
        draw_viewer,
        programs=("chromium",),
        modules=("playwright", "brats_mm_service"),
    ),
    "slicer": Group(
        _in_docs("slicer-scene.jpg", "slicer-close.jpg"),
        "slicer-core with Python 3.11 (apps/slicer/tools/draw_views.py)",
        draw_slicer,
        modules=("slicer",),
    ),
    "report": Group(
        _in_docs("report_screen.jpg", "report_printed.jpg"),
        "chromium, and pdftoppm of poppler-utils",
        draw_report,
        programs=("chromium", "pdftoppm"),
    ),
    "raw": Group(
        _in_docs("raw_tcga.jpg"),
        "--raw-case, a folder of TCGA-FG-6692 (CC BY 3.0) as scanned (docs/tools/draw_raw_case.py)",
        draw_raw,
        inputs=("raw_case",),
    ),
    "failures": Group(
        ("bundles/brats_mm_segmentation/docs/failures.jpg",),
        "--cases and --show (benchmarks/failure_pictures.py)",
        draw_failures,
        inputs=("cases", "show"),
    ),
    "trust": Group(
        _in_docs("trust_reliability.svg"),
        "--evaluation. Also writes the trust profile and the tables of docs/trust.md (brats-mm bundle trust-profile)",
        draw_trust,
        inputs=("evaluation",),
    ),
}
"""All pictures of the documentation."""


if __name__ == "__main__":
    sys.exit(main())
