"""The web page: the built viewer, or instructions to build it. The page itself needs no token."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from brats_mm.domain.disclaimer import NOT_FOR_DIAGNOSIS
from brats_mm_service.problems import Problem
from brats_mm_service.service import Service

HOME = "/viewer/"
API_DOCS = "/viewer/docs.html"
_PACKAGE = Path(__file__).resolve().parents[1]
PLACES = (_PACKAGE / "page", _PACKAGE.parents[1] / "viewer" / "dist")
"""Folders of the built page in an installed wheel and in a checkout."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
# Scripts and styles of this host only, nothing inline. NiiVue stores its font and textures in data: images.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_CACHE_FOREVER = "public, max-age=31536000, immutable"

_CHECKOUT = _PACKAGE.parents[1] / "viewer"
_IN_A_CHECKOUT = """<p>Build it with Node.js 20.19 or newer, then load this address again:</p>
<pre>cd apps/viewer
npm ci
npm run build</pre>
"""
_INSTALLED = """<p>The installed package was built without it. Build one that has it in a checkout of the source, with
Node.js 20.19 or newer. Install it and start the service again:</p>
<pre>BRATS_MM_VIEWER=require pip wheel --no-deps -w dist .
pip install --force-reinstall --no-deps dist/brats_mm-*.whl</pre>
"""


def render_absent_page(checkout: Path = _CHECKOUT) -> str:
    """Return instructions to get the page, for a checkout and for an installed package."""
    how = _IN_A_CHECKOUT if (checkout / "package.json").is_file() else _INSTALLED
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>BraTS-MM</title>
<h1>BraTS-MM</h1>
<p>The service runs, but it has no web page.</p>
{how}<p>All other functions work without it: <a href="/openapi.json">/openapi.json</a> describes the API.</p>
<p>{NOT_FOR_DIAGNOSIS}</p>
</html>
"""


def find_built_page(candidates: tuple[Path, ...] = PLACES) -> Path | None:
    """Return the folder of the built page, or None."""
    return next((candidate for candidate in candidates if (candidate / "index.html").is_file()), None)


def build_router(_: Service) -> APIRouter:
    """Return the routes of the page, which the OpenAPI document omits."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    @routes.get("/viewer")
    async def redirect_to_page() -> Response:
        """Redirect to the page."""
        return RedirectResponse(HOME)

    @routes.get("/docs")
    async def redirect_to_docs() -> Response:
        """Redirect to the page about the API."""
        return RedirectResponse(API_DOCS)

    @routes.get("/viewer/{name:path}")
    def read_page_file(name: str) -> Response:
        """Serve a file of the page, even if the page was built after the service started."""
        root = find_built_page()
        if root is None:
            return HTMLResponse(render_absent_page(), status_code=404)
        return make_file_response(root.resolve(), name or "index.html")

    return routes


def make_file_response(root: Path, name: str) -> Response:
    """Return a file below `root`. Names of assets change with their content, so browsers may cache them.

    Raises:
        Problem: the file does not exist.
    """
    path = root if "\0" in name else (root / name).resolve()
    if not path.is_relative_to(root) or path.suffix not in _TYPES or not path.is_file():
        raise Problem("not-found", "The page has no such file. Reload the page, which may have been rebuilt.")
    keep = _CACHE_FOREVER if path.parent.name == "assets" else "no-cache"
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": keep}
    return FileResponse(path, headers=headers, media_type=_TYPES[path.suffix])
