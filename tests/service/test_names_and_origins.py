"""Edge cases of access: misleading names, reserved callers, origins, issuers, and tokens revoked during a request."""

import threading
import time
from dataclasses import replace

import pytest

from brats_mm.errors import OptionError, is_out_of_memory
from brats_mm_service.auth import oidc
from brats_mm_service.auth.tokens import Tokens
from brats_mm_service.service import open_database
from brats_mm_service.settings import OidcSettings, Settings, check_settings
from brats_mm_service.uploads.intake import is_plain
from brats_mm_service.viewer.intake import extract_plain_name
from tests.fakes.serving import LONGEST_S, serving, small_settings, two_files
from tests.fakes.stopwatch import stopwatch


def test_names_with_bidirectional_controls_are_not_plain():
    assert is_plain("głowa_t1ce.nii.gz")
    assert not is_plain("t1ce\u202egz.iin")
    assert extract_plain_name("/home/x/t1ce\u202e\x07.nii.gz") == "t1ce.nii.gz"


@pytest.mark.parametrize("name", ["local", "dicomweb"])
def test_token_cannot_have_reserved_name(tmp_path, name):
    database = open_database(tmp_path)
    with pytest.raises(OptionError, match="is reserved"):
        Tokens(database).create(name)
    database.close()


def test_any_origin_needs_tokens_and_port_must_be_valid(tmp_path):
    settings = Settings(data=tmp_path, allowed_origins=("*",))
    with pytest.raises(OptionError, match="would allow any web page to read every job"):
        check_settings(settings, has_tokens=True)
    check_settings(replace(settings, require_tokens=True), has_tokens=True)
    with pytest.raises(OptionError, match="--port is 99999"):
        check_settings(Settings(data=tmp_path, port=99999), has_tokens=True)


def test_keys_come_only_from_https_or_loopback():
    for address in ("http://127.0.0.1.evil/keys", "http://localhost.evil/keys", "ftp://127.0.0.1/keys", "http://a.b/"):
        with pytest.raises(ValueError, match="not an https address"):
            oidc._fetch_document(address)


@pytest.mark.parametrize("answer", [[], ["x"], {"keys": ["x"]}, {"keys": 1}, {}])
def test_malformed_keys_raise_no_traceback(monkeypatch, answer):
    monkeypatch.setattr(oidc, "_fetch_document", lambda _: answer)
    issuer = oidc.OidcIssuer(OidcSettings("https://id.example", "brats-mm", jwks="https://id.example/keys"))
    assert issuer._find_key("k") is None


def test_unknown_key_does_not_delay_known_keys(monkeypatch):
    issuer = oidc.OidcIssuer(OidcSettings("https://id.example", "brats-mm", jwks="https://id.example/keys"))
    issuer._keys, issuer._fetched = {"known": "key"}, time.monotonic() - 60
    requested, answer = threading.Event(), threading.Event()

    def fetch():
        requested.set()
        answer.wait(LONGEST_S)
        return {"known": "key"}

    monkeypatch.setattr(issuer, "_fetch", fetch)
    stalled = threading.Thread(target=issuer._find_key, args=("unknown",))
    stalled.start()
    assert requested.wait(LONGEST_S)
    assert issuer._find_key("known") == "key"
    assert stalled.is_alive(), "the issuer has not answered yet"
    answer.set()
    stalled.join()


def test_out_of_memory_is_recognised_by_message():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(RuntimeError("Exception thrown: std::bad_alloc"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_stream_of_revoked_token_ends_within_five_seconds(tmp_path, made_head):
    database = open_database(tmp_path)
    token, text = Tokens(database).create("ann")
    settings = small_settings(tmp_path, require_tokens=True)
    with serving(settings, behaviour={"steps": 1_000_000, "pause_s": 0.2}) as client:
        client.headers["Authorization"] = f"Bearer {text}"
        job = client.post("/v1/jobs", files=two_files(made_head)).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: job"
            with stopwatch() as watch:
                Tokens(database).revoke(token.id)
                rest = list(lines)
    database.close()
    print(f"the stream ended {watch.own_s:.1f} s after its token was revoked")  # noqa: T201
    assert rest[-3:] == ["event: gone", "data: {}", ""] or "event: gone" in rest
    assert watch.own_s < 5
