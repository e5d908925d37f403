"""docs/service.md names every job option, only existing routes, and the limits of the settings."""

import re
from pathlib import Path

import pytest

from brats_mm_service.app import create_app
from brats_mm_service.schemas import OptionsBody
from brats_mm_service.settings import GIB, QueueLimits, Retention, Settings
from brats_mm_service.viewer.label_files import ViewerModel
from tests.fakes.serving import small_settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
HOUR_S = 3600


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    """A pattern for the addresses of each route."""
    app = create_app(small_settings(tmp_path_factory.mktemp("data")))
    return [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in app.openapi()["paths"]]


def test_every_job_option_is_documented():
    assert {name for name in OptionsBody.model_fields if f"`{name}`" not in PAGE} == set()


def test_every_documented_route_exists(routes):
    named = set(re.findall(r"(?:127\.0\.0\.1:8000|`(?:GET |POST |PUT |DELETE )?)(/[a-z1][\w./*-]*)", PAGE))
    unknown = {path for path in named if not any(route.fullmatch(path) for route in routes)}
    assert unknown == {"/docs", "/openapi.json"}, "these two are not described by the document itself"
    assert {"/v1/jobs", "/v1/jobs/ID/events", "/v1/inspect", "/healthz", "/readyz", "/metrics", "/session/"} <= named


def test_documented_limits_match_settings():
    hours, days = (seconds / HOUR_S for seconds in (Retention().result_s, Retention().record_s))
    assert f"`--keep-hours` ({hours:g})" in PAGE
    assert f"`--keep-records-days` ({days / 24:g})" in PAGE
    assert f"share of the disk ({QueueLimits().kept_bytes_per_caller / GIB:g} GiB)" in PAGE
    assert QueueLimits().attempts == 3
    assert "after three interruptions" in PAGE.replace("\n", " ")
    assert Settings(data=Path()).host == "127.0.0.1"


def test_monai_label_models_are_documented():
    assert {model.value for model in ViewerModel if f"`{model.value}`" not in PAGE} == set()
