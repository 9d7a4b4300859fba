"""Logging in at a provider of identities: OpenID Connect, authorization code flow with PKCE.

What protects it: a ``state`` that is used once and bound to the browser by a cookie, so that nobody can log another
person in as oneself; a ``nonce`` in the signed ID token; PKCE for the code. The server fetches addresses that the
configured issuer's document names, over https alone (or on this machine), follows no redirects, and reads little.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from headrace.model.accounts import User
from headrace.model.errors import UsageError
from headrace.server.config import OidcConfig, ServerConfig, check_provider_url
from headrace.server.problems import Problem
from headrace.services.accounts.login import Logins
from headrace.services.accounts.secret_texts import equal, hash_of, new_secret
from headrace.services.accounts.users import Accounts, Source

#: How long a user may take at the provider.
LOGIN_SECONDS = 600.0
_SECONDS = 10.0
_LARGEST = 1 << 20
#: How long the provider's document is believed.
_DOCUMENT_SECONDS = 3_600.0
#: Signatures that only the provider can make.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: How far the provider's clock may be off, in seconds.
_LEEWAY = 60


class Pending(msgspec.Struct, frozen=True):
    """A login that was begun: ``guard`` is the hash of the cookie of the browser that began it."""

    guard: bytes
    verifier: str
    nonce: str
    target: str


class Identity(msgspec.Struct, frozen=True):
    """Whom the provider names; ``subject`` is the one name that stays, ``name`` the one to be known by here."""

    subject: str
    name: str
    display: str


class Started(msgspec.Struct, frozen=True):
    """A login that begins, with the provider's address to lead to."""

    pending: Pending
    address: str
    query: dict[str, str]

    def keep(self, logins: Logins) -> str:
        """Remember it; returns the address, with the state under which it is found again."""
        state = logins.begin("oidc", msgspec.msgpack.encode(self.pending), LOGIN_SECONDS)
        mark = "&" if "?" in self.address else "?"
        return f"{self.address}{mark}{urlencode({**self.query, 'state': state})}"


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """What its document says."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Oidc:
    """One provider.

    Args:
        config: how this server is reached.
        oidc: which provider, and who this server is there.
    """

    def __init__(self, config: ServerConfig, oidc: OidcConfig) -> None:
        self._redirect = f"{config.url}/login/callback"
        self._oidc = oidc
        self._provider: tuple[float, Provider] | None = None

    async def start(self, target: str, guard: str) -> Started:
        """Begin a login of the browser that has the cookie ``guard``; it leads to ``target`` here in the end.

        Raises:
            Problem: 502 where the provider does not answer as one.
        """
        provider = await self._document()
        verifier, nonce = new_secret(), new_secret()
        query = {
            "response_type": "code",
            "client_id": self._oidc.client_id,
            "redirect_uri": self._redirect,
            "scope": "openid email profile",
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        pending = Pending(hash_of(guard, "guard"), verifier, nonce, target)
        return Started(pending, provider.authorization_endpoint, query)

    async def finish(self, kept: bytes | None, guard: str, code: str) -> tuple[Identity, str]:
        """Whom the provider names, and where the login leads.

        Args:
            kept: what was kept under the state that came back; None when there was nothing.
            guard: what the browser's cookie says.
            code: what the provider gave the browser.

        Raises:
            Problem: 403 where the answer is not to this browser's login; 502 where the provider fails.
        """
        pending = None if kept is None else msgspec.msgpack.decode(kept, type=Pending)
        if pending is None or not guard or not equal(pending.guard.hex(), hash_of(guard, "guard").hex()) or not code:
            raise Problem(403, "login", "this answer does not belong to a login that this browser began; log in again")
        provider = await self._document()
        tokens = await self._exchange(provider, code, pending.verifier)
        claims = await self._claims(provider, str(tokens.get("id_token", "")), pending.nonce)
        if self._oidc.claim not in claims and provider.userinfo_endpoint:
            claims = {**await self._user_info(provider, tokens, claims["sub"]), **claims}
        return self._identity(provider, claims), pending.target

    def user_of(self, accounts: Accounts, source: Source, identity: Identity) -> User:
        """The user of an identity, who gets an account without roles at the first login.

        An account that an admin made for single sign-on (``headrace user add --sso``) goes to the first identity of
        its name. One with a password, or of another identity, does not: names change hands.

        Raises:
            Problem: 403 where the account is another's, or disabled.
        """
        store = accounts.store
        user = store.user_of_subject(identity.subject)
        if user is None:
            user = store.user(identity.name)
            if user is not None and (user.password or user.subject):
                raise _refused(f"the account {identity.name} belongs to another identity; ask an admin")
            if user is not None:
                user = msgspec.structs.replace(user, subject=identity.subject)
                store.change_user(user)
                accounts.record(source, "user.link", user.name, detail=identity.subject)
            else:
                try:
                    new = Source(actor=identity.name, address=source.address, request_id=source.request_id)
                    user = accounts.add(new, identity.name, display=identity.display, subject=identity.subject)
                except UsageError as error:
                    raise _refused(str(error)) from None
        if user.disabled:
            raise _refused(f"{user.name} is disabled; ask an admin")
        return user

    # --- the provider ---

    async def _document(self) -> Provider:
        now = time.monotonic()
        if self._provider is not None and now < self._provider[0]:
            return self._provider[1]
        issuer = self._oidc.issuer.rstrip("/")
        content = await self._ask("GET", f"{issuer}/.well-known/openid-configuration")
        try:
            provider = msgspec.json.decode(content, type=Provider)
            for what in (provider.authorization_endpoint, provider.token_endpoint, provider.jwks_uri):
                check_provider_url("an address of the provider,", what)
            if provider.userinfo_endpoint:
                check_provider_url("an address of the provider,", provider.userinfo_endpoint)
        except (msgspec.DecodeError, UsageError) as error:
            raise _failed(f"its document cannot be used: {error}") from None
        if provider.issuer.rstrip("/") != issuer:
            raise _failed(f"its document is that of {provider.issuer[:200]!r}")
        self._provider = (now + _DOCUMENT_SECONDS, provider)
        return provider

    async def _exchange(self, provider: Provider, code: str, verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": verifier,
            "client_id": self._oidc.client_id,
        }
        auth = None
        if self._oidc.client_secret:
            if "client_secret_basic" in provider.token_endpoint_auth_methods_supported:
                auth = httpx.BasicAuth(self._oidc.client_id, self._oidc.client_secret)
            else:
                form["client_secret"] = self._oidc.client_secret
        content = await self._ask("POST", provider.token_endpoint, data=form, auth=auth)
        try:
            found: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
            return found
        except msgspec.DecodeError:
            raise _failed("its answer has no token") from None

    async def _claims(self, provider: Provider, text: str, nonce: str) -> Mapping[str, Any]:
        try:
            keys = KeySet.import_key_set(msgspec.json.decode(await self._ask("GET", provider.jwks_uri)))
            token = jwt.decode(text, keys, algorithms=_ALGORITHMS)
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"essential": True, "value": provider.issuer},
                    "aud": {"essential": True, "value": self._oidc.client_id},
                    "sub": {"essential": True, "allow_blank": False},
                },
                {"nonce": nonce, "client_id": self._oidc.client_id},
            )
            claims.validate(leeway=_LEEWAY)
        except (JoseError, ValueError, TypeError, KeyError, msgspec.DecodeError) as error:
            raise _refused(f"the provider's ID token cannot be believed: {error}") from None
        return dict(claims)

    async def _user_info(self, provider: Provider, tokens: Mapping[str, Any], subject: str) -> Mapping[str, Any]:
        """What the provider says of the user beside the ID token; some say names and addresses there alone."""
        headers = {"Authorization": f"Bearer {tokens.get('access_token', '')}"}
        content = await self._ask("GET", provider.userinfo_endpoint, headers=headers)
        try:
            found: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError:
            raise _failed("what it says of the user cannot be read") from None
        if found.get("sub") != subject:
            raise _refused("the provider says something of another user")
        return found

    def _identity(self, provider: Provider, claims: Mapping[str, Any]) -> Identity:
        claim = self._oidc.claim
        name = claims.get(claim)
        if not isinstance(name, str) or not name:
            raise _refused(f"the provider does not say the claim {claim!r} of this user; --oidc-claim names another")
        if claim == "email" and claims.get("email_verified") is not True:
            raise _refused(f"the provider has not verified the address {name[:100]}")
        display = claims.get("name")
        display = display[:200] if isinstance(display, str) and display.isprintable() else ""
        return Identity(f"{provider.issuer} {claims['sub']}", name, display)

    async def _ask(self, method: str, url: str, headers: Mapping[str, str] = {}, **more: Any) -> bytes:
        """What the provider answers, where that is 200 and not large."""
        headers = {"Accept": "application/json", **headers}
        try:
            async with (
                httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False) as client,
                client.stream(method, url, headers=headers, **more) as answer,
            ):
                parts, size = [], 0
                async for part in answer.aiter_bytes():
                    size += len(part)
                    if size > _LARGEST:
                        raise _failed(f"{url} answers too much")
                    parts.append(part)
                if answer.status_code != 200:
                    raise _failed(f"{url} answers {answer.status_code}")
                return b"".join(parts)
        except httpx.HTTPError as error:
            raise _failed(f"{url}: {type(error).__name__}") from None


def _failed(why: str) -> Problem:
    return Problem(
        502, "provider", f"the provider of identities does not answer as one: {why}. Try again, or tell an admin"
    )


def _refused(why: str) -> Problem:
    return Problem(403, "login", why)
