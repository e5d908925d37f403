"""Access: tokens, their scopes and expiry, OpenID Connect, and owners of jobs."""

import json
import os
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from brats_mm.cli.main import main
from brats_mm.errors import OptionError
from brats_mm_service.auth.oidc import OidcIssuer
from brats_mm_service.auth.tokens import Tokens, write_first_token
from brats_mm_service.service import open_database
from brats_mm_service.settings import OidcSettings, Settings, check_settings
from tests.fakes.serving import ended, serving, small_settings, two_files


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def test_callers_see_only_their_own_jobs(tmp_path, made_head):
    with serving(small_settings(tmp_path, require_tokens=True)) as client:
        tokens = client.service.tokens
        ann, bob = (tokens.create(name)[1] for name in ("ann", "bob"))
        job = client.post("/v1/jobs", files=two_files(made_head), headers=bearer(ann)).json()
        client.headers.update(bearer(ann))
        ended(client, job["id"])
        client.headers.pop("Authorization")
        path = job["links"]["self"]
        for method, at in (("GET", path), ("DELETE", path), ("GET", f"{path}/events"), ("GET", f"{path}/results")):
            assert client.request(method, at, headers=bearer(bob)).status_code == 404
        assert client.get(f"{path}/results/report.json", headers=bearer(bob)).status_code == 404
        assert client.get("/v1/jobs", headers=bearer(bob)).json()["jobs"] == []
        assert len(client.get("/v1/jobs", headers=bearer(ann)).json()["jobs"]) == 1


def test_without_valid_token_only_health_is_served(tmp_path):
    with serving(small_settings(tmp_path, require_tokens=True)) as client:
        tokens = client.service.tokens
        token, text = tokens.create("ann", ["jobs:read"])
        for headers in (
            {},
            bearer("bmm_x_y"),
            bearer(text[:-1]),
            bearer(text + "x"),
            {"Authorization": f"Basic {text}"},
        ):
            answer = client.get("/v1/jobs", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert client.get("/metrics").status_code == 401
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/jobs", headers=bearer(text)).status_code == 200
        lacking = client.post("/v1/jobs", files={"t1": b"x"}, headers=bearer(text))
        assert (lacking.status_code, "jobs:write" in lacking.json()["detail"]) == (403, True)
        tokens.revoke(token.id)
        assert client.get("/v1/jobs", headers=bearer(text)).status_code == 401


def test_tokens_expire_and_are_stored_as_hashes(tmp_path):
    now = [1000.0]
    database = open_database(tmp_path)
    tokens = Tokens(database, lambda: now[0])
    token, text = tokens.create("ann", days=1)
    assert tokens.check(text) == token
    assert text.split("_", 2)[2].encode() not in (tmp_path / "records.sqlite3").read_bytes()
    now[0] += 86401
    assert tokens.check(text) is None
    assert not tokens.has_valid_token()


def test_names_and_scopes_of_tokens_are_checked(tmp_path):
    tokens = Tokens(open_database(tmp_path))
    with pytest.raises(OptionError, match="1 to 64 letters"):
        tokens.create("a b")
    with pytest.raises(OptionError, match="Unknown scope everything"):
        tokens.create("ann", ["everything"])
    with pytest.raises(OptionError, match="no token 'x'"):
        tokens.revoke("x")


def test_refuses_remote_address_without_tokens(tmp_path):
    with pytest.raises(OptionError, match=r"0\.0\.0\.0 requires a token.*token create"):
        check_settings(Settings(tmp_path, host="0.0.0.0"), has_tokens=False)
    check_settings(Settings(tmp_path, host="0.0.0.0"), has_tokens=True)
    check_settings(Settings(tmp_path, host="::1"), has_tokens=False)
    assert Settings(tmp_path, host="192.168.1.5").needs_tokens


def test_command_creates_lists_and_revokes_tokens(tmp_path, capsys):
    place = ["--data", str(tmp_path)]
    assert main(["token", "create", "viewer", "--scopes", "jobs:read", "--days", "2", "-q", *place]) == 0
    text = capsys.readouterr().out.strip()
    assert text.startswith("bmm_")
    assert main(["token", "list", "--json", *place]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["caller"], shown["scopes"], shown["state"]) == ("viewer", "jobs:read", "valid")
    assert main(["token", "revoke", shown["id"], *place]) == 0
    assert Tokens(open_database(tmp_path)).check(text) is None
    assert main(["token", "create", *place]) == 2
    assert "1 to 64 letters" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_token_that_cannot_be_printed_is_revoked(tmp_path, monkeypatch, capsys, form):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = main(["token", "create", "viewer", "--data", str(tmp_path), *form])
        monkeypatch.undo()
    assert code == 2
    assert "Standard output cannot be written" in capsys.readouterr().err
    (token,) = Tokens(open_database(tmp_path)).all()
    assert token.revoked is not None


def test_serve_rejects_unsafe_or_impossible_options(tmp_path, capsys, monkeypatch):
    assert main(["serve", "--host", "0.0.0.0", "--data", str(tmp_path)]) == 2
    assert "brats-mm token create" in capsys.readouterr().err
    assert main(["serve", "--oidc-issuer", "https://a.example", "--data", str(tmp_path)]) == 2
    assert "--oidc-audience" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "brats_mm_service", None)
    assert main(["serve", "--data", str(tmp_path)]) == 2
    assert 'pip install "brats-mm[service]"' in capsys.readouterr().err


