"""The OpenAPI document describes every route with examples, and responses to random requests match it."""

import os
import warnings

import pytest

from tests.fakes.serving import LONGEST_S, serving, small_settings

EXAMPLES = int(os.environ.get("BRATS_MM_API_EXAMPLES", "15"))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(small_settings(tmp_path_factory.mktemp("data"))) as client:
        yield client


def test_every_route_has_summary_and_example(client):
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            responses = operation["responses"]
            shown = [content for answer in responses.values() for content in answer.get("content", {}).values()]
            assert any("example" in one for one in shown), (method, path)
    form = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(form["schema"]["properties"]) == {"t1", "t1ce", "t2", "flair", "case", "options"}
    assert form["examples"]


def test_token_is_described_only_when_required(client, tmp_path):
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["paths"]["/v1/jobs"]["post"]["security"] == [{}, {"token": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
    with serving(small_settings(tmp_path / "data", host="0.0.0.0")) as strict:
        document = strict.get("/openapi.json").json()
        assert document["paths"]["/v1/jobs"]["post"]["security"] == [{"token": []}]


@pytest.mark.slow
def test_random_requests_never_cause_server_errors(client):
    """Run Schemathesis over all routes. BRATS_MM_API_EXAMPLES sets the number of requests per route."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import hypothesis
        import schemathesis
        from schemathesis import checks

        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 10
    tried = 0
    for operation in operations:
        # An event stream does not end while its job waits, and an unknown job gives the same 404 as on other routes.

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def tries(case):
            nonlocal tried
            tried += 1
            answer = case.call(base_url=str(client.base_url), timeout=LONGEST_S)
            case.validate_response(
                answer,
                checks=[
                    checks.not_a_server_error,
                    checks.status_code_conformance,
                    checks.content_type_conformance,
                    checks.response_schema_conformance,
                ],
            ) if answer.status_code != 503 else None
            assert "Traceback" not in answer.text

        tries()
    assert tried >= len(operations)
