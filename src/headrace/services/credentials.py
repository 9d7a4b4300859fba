"""Tokens of this user for servers: in the keyring of the system, else in a file that the user alone may read."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from headrace.model.errors import UsageError

#: The service under which the keyring keeps tokens.
SERVICE = "headrace server"


#: No user, query or fragment; the parser of addresses checks the rest.
_URL = re.compile(r"(https?://)?[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._~/-]*)?", re.IGNORECASE)


class Known(msgspec.Struct, kw_only=True):
    """A server that the user logged in to. ``token`` is empty where the keyring has it."""

    user: str = ""
    token: str = ""


class _File(msgspec.Struct, kw_only=True):
    servers: dict[str, Known] = {}
    latest: str = ""


class Credentials:
    """The tokens of one user.

    Args:
        file: where servers are listed, with their tokens where no keyring has them.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def token(self, url: str) -> str:
        """The token for the server at ``url``; empty where there is none.

        Raises:
            UsageError: the file may be read by others, or is not one of credentials.
        """
        url = server_url(url)
        known = self._read().servers.get(url)
        if known is None:
            return ""
        return known.token or _from_keyring(url)

    def keep(self, url: str, user: str, token: str) -> str:
        """Keep the token of ``user`` for the server at ``url``; returns where it is, for people."""
        url = server_url(url)
        content = self._read()
        kept = _to_keyring(url, token)
        content.servers[url] = Known(user=user, token="" if kept else token)
        content.latest = url
        self._write(content)
        return "the keyring" if kept else str(self.file)

    def forget(self, url: str) -> bool:
        """Forget the token for the server at ``url``; whether there was one."""
        url = server_url(url)
        content = self._read()
        known = content.servers.pop(url, None)
        if known is None:
            return False
        if not known.token:
            _from_keyring(url, delete=True)
        if content.latest == url:
            content.latest = next(reversed(content.servers), "")
        self._write(content)
        return True

    @property
    def latest(self) -> str:
        """The server that the user logged in to last; empty where there is none."""
        return self._read().latest

    def _read(self) -> _File:
        try:
            with open(self.file, "rb") as file:  # noqa: PTH123 - its owner and mode are those of what is read
                status = os.fstat(file.fileno())
                if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                    raise UsageError(
                        f"{self.file} holds tokens, and others may read it; make it yours alone: "
                        f"chmod 600 {self.file}, and log in again if another user may have seen it"
                    )
                return msgspec.json.decode(file.read(), type=_File)
        except FileNotFoundError:
            return _File()
        except OSError as error:
            raise UsageError(f"{self.file} cannot be read: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{self.file} is not a file of credentials ({error}); remove it and log in again"
            ) from None

    def _write(self, content: _File) -> None:
        """Replace the file, whole or not at all."""
        try:
            self.file.parent.mkdir(0o700, parents=True, exist_ok=True)
            draft = f"{self.file}.{os.urandom(6).hex()}"
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:  # noqa: PTH123
                out.write(msgspec.json.format(msgspec.json.encode(content), indent=2))
            os.replace(draft, self.file)  # noqa: PTH105
        except OSError as error:
            raise UsageError(f"{self.file} cannot be written: {error}") from None


def server_url(url: str) -> str:
    """``url`` of a server in the one form that it is kept under.

    Raises:
        UsageError: it is not the address of a server, or tokens sent there could be read on the way.
    """
    url = url.strip()
    if _URL.fullmatch(url) is None:
        raise UsageError(f"{url!r} is not the address of a server; write https://HOST or https://HOST:PORT")
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = parts.hostname or "", parts.port
        if not host or parts.scheme not in ("http", "https"):
            raise ValueError
    except ValueError:
        raise UsageError(f"{url!r} is not the address of a server; write https://HOST or https://HOST:PORT") from None
    if parts.scheme == "http" and not _is_loopback(host):
        raise UsageError(f"{url}: a token sent there could be read on the way; use https://")
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown}{'' if port in (None, default) else f':{port}'}{parts.path.rstrip('/')}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _from_keyring(url: str, *, delete: bool = False) -> str:
    with contextlib.suppress(Exception):  # of its backends, whatever they are; then there is no token
        import keyring

        if delete:
            keyring.delete_password(SERVICE, url)
            return ""
        return keyring.get_password(SERVICE, url) or ""
    return ""


def _to_keyring(url: str, token: str) -> bool:
    """Whether the keyring took the token, and gives it back."""
    try:
        import keyring

        keyring.set_password(SERVICE, url, token)
        return keyring.get_password(SERVICE, url) == token
    except Exception:  # of its backends, whatever they are: most servers and containers have none
        return False