def test_two_services_cannot_share_a_folder(tmp_path, monkeypatch):
    from brats_mm_service import service

    first, databases = service.open_service(small_settings(tmp_path)), []
    open_database = service.open_database
    monkeypatch.setattr(
        service, "open_database", lambda folder: databases.append(open_database(folder)) or databases[0]
    )
    for file in tmp_path.glob("*.lock"):  # the lock is not a file that could be deleted
        file.unlink()
    with pytest.raises(OptionError, match="in use by another brats-mm serve"):
        service.open_service(small_settings(tmp_path))
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        databases[0].read("SELECT 1")
    first.database.close()
    os.close(first.lock)


@pytest.fixture(scope="module")
def issuer():
    """An issuer's key pair, and a way to sign claims."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())) | {"kid": "k1", "alg": "ES256"}

    def sign(*, algorithm="ES256", with_key=key, **changes):
        now = time.time()
        claims = {"iss": "https://id.example", "aud": "brats-mm", "sub": "u-7", "exp": now + 60} | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, with_key, algorithm=algorithm, headers={"kid": "k1"})

    return public, sign


@pytest.fixture
def accepting(issuer, monkeypatch):
    asked = []

    def document(url):
        asked.append(url)
        return {"jwks_uri": "https://id.example/keys"} if url.endswith("configuration") else {"keys": [issuer[0]]}

    monkeypatch.setattr("brats_mm_service.auth.oidc._fetch_document", document)
    result = OidcIssuer(OidcSettings("https://id.example", "brats-mm"))
    result.asked = asked
    return result


def test_access_token_of_issuer_identifies_caller(accepting, issuer):
    sign = issuer[1]
    assert accepting.find_caller(sign()) == "u-7"
    assert accepting.find_caller(sign(sub="u-8")) == "u-8"
    assert accepting.asked == ["https://id.example/.well-known/openid-configuration", "https://id.example/keys"]


def test_rejects_invalid_access_tokens(accepting, issuer):
    sign = issuer[1]
    for changes in (
        {"exp": time.time() - 3600},
        {"aud": "other"},
        {"iss": "https://evil"},
        {"sub": None},
        {"exp": None},
    ):
        assert accepting.find_caller(sign(**changes)) is None
    secret = sign(algorithm="HS256", with_key="x" * 64)
    assert accepting.find_caller(secret) is None
    assert accepting.find_caller("a.b.c") is None


def test_keys_are_fetched_over_https_only():
    from brats_mm_service.auth.oidc import _fetch_document

    with pytest.raises(ValueError, match="not an https address"):
        _fetch_document("http://id.example/keys")


def test_first_token_file_is_private_and_written_once(tmp_path):
    database = open_database(tmp_path / "data")
    try:
        tokens, file = Tokens(database), tmp_path / "first-token"
        assert write_first_token(tokens, file)
        assert file.stat().st_mode & 0o777 == 0o600
        text = file.read_text().strip()
        assert tokens.check(text).caller == "first"
        assert not write_first_token(tokens, file), "there is a token, so none is made"
        assert file.read_text().strip() == text
        tokens.revoke(tokens.all()[0].id)
        assert write_first_token(tokens, file)
        assert tokens.check(file.read_text().strip())
        tokens.revoke(tokens.all()[1].id)
        with pytest.raises(OptionError, match="cannot be written"):
            write_first_token(tokens, tmp_path / "none" / "first-token")
        assert not tokens.has_valid_token(), "a token that nobody can read is not made"
    finally:
        database.close()
