"""TLS: an ssl.SSLContext from the ssl_* options."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import checks
from .exceptions import ConnectionError
from .options import CONNECTION_OPTIONS

if TYPE_CHECKING:
    import ssl


def ssl_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """A client's context by the ssl_* options, of the standard library's class, for its wrap_bio().

    Takes about 19 ms and reads files: for a thread. As in redis-py the system's CAs are trusted besides
    those given, and the host name is checked unless certificates are not. ConnectionError if a file
    cannot be loaded, ValueError for options that OpenSSL refuses.
    """
    import ssl

    from gevent.monkey import get_original

    wanted = {name: options.get(name, CONNECTION_OPTIONS[name].default) for name in CONNECTION_OPTIONS}
    context: ssl.SSLContext = get_original("ssl", "SSLContext")(ssl.PROTOCOL_TLS_CLIENT)
    reqs = wanted["ssl_cert_reqs"]
    mode = ssl.VerifyMode(checks.CERT_REQS.get(reqs, reqs) or 0)
    context.check_hostname = bool(mode and wanted["ssl_check_hostname"])
    _set(context, "verify_mode", mode)
    _set(context, "verify_flags", _flags(context, wanted))
    if wanted["ssl_min_version"] is not None:
        _set(context, "minimum_version", wanted["ssl_min_version"])
    try:
        if wanted["ssl_ciphers"]:
            context.set_ciphers(wanted["ssl_ciphers"])
    except ssl.SSLError:
        checks.refuse("ssl_ciphers", "a list of ciphers that OpenSSL knows", wanted["ssl_ciphers"])
    _load_certificates(context, wanted)
    # As ssl.create_default_context() does, for whoever looks into the traffic.
    if (keylog := os.environ.get("SSLKEYLOGFILE")) and not sys.flags.ignore_environment:
        context.keylog_filename = keylog
    return context


def _set(context: ssl.SSLContext, name: str, value: object) -> None:
    # The standard library's setters look their own class up by name and, once that is monkey patched,
    # call themselves for ever; those below, written in C, do not.
    type(context).__bases__[0].__dict__[name].__set__(context, value)


def _flags(context: ssl.SSLContext, wanted: Mapping[str, Any]) -> int:
    import ssl

    flags = int(context.verify_flags)
    if sys.version_info >= (3, 13):
        # As ssl.create_default_context() does from there on.
        flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    for flag in wanted["ssl_include_verify_flags"] or ():
        flags |= flag
    for flag in wanted["ssl_exclude_verify_flags"] or ():
        flags &= ~flag
    return flags


def _load_certificates(context: ssl.SSLContext, wanted: Mapping[str, Any]) -> None:
    cert, key = wanted["ssl_certfile"], wanted["ssl_keyfile"]
    if key and not cert:
        raise ValueError("ssl_keyfile needs ssl_certfile, the certificate that belongs to the key")
    with _loading("ssl_certfile, ssl_keyfile"):
        if cert:
            context.load_cert_chain(cert, key, wanted["ssl_password"] or _no_password)
    if not context.verify_mode:
        return
    cas = (wanted["ssl_ca_certs"], wanted["ssl_ca_path"], wanted["ssl_ca_data"])
    with _loading("ssl_ca_certs, ssl_ca_path, ssl_ca_data"):
        context.load_default_certs()
        if any(ca is not None for ca in cas):
            context.load_verify_locations(*cas)


def _no_password() -> str:
    # OpenSSL would ask for it on the terminal, and wait.
    raise ValueError("the private key is encrypted; pass its password as ssl_password")


@contextmanager
def _loading(names: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConnectionError(f"cannot load what {names} name: {error}") from error
