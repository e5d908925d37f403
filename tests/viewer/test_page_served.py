"""The service serves the page, explains how to build it, and serves kept images to their owner only."""

import json

import pytest

from brats_mm_service.problems import Problem
from brats_mm_service.routes import page
from brats_mm_service.routes.page import find_built_page, make_file_response, render_absent_page
from tests.fakes.serving import ended, serving, small_settings, two_files


@pytest.fixture
def small_page(tmp_path, monkeypatch):
    root = tmp_path / "page"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<title>page</title>")
    (root / "assets" / "index-1.js").write_text("1")
    (tmp_path / "secret.json").write_text("{}")
    monkeypatch.setattr(page, "PLACES", (root,))
    monkeypatch.setattr(page, "find_built_page", lambda: find_built_page((root,)))
    return root


def test_root_redirects_to_page_with_strict_policy(small_page, tmp_path):
    with serving(small_settings(tmp_path / "data")) as client:
        answer = client.get("/", follow_redirects=True)
        assert str(answer.url).endswith("/viewer/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        script = client.get("/viewer/assets/index-1.js")
        assert "immutable" in script.headers["cache-control"]
        assert client.get("/v1/jobs").headers["content-security-policy"].startswith("default-src 'none'; frame")
        assert client.get("/viewer/none.js").status_code == 404
        assert "/viewer/{name}" not in client.get("/openapi.json").text


@pytest.mark.parametrize(
    "name", ["../secret.json", "assets/../../secret.json", "/etc/hosts", "a\0.js", "assets", "x.py"]
)
def test_serves_only_files_of_page(small_page, name):
    with pytest.raises(Problem, match="no such file"):
        make_file_response(small_page, name)


def test_missing_page_explains_how_to_build_it(small_page, tmp_path):
    (small_page / "index.html").unlink()
    with serving(small_settings(tmp_path / "data")) as client:
        answer = client.get("/", follow_redirects=True)
        assert answer.status_code == 404
        assert "npm ci\nnpm run build" in answer.text
        assert "not for diagnosis" in answer.text
        (small_page / "index.html").write_text("built meanwhile")
        assert client.get("/viewer/").text == "built meanwhile"


def test_missing_page_in_installed_package_names_alternatives(tmp_path):
    reported = render_absent_page(tmp_path)
    assert "pip wheel" in reported
    assert "cd apps/viewer" not in reported, "there is no such folder in site-packages"


def test_serves_only_kept_images(made_head, tmp_path):
    with serving(small_settings(tmp_path)) as client:
        sent = two_files(made_head)
        kept = client.post("/v1/jobs", files=sent, data={"options": json.dumps({"keep_upload": True})}).json()
        job = ended(client, kept["id"])
        listed = client.get(job["links"]["inputs"]).json()
        assert [one["sequence"] for one in listed] == ["t1ce", "flair"]
        assert client.get(listed[1]["href"]).content == sent["flair"][1]
        assert client.get(f"{job['links']['inputs']}/t2").status_code == 404
        other = ended(client, client.post("/v1/jobs", files=sent).json()["id"])
        assert "inputs" not in other["links"]
        assert client.get(f"/v1/jobs/{other['id']}/inputs").json() == []
        refused = client.get(f"/v1/jobs/{other['id']}/inputs/flair")
        assert "keep_upload" in refused.json()["detail"]
        client.delete(job["links"]["self"])
        assert client.get(listed[0]["href"]).status_code == 404


def test_kept_images_are_served_only_to_owner(made_head, tmp_path):
    with serving(small_settings(tmp_path, require_tokens=True)) as client:
        mine, theirs = (
            {"Authorization": f"Bearer {client.service.tokens.create(name, ('jobs:read', 'jobs:write'), 1)[1]}"}
            for name in ("mine", "theirs")
        )
        options = {"options": json.dumps({"keep_upload": True})}
        job = client.post("/v1/jobs", files=two_files(made_head), data=options, headers=mine).json()
        path = f"/v1/jobs/{job['id']}/inputs/flair"
        assert client.get(path, headers=mine).status_code == 200
        assert client.get(path, headers=theirs).status_code == 404
        assert client.get(path).status_code == 401


def test_api_docs_load_without_other_hosts(page_service, open_tab):
    """Swagger UI comes from the service. The tab fails on requests elsewhere and on policy violations."""
    with page_service() as client:
        tab = open_tab(client, "/docs")
        tab.page.wait_for_selector(".opblock-post [data-path='/v1/jobs']")
        assert tab.page.locator("button.authorize").first.is_visible()
        assert "not for diagnosis" in tab.page.locator("footer").inner_text()
