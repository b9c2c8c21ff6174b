"""ssl_context: what is verified, with what, and that gevent's patching changes nothing."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenredis.config import ssl_context, validate
from greenredis.exceptions import ConnectionError

SECRET = "hunter2"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem, key.pem (encrypted with SECRET) and plain.pem (the same key)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", "key.pem", "-out", "cert.pem", "-passout", f"pass:{SECRET}"]
    subprocess.run([openssl, *words.split(), *files], cwd=folder, check=True, capture_output=True)
    plain = ["rsa", "-in", "key.pem", "-passin", f"pass:{SECRET}", "-out", "plain.pem"]
    subprocess.run([openssl, *plain], cwd=folder, check=True, capture_output=True)
    return folder


def shake(client: ssl.SSLContext, server: ssl.SSLContext, name: str = "localhost") -> ssl.SSLObject:
    """Both sides of a handshake in memory; the client's side of it."""
    one, two = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(one, two, server_hostname=name)
    theirs = server.wrap_bio(two, one, server_side=True)
    for _ in range(5):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return ours


def server_context(folder: Path, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "plain.pem")
    if options.get("client"):
        context.load_verify_locations(folder / "cert.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_context_by_default() -> None:
    context = ssl_context({})
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert type(context).__module__ == "ssl"


@pytest.mark.parametrize(
    ("options", "mode", "checked"),
    [
        ({"ssl_cert_reqs": "none"}, ssl.CERT_NONE, False),
        ({"ssl_cert_reqs": None}, ssl.CERT_NONE, False),
        ({"ssl_cert_reqs": ssl.CERT_OPTIONAL}, ssl.CERT_OPTIONAL, True),
        ({"ssl_cert_reqs": "required", "ssl_check_hostname": False}, ssl.CERT_REQUIRED, False),
    ],
)
def test_what_is_verified(options: dict[str, Any], mode: ssl.VerifyMode, checked: bool) -> None:
    context = ssl_context(validate(options))
    assert (context.verify_mode, context.check_hostname) == (mode, checked)


def test_flags_version_and_ciphers() -> None:
    strict, trusted = ssl.VerifyFlags.VERIFY_X509_STRICT, ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
    options = {
        "ssl_include_verify_flags": [strict],
        "ssl_exclude_verify_flags": [trusted],
        "ssl_min_version": ssl.TLSVersion.TLSv1_3,
        "ssl_ciphers": "ECDHE-RSA-AES256-GCM-SHA384",
    }
    context = ssl_context(options)
    assert context.verify_flags & strict
    assert not context.verify_flags & trusted
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert "ECDHE-RSA-AES256-GCM-SHA384" in {cipher["name"] for cipher in context.get_ciphers()}
    with pytest.raises(ValueError, match="ssl_ciphers must be a list of ciphers that OpenSSL knows, not 'x'"):
        ssl_context({"ssl_ciphers": "x"})


def test_handshakes_with_cas_from_file_path_and_data(certificate: Path) -> None:
    pem = (certificate / "cert.pem").read_text()
    server = server_context(certificate)
    for options in ({"ssl_ca_certs": str(certificate / "cert.pem")}, {"ssl_ca_data": pem}):
        assert shake(ssl_context(options), server).version()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(ssl_context({}), server)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake(ssl_context({"ssl_ca_data": pem}), server, "other")
    assert shake(ssl_context({"ssl_ca_data": pem, "ssl_check_hostname": False}), server, "other").version()
    assert shake(ssl_context({"ssl_cert_reqs": "none"}), server, "other").version()
    assert ssl_context({"ssl_ca_path": str(certificate)})


def test_client_certificates(certificate: Path) -> None:
    cert, key = str(certificate / "cert.pem"), str(certificate / "key.pem")
    mine = {"ssl_ca_certs": cert, "ssl_certfile": cert, "ssl_keyfile": key}
    context = ssl_context({**mine, "ssl_password": SECRET})
    assert shake(context, server_context(certificate, client=True)).version()
    with pytest.raises(ValueError, match="pass its password as ssl_password"):
        ssl_context(mine)
    with pytest.raises(ConnectionError, match="cannot load what ssl_certfile, ssl_keyfile name") as caught:
        ssl_context({**mine, "ssl_password": "wrong" + SECRET})
    assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match="ssl_keyfile needs ssl_certfile"):
        ssl_context({"ssl_keyfile": key})
    with pytest.raises(ConnectionError, match="cannot load what ssl_ca_certs, ssl_ca_path, ssl_ca_data name"):
        ssl_context({"ssl_ca_certs": "/nowhere/ca.pem"})


def test_a_key_log_is_kept_on_demand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert ssl_context({"ssl_cert_reqs": "none"}).keylog_filename == str(tmp_path / "keys")


PATCHED = """
{before}
import greenredis.config, sys
assert "ssl" not in sys.modules or {patched_first}
{after}
import ssl
context = greenredis.config.ssl_context({{
    "ssl_min_version": 772, "ssl_include_verify_flags": [ssl.VerifyFlags.VERIFY_X509_STRICT],
    "ssl_cert_reqs": "required", "ssl_ciphers": "ECDHE-RSA-AES256-GCM-SHA384",
}})
assert type(context).__module__ == "ssl", type(context)
assert context.minimum_version == ssl.TLSVersion.TLSv1_3
outgoing = ssl.MemoryBIO()
try:
    context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
except ssl.SSLWantReadError:
    print(outgoing.pending > 100)
"""


@pytest.mark.parametrize("when", ["never", "before", "after"])
def test_contexts_are_native_whenever_gevent_patches(when: str) -> None:
    patch = "from gevent import monkey; monkey.patch_all()"
    script = PATCHED.format(
        before=patch if when == "before" else "",
        after=patch if when == "after" else "",
        patched_first=when == "before",
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("True", "")
