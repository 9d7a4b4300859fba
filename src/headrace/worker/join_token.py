"""What lets a worker join a driver: one secret on the driver's side, one joining token on the worker's.

From its secret a driver derives a key, with a certificate for TLS, and what its workers have to show. The joining token
has the fingerprint of the certificate and the latter: a worker with it knows its driver, and cannot pose as it. The
same secret gives the same certificate everywhere, so the next session of a run, on any machine, is known too.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import ssl
from typing import NamedTuple

from headrace.model.errors import UsageError

_PREFIX = "hrw1."
_SHORTEST = 16
_SALT = b"headrace worker protocol 1"


class JoinToken(NamedTuple):
    """What a worker needs to know of its driver: the SHA-256 of its certificate, and the secret to show."""

    fingerprint: bytes
    secret: bytes

    def __repr__(self) -> str:
        return "JoinToken(***)"

    def write(self) -> str:
        """The token as one word."""
        return _PREFIX + base64.urlsafe_b64encode(self.fingerprint + self.secret).decode().rstrip("=")


def read_token(text: str) -> JoinToken:
    """The token that ``JoinToken.write`` wrote.

    Raises:
        UsageError: it is another thing.
    """
    text = text.strip()
    try:
        raw = base64.b64decode(text.removeprefix(_PREFIX) + "==", altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if not text.startswith(_PREFIX) or len(raw) != 64:
        raise UsageError(
            "the secret of a worker is the joining token that its driver wrote when it began to listen (it starts with "
            f"{_PREFIX}); this is another text, of {len(text)} characters"
        )
    return JoinToken(raw[:32], raw[32:])


class Identity(NamedTuple):
    """A driver as its workers know it: certificate and key as PEM, and the token to join it."""

    certificate: bytes
    key: bytes
    token: JoinToken

    def __repr__(self) -> str:
        return "Identity(***)"


@functools.lru_cache(maxsize=8)
def identity_of(secret: str) -> Identity:
    """The identity that ``secret`` stands for, always the same.

    Raises:
        UsageError: the secret is short enough to be guessed, or ``cryptography`` is not installed.
    """
    if len(secret) < _SHORTEST:
        raise UsageError(
            f"the secret of a place for workers needs at least {_SHORTEST} characters, because anybody who can connect "
            "may try to guess it; make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    made = hashlib.scrypt(secret.encode(), salt=_SALT, n=1 << 14, r=8, p=1, dklen=64)
    certificate, key, der = _certificate(made[:32])
    return Identity(certificate, key, JoinToken(hashlib.sha256(der).digest(), made[32:]))


def _certificate(seed: bytes) -> tuple[bytes, bytes, bytes]:
    """Certificate (PEM), key (PEM) and certificate (DER). Ed25519 signatures have no randomness in them."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise UsageError(
            "a place for workers elsewhere needs the package cryptography: install headrace[remote]"
        ) from None
    import datetime

    key = Ed25519PrivateKey.from_private_bytes(seed)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "headrace driver")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc))
        .not_valid_after(datetime.datetime(9999, 12, 31, tzinfo=datetime.timezone.utc))  # the certificate is compared
        .sign(key, None)
    )
    pem = serialization.Encoding.PEM
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), text, certificate.public_bytes(serialization.Encoding.DER)


def driver_context(identity: Identity) -> ssl.SSLContext:
    """TLS for a driver. The key is never in a file system."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    fd = os.memfd_create("headrace-key")
    try:
        os.write(fd, identity.certificate + identity.key)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return context


def worker_context() -> ssl.SSLContext:
    """TLS for a worker, which compares the driver's certificate itself (``is_driver``)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_driver(certificate: bytes | None, token: JoinToken) -> bool:
    """Whether ``certificate`` (DER) is that of the driver that ``token`` is for."""
    return certificate is not None and hashlib.sha256(certificate).digest() == token.fingerprint
