"""``S3``: objects in S3, by full address or below a prefix, several at once. It needs the package boto3."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlparse

from headrace.frontends.metaflow.authoring.flowspec import FlowBase
from headrace.frontends.metaflow.current import current
from headrace.frontends.metaflow.exceptions import MetaflowException, NotSupportedException
from headrace.frontends.metaflow.s3.objects import (
    MetaflowS3AccessDenied,
    MetaflowS3Exception,
    MetaflowS3InvalidObject,
    MetaflowS3InvalidRange,
    MetaflowS3NotFound,
    MetaflowS3URLException,
    RangeInfo,
    S3GetObject,
    S3Info,
    S3Object,
    S3PutObject,
)
from headrace.frontends.metaflow.settings import datatools_root, setting

if TYPE_CHECKING:
    from typing import Self

#: How many requests run at once.
_AT_ONCE = 16
_ATTRIBUTES = "metaflow-user-attributes"
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_ERRORS: dict[str, type[MetaflowException]] = {
    **dict.fromkeys(("404", "NoSuchKey", "NoSuchBucket", "NotFound"), MetaflowS3NotFound),
    **dict.fromkeys(("403", "AccessDenied"), MetaflowS3AccessDenied),
    **dict.fromkeys(("416", "InvalidRange"), MetaflowS3InvalidRange),
}

A = TypeVar("A")
R = TypeVar("R")


class S3:
    """A client, with a folder for what it downloads that goes when it is closed.

    Addresses are full ones (``S3()``), or below ``s3root``, or below the place of a run (``S3(run=self)``):
    ``METAFLOW_DATATOOLS_S3ROOT`` or ``bucket`` and ``prefix``, then flow and run.

    Raises:
        MetaflowS3URLException: that place is not known, or no address of S3.
        NotSupportedException: boto3 is not installed.
    """

    def __init__(
        self,
        tmproot: str | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
        run: Any = None,
        s3root: str | None = None,
        encryption: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._s3root = _root(run, s3root, bucket, prefix)
        self._encryption = encryption or setting("S3_SERVER_SIDE_ENCRYPTION")
        if kwargs.get("role"):
            raise NotSupportedException("S3(role=...) is not supported; let the AWS profile assume the role")
        self._client = kwargs.get("external_client") or _client(
            kwargs.get("session_vars") or {}, kwargs.get("client_params") or {}
        )
        self._tmpdir: str | None = tempfile.mkdtemp(dir=tmproot or setting("TEMPDIR", "."), prefix="metaflow.s3.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove all that was downloaded."""
        if self._tmpdir is not None:
            shutil.rmtree(self._tmpdir, ignore_errors=True)
            self._tmpdir = None

    # --- looking ----------------------------------------------------------------------------------------------

    def list_paths(self, keys: Iterable[str] | None = None) -> list[S3Object]:
        """Objects and prefixes right below ``keys``; ``exists`` tells them apart."""
        urls = [self._url(key).rstrip("/") + "/" for key in ([None] if keys is None else keys)]
        return [one for found in self._at_once(lambda url: list(self._list(url, "/")), urls) for one in found]

    def list_recursive(self, keys: Iterable[str] | None = None) -> list[S3Object]:
        """All objects whose addresses begin with one of ``keys``."""
        urls = [self._url(key) for key in ([None] if keys is None else keys)]
        return [one for found in self._at_once(lambda url: list(self._list(url)), urls) for one in found]

    def info(self, key: str | None = None, return_missing: bool = False) -> S3Object:
        """What the server knows of an object.

        Raises:
            MetaflowS3NotFound: it does not exist, unless ``return_missing``.
        """
        return self._head(self._url(key), return_missing)

    def info_many(self, keys: Iterable[str], return_missing: bool = False) -> list[S3Object]:
        """As ``info`` of each, in the order of ``keys``."""
        return self._at_once(lambda url: self._head(url, return_missing), [self._url(key) for key in keys])

    # --- getting ----------------------------------------------------------------------------------------------

    def get(
        self, key: str | S3GetObject | None = None, return_missing: bool = False, return_info: bool = True
    ) -> S3Object:
        """Download an object, or a range of it.

        Raises:
            MetaflowS3NotFound: it does not exist, unless ``return_missing``; MetaflowS3InvalidRange: no such bytes.
        """
        return self._get(self._s3root, self._url(key), _range(key), return_missing, return_info)

    def get_many(
        self, keys: Iterable[str | S3GetObject], return_missing: bool = False, return_info: bool = True
    ) -> list[S3Object]:
        """As ``get`` of each, in the order of ``keys``."""
        wanted = [(self._url(key), _range(key)) for key in keys]
        return self._at_once(lambda one: self._get(self._s3root, *one, return_missing, return_info), wanted)

    def get_recursive(self, keys: Iterable[str | None], return_info: bool = False) -> list[S3Object]:
        """Download all objects whose addresses begin with one of ``keys``."""
        urls = [self._url(key) for key in keys]
        found = [(url, one.url) for url in urls for one in self._list(url)]
        return self._at_once(
            lambda one: self._get(self._s3root if return_info else one[0], one[1], None, False, return_info), found
        )

    def get_all(self, return_info: bool = False) -> list[S3Object]:
        """Download all below the client's own prefix; raises MetaflowS3URLException when it has none."""
        if self._s3root is None:
            raise MetaflowS3URLException("Can't get_all() when S3 is initialized without a prefix")
        return self.get_recursive([None], return_info)

    # --- putting ----------------------------------------------------------------------------------------------

    def put(
        self,
        key: str | S3PutObject,
        obj: Any,
        overwrite: bool = True,
        content_type: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> str:
        """Store text, bytes or an open file; its full address. Without ``overwrite`` what exists stays.

        Raises:
            MetaflowS3InvalidObject: it is none of these.
        """
        url = self._url(key)
        self._put(url, S3PutObject(url, _readable(key, obj), None, content_type, None, metadata), overwrite)
        return url

    def put_many(self, key_objs: Iterable[Any], overwrite: bool = True) -> list[tuple[str, str]]:
        """Store ``(key, object)`` or ``S3PutObject`` each; keys and full addresses of those that were stored."""
        orders = [one if isinstance(one, S3PutObject) else S3PutObject(*one) for one in key_objs]
        orders = [one._replace(value=_readable(one.key, one.value)) for one in orders]
        return self._put_all(orders, overwrite)

    def put_files(self, key_paths: Iterable[Any], overwrite: bool = True) -> list[tuple[str, str]]:
        """Store the files of ``(key, path)`` or ``S3PutObject`` each; as ``put_many``.

        Raises:
            MetaflowS3NotFound: a file does not exist.
        """
        orders = [one if isinstance(one, S3PutObject) else S3PutObject(one[0], path=one[1]) for one in key_paths]
        for one in orders:
            if one.path is None or not os.path.exists(one.path):  # noqa: PTH110
                raise MetaflowS3NotFound(f"Local file not found: {one.path}")
        return self._put_all(orders, overwrite)

    def _put_all(self, orders: list[S3PutObject], overwrite: bool) -> list[tuple[str, str]]:
        urls = [self._url(one.key) for one in orders]
        jobs = list(zip(urls, orders, strict=True))
        stored = self._at_once(lambda job: self._put(*job, overwrite), jobs)
        return [(one.key, url) for (url, one), new in zip(jobs, stored, strict=True) if new]

    # --- requests ---------------------------------------------------------------------------------------------

    def _at_once(self, call: Callable[[A], R], jobs: list[A]) -> list[R]:
        if len(jobs) < 2:
            return [call(one) for one in jobs]
        with ThreadPoolExecutor(min(_AT_ONCE, len(jobs))) as pool:
            futures = [pool.submit(call, one) for one in jobs]
            try:
                return [one.result() for one in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _list(self, url: str, delimiter: str = "") -> Iterator[S3Object]:
        place = _place(url)
        more: dict[str, str] = {}
        while True:
            page = self._ask(
                url, "list_objects_v2", Bucket=place["Bucket"], Prefix=place["Key"], Delimiter=delimiter, **more
            )
            found = [(one["Key"], one["Size"]) for one in page.get("Contents", ())]
            found += [(one["Prefix"], None) for one in page.get("CommonPrefixes", ())]
            for key, size in found:
                yield S3Object(url, f"s3://{place['Bucket']}/{key}", None, S3Info(size))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _head(self, url: str, return_missing: bool) -> S3Object:
        try:
            answer = self._ask(url, "head_object", **_place(url))
        except MetaflowS3NotFound:
            if not return_missing:
                raise
            return S3Object(self._s3root, url)
        return S3Object(self._s3root, url, None, _info(answer, None))

    def _get(self, prefix: str | None, url: str, part: str | None, return_missing: bool, with_info: bool) -> S3Object:
        try:
            answer = self._ask(url, "get_object", **_place(url), **({"Range": part} if part else {}))
        except MetaflowS3NotFound:
            if not return_missing:
                raise
            return S3Object(prefix, url)
        handle, path = tempfile.mkstemp(dir=self._tmpdir)
        with os.fdopen(handle, "wb") as file, answer["Body"] as body:
            shutil.copyfileobj(body, file, 1 << 20)
        return S3Object(prefix, url, path, _info(answer, _got(answer)) if with_info else None)

    def _put(self, url: str, order: S3PutObject, overwrite: bool) -> bool:
        """Whether it was stored."""
        if not overwrite and self._head(url, True).exists:
            return False
        extra: dict[str, Any] = {}
        if order.content_type:
            extra["ContentType"] = order.content_type
        if order.metadata:
            extra["Metadata"] = {_ATTRIBUTES: json.dumps(order.metadata)}
        if order.encryption or self._encryption:
            extra["ServerSideEncryption"] = order.encryption or self._encryption
        place = _place(url)
        if order.path is not None:
            self._ask(url, "upload_file", order.path, place["Bucket"], place["Key"], ExtraArgs=extra)
        else:
            # The upload closes what it is given, and the user's file is the user's.
            self._ask(url, "upload_fileobj", _Unclosed(order.value), place["Bucket"], place["Key"], ExtraArgs=extra)
        return True

    def _ask(self, url: str, operation: str, *arguments: Any, **options: Any) -> Any:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(*arguments, **options)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            raise _ERRORS.get(code, MetaflowS3Exception)(f"{url}: {error}") from error
        except (BotoCoreError, Boto3Error) as error:
            raise MetaflowS3Exception(f"{url}: {error}") from error

    def _url(self, key: Any) -> str:
        text = getattr(key, "key", key)
        text = text.decode() if isinstance(text, bytes) else text
        if self._s3root is not None:
            if text and text.startswith("s3://"):
                raise MetaflowS3URLException(
                    f"Don't use absolute S3 URLs when the S3 client is initialized with a prefix. URL: {text}"
                )
            return f"{self._s3root}/{text.lstrip('/')}" if text else self._s3root
        parsed = urlparse(text or "", allow_fragments=False)
        if parsed.scheme == "s3" and parsed.path:
            return str(text)
        raise MetaflowS3URLException(
            f"{text!r} is not a full s3:// address; give one, or make the client with S3(run=self) or S3(s3root=...)"
        )


class _Unclosed(io.RawIOBase):
    """A file whose end of use is not the end of the file."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> Any:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())


def get_aws_client(
    module: str,
    with_error: bool = False,
    role_arn: str | None = None,
    session_vars: dict[str, Any] | None = None,
    client_params: dict[str, Any] | None = None,
) -> Any:
    """A client of boto3 for a service; ``with_error``: and the class of its errors.

    Raises:
        NotSupportedException: boto3 is not installed, or a role is asked for.
    """
    if role_arn:
        raise NotSupportedException(
            "get_aws_client(role_arn=...) is not supported; let the AWS profile assume the role"
        )
    boto3 = _boto3()
    if module == "s3":
        client = _client(session_vars or {}, client_params or {})
    else:
        client = boto3.session.Session(**(session_vars or {})).client(module, **(client_params or {}))
    if not with_error:
        return client
    from botocore.exceptions import ClientError

    return client, ClientError


def _boto3() -> Any:
    try:
        import boto3
    except ImportError:
        raise NotSupportedException(
            "metaflow.S3 needs the package boto3: pip install 'headrace[s3]'; see docs/metaflow.md"
        ) from None
    return boto3


def _client(session: dict[str, Any], params: dict[str, Any]) -> Any:
    boto3 = _boto3()
    from botocore.config import Config

    options: dict[str, Any] = {"config": Config(retries={"max_attempts": 7, "mode": "standard"})}
    if setting("S3_ENDPOINT_URL"):
        options["endpoint_url"] = setting("S3_ENDPOINT_URL")
    if setting("S3_VERIFY_CERTIFICATE"):
        options["verify"] = setting("S3_VERIFY_CERTIFICATE")
    return boto3.session.Session(**session).client("s3", **{**options, **params})


def _root(run: Any, s3root: str | None, bucket: str | None, prefix: str | None) -> str | None:
    """The prefix of all addresses, without a slash at its end."""
    if run is None:
        if s3root is not None and urlparse(s3root).scheme != "s3":
            raise MetaflowS3URLException("s3root needs to be an S3 URL prefixed with s3://.")
        return s3root.rstrip("/") if s3root is not None else None
    base = datatools_root()
    if base is None:
        raise MetaflowS3URLException("DATATOOLS_S3ROOT is not configured when trying to use S3 storage")
    parsed = urlparse(base)
    if not isinstance(run, FlowBase):
        parts = [run.parent.id, run.id]
    elif current.is_running_flow:
        parts = [current.flow_name, current.run_id]
    else:
        raise MetaflowS3URLException("Initializing S3 with a FlowSpec outside of a running flow is not supported.")
    within = [(prefix or parsed.path).strip("/"), *parts]
    return f"s3://{bucket or parsed.netloc}/{'/'.join(one for one in within if one)}"


def _place(url: str) -> dict[str, str]:
    parsed = urlparse(url, allow_fragments=False)
    query = f"?{parsed.query}" if parsed.query else ""
    return {"Bucket": parsed.netloc, "Key": (parsed.path + query).lstrip("/")}


def _range(key: Any) -> str | None:
    if not isinstance(key, S3GetObject) or (key.offset is None and key.length is None):
        return None
    start = key.offset or 0
    if key.length is None:
        return f"bytes={start}-"
    return f"bytes=-{-key.length}" if key.length < 0 else f"bytes={start}-{start + key.length - 1}"


def _got(answer: dict[str, Any]) -> RangeInfo:
    found = _RANGE.match(answer.get("ContentRange") or "")
    if found is None:
        return RangeInfo(answer["ContentLength"], 0, answer["ContentLength"])
    first, last, total = (int(one) for one in found.groups())
    return RangeInfo(total, first, last - first + 1)


def _info(answer: dict[str, Any], got: RangeInfo | None) -> S3Info:
    stored = answer.get("Metadata", {}).get(_ATTRIBUTES)
    return S3Info(
        size=answer["ContentLength"],
        content_type=answer.get("ContentType"),
        metadata=json.loads(stored) if stored else None,
        range_info=got,
        last_modified=int(answer["LastModified"].timestamp()),
        encryption=answer.get("ServerSideEncryption"),
    )


def _readable(key: Any, obj: Any) -> Any:
    if isinstance(obj, (io.RawIOBase, io.BufferedIOBase)):
        if not obj.readable() or not obj.seekable():
            raise MetaflowS3InvalidObject(f"Object corresponding to the key '{key}' is not readable or seekable")
        return obj
    if isinstance(obj, str):
        return io.BytesIO(obj.encode())
    if isinstance(obj, (bytes, bytearray, memoryview)):
        return io.BytesIO(obj)
    raise MetaflowS3InvalidObject(f"Object corresponding to the key '{key}' is not a string or a bytes object.")
