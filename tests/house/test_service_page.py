"""docs/service.md names every job option, only existing routes, and the limits of the settings."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from brats_mm_service.app import create_app
from brats_mm_service.schemas import OptionsBody
from brats_mm_service.settings import GIB, QueueLimits, Retention, Settings, UploadLimits, WorkerSettings
from brats_mm_service.viewer.label_files import ViewerModel
from tests.fakes.serving import small_settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
HOUR_S = 3600


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    """A pattern for the addresses of each route."""
    app = create_app(small_settings(tmp_path_factory.mktemp("data")))
    app.state.service.database.close()
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
    assert f"may use {QueueLimits().kept_bytes_per_caller / GIB:g} GiB of disk" in PAGE
    assert QueueLimits().attempts == 3
    assert "after three interruptions" in PAGE.replace("\n", " ")
    assert Settings(data=Path()).host == "127.0.0.1"


def test_monai_label_models_are_documented():
    assert {model.value for model in ViewerModel if f"`{model.value}`" not in PAGE} == set()


NGINX = re.search(r"For nginx:\n\n```\n(.+?)```", PAGE, re.DOTALL).group(1)


def parsed(text):
    """Parse a configuration of nginx strictly: `name values;` or `name values { ... }`. Return names and contents."""
    stack = [[]]
    for line in filter(None, map(str.strip, text.splitlines())):
        if line == "}":
            closed = stack.pop()
            stack[-1][-1][2].extend(closed)
        elif block := re.fullmatch(r"(\w+)((?: [^ ;{}]+)*) \{", line):
            stack[-1].append((block[1], block[2].split(), []))
            stack.append([])
        else:
            words = re.fullmatch(r"(\w+)((?: [^ ;{}]+)+);", line)
            assert words, f"nginx would refuse {line!r}"
            stack[-1].append((words[1], words[2].split(), []))
    assert len(stack) == 1, "a brace is not closed"
    return stack[0]


def test_nginx_configuration_meets_service_requirements():
    ((name, _, server),) = parsed(NGINX)
    values = {name: words for name, words, _ in server}
    assert name == "server"
    assert values["listen"] == ["443", "ssl"]
    assert {"server_name", "ssl_certificate", "ssl_certificate_key"} <= set(values), (
        "a TLS server does not start without"
    )
    largest = int(values["client_max_body_size"][0].removesuffix("g")) * GIB
    assert largest >= UploadLimits().total_bytes
    ((path, inner),) = [(words, inner) for name, words, inner in server if name == "location"]
    passed = {name: words for name, words, _ in inner}
    assert path == ["/"]
    assert passed["proxy_pass"] == ["http://127.0.0.1:8000"]
    assert passed["proxy_http_version"] == ["1.1"], "1.0 buffers requests of unknown length"
    assert passed["proxy_set_header"] == ["Host", "$host"], "the service compares it with the page's origin"
    assert (passed["proxy_buffering"], passed["proxy_request_buffering"]) == (["off"], ["off"])
    hours = int(passed["proxy_read_timeout"][0].removesuffix("h"))
    assert hours * HOUR_S > WorkerSettings().job_s, "infer waits for its job"


@pytest.mark.parametrize("fault", ["proxy_buffering off", "location / {;", "server {\n", "}}"])
def test_parser_rejects_what_nginx_rejects(fault):
    with pytest.raises((AssertionError, IndexError)):
        parsed(fault)


@pytest.mark.skipif(shutil.which("nginx") is None or shutil.which("openssl") is None, reason="no nginx or openssl")
def test_nginx_accepts_the_configuration(tmp_path):
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "1")
    files = {"ssl_certificate_key": tmp_path / "key.pem", "ssl_certificate": tmp_path / "cert.pem"}
    subprocess.run([*made, "-keyout", files["ssl_certificate_key"], "-out", files["ssl_certificate"]], check=True)
    text = NGINX
    for name, path in files.items():
        text = re.sub(rf"{name} [^;]+;", f"{name} {path};", text)
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n")
    tested = subprocess.run(
        ["nginx", "-t", "-q", "-e", tmp_path / "log", "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stderr
