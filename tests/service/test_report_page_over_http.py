"""The report page over HTTP: a browser shows it without requests to other hosts."""

import pytest

from tests.fakes.serving import ended, serving, small_settings, two_files


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    page = "<!doctype html><title>x</title><p>A page.</p>"
    with serving(small_settings(tmp_path_factory.mktemp("data")), behaviour={"page": page}) as client:
        yield client


@pytest.fixture(scope="module")
def responses(client, made_head):
    job = ended(client, client.post("/v1/jobs", files=two_files(made_head)).json()["id"])
    results = {one["name"]: one for one in job["results"]}
    assert results["report.html"]["content_type"].startswith("text/html")
    return {name: client.get(one["href"]) for name, one in results.items()}


def test_browser_shows_page_inline(responses):
    answer = responses["report.html"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("inline")
    assert responses["report.json"].headers["content-disposition"].startswith("attachment")
    assert "A page." in answer.text


def test_policy_allows_only_own_styles_and_pictures(responses):
    policy = dict(part.strip().partition(" ")[::2] for part in responses["report.html"].headers[_CSP].split(";"))
    assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["style-src"] == "'unsafe-inline'"
    assert policy["img-src"] == "data:"
    assert policy["sandbox"] == ""
    assert "script-src" not in policy


def test_other_results_keep_the_strict_policy(responses):
    assert responses["preview.png"].headers[_CSP] == "default-src 'none'; frame-ancestors 'none'"


_CSP = "content-security-policy"
