"""Everything that ``metaflow.S3`` can do, against a server; ROOT is a prefix that is empty at the start."""

import io
import os
import pathlib

from metaflow import S3

ROOT = os.environ["ROOT"]


def attempt(label, call):
    try:
        print(label, call())
    except Exception as error:
        print(label, type(error).__name__)


def facts(one):
    shown = one.url.replace(ROOT, "ROOT"), (one.prefix or "None").replace(ROOT, "ROOT"), one.key.replace(ROOT, "ROOT")
    return (*shown, one.exists, one.downloaded, one.size, one.text, bool(one.path and os.path.exists(one.path)))


def infos(one):
    info = one.range_info
    return one.has_info, one.content_type, one.metadata, tuple(info) if info else None, one.last_modified is not None


def show(label, many):
    print(label, len(many))
    for one in many:
        print("   ", facts(one))


with S3(s3root=ROOT) as s3:
    print(s3.put("a/0.txt", "zero").replace(ROOT, "ROOT"))
    s3.put("a/b/1.txt", b"one")
    s3.put("a/c/2.txt", io.BytesIO(b"two two"), content_type="text/plain", metadata={"who": "me", "n": [1]})
    stored = s3.put_many([("a/d/e/3.txt", "three"), ("f/4.txt", b"")])
    print([(key, url.replace(ROOT, "ROOT")) for key, url in stored])
    pathlib.Path("local.txt").write_text("from a file")
    print([(k, u.replace(ROOT, "ROOT")) for k, u in s3.put_files([("f/5.txt", "local.txt")])])
    s3.put("a/0.txt", "changed", overwrite=False)
    show("get", [s3.get("a/0.txt"), s3.get("a/c/2.txt")])
    print(infos(s3.get("a/c/2.txt")), infos(s3.get("a/0.txt"))[2:], infos(s3.get("a/0.txt", return_info=False)))
    print(infos(s3.info("a/c/2.txt")), facts(s3.info("a/c/2.txt")))
    attempt("missing", lambda: s3.get("nowhere"))
    attempt("missing", lambda: facts(s3.get("nowhere", return_missing=True)))
    attempt("missing", lambda: s3.info("nowhere"))
    attempt("missing", lambda: facts(s3.info("nowhere", return_missing=True)))
    attempt("missing", lambda: s3.get_many(["a/0.txt", "nowhere"]))
    attempt("missing", lambda: [facts(one) for one in s3.get_many(["a/0.txt", "nowhere"], return_missing=True)])
    attempt("missing", lambda: s3.info_many(["a/0.txt", "nowhere"]))
    attempt("missing", lambda: [facts(one) for one in s3.info_many(["nowhere", "a/0.txt"], return_missing=True)])
    show("get_many", s3.get_many(["f/5.txt", "a/0.txt", "a/c/2.txt"]))
    print([infos(one) for one in s3.get_many(["a/c/2.txt"])], [infos(one) for one in s3.info_many(["a/c/2.txt"])])
    show("list_paths", s3.list_paths())
    show("list_paths", s3.list_paths(["a", "f"]))
    show("list_paths", s3.list_paths(["a/"]))
    show("list_paths", s3.list_paths(["nowhere"]))
    show("list_recursive", s3.list_recursive())
    show("list_recursive", s3.list_recursive(["a", "f"]))
    show("get_recursive", s3.get_recursive(["a/c", "f"]))
    show("get_all", s3.get_all())
    one = s3.get_recursive(["a/c"], return_info=True)[0]
    print(infos(one)[:3], one.key)
    attempt("absolute", lambda: s3.get(ROOT + "/a/0.txt"))
    attempt("object", lambda: s3.put("x", 5))
    attempt("object", lambda: s3.put_many([("x", None)]))
    attempt("file", lambda: s3.put_files([("x", "not-here.txt")]))
    kept = s3.get("a/0.txt").path
    print(s3.get("/a/0.txt").text, str(s3.get("a/0.txt")).replace(ROOT, "ROOT"), s3.get("f/4.txt").blob)
    print(repr(s3.info("nowhere", return_missing=True)).replace(ROOT, "ROOT"))
print(os.path.exists(kept))

with S3() as s3:
    print(s3.get(ROOT + "/a/0.txt").text, s3.get(ROOT + "/a/0.txt").key == ROOT + "/a/0.txt")
    attempt("relative", lambda: s3.get("a/0.txt"))
    attempt("all", lambda: s3.get_all())
    show("list", s3.list_paths([ROOT + "/a"]))
    show("recursive", s3.get_recursive([ROOT + "/f"]))
attempt("scheme", lambda: S3(s3root="http://x/y"))
attempt("bucket", lambda: S3(s3root="s3://no-such-bucket-here/x").get("y"))

from metaflow.plugins.datatools.s3 import S3GetObject, S3PutObject  # noqa: E402

with S3(s3root=ROOT) as s3:
    s3.put("r", "0123456789")
    for offset, length in ((0, 3), (2, 4), (5, None), (None, 2), (0, -3), (4, 100)):
        one = s3.get(S3GetObject(key="r", offset=offset, length=length))
        many = s3.get_many([S3GetObject("r", offset, length)])[0]
        print(offset, length, one.text, infos(one)[3], many.text, infos(many)[3])
    attempt("range", lambda: s3.get(S3GetObject(key="r", offset=50, length=2)))
    print(len(s3.put_many([S3PutObject(key="m", value="x", metadata={"k": "v"}, content_type="text/x")])))
    print(infos(s3.info("m")))
    pathlib.Path("other.txt").write_text("other")
    print([k for k, _ in s3.put_files([S3PutObject(key="p", path="other.txt", metadata={"k": "w"})], overwrite=False)])
    print(infos(s3.get("p"))[:3], s3.get("p").text)
    print(
        [k for k, _ in s3.put_many([("p", "changed"), ("q", "new")], overwrite=False)],
        s3.get("p").text,
        s3.get("q").text,
    )
