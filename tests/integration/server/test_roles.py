"""Who may do what: every endpoint of the table of routes, with each role, over a real socket; and what is audited."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.server.conftest import Served, environment

from headrace.model.accounts import ALL_PROJECTS, Role
from headrace.model.errors import NotFoundError, StoreReadOnlyError
from headrace.model.records import Tag
from headrace.server.routes import Route
from headrace.server.table import routes
from headrace.services.accounts.users import Accounts, NewToken, Source
from headrace.settings import Settings
from headrace.stores.http_client import Endpoint
from headrace.stores.metadata.http import HttpMetadata
from headrace.testing.metadata import new_run
from headrace.wiring import Workspace

ROOT = Source(actor="root@here")
#: Who there is: the roles by project.
USERS = {
    "root": {ALL_PROJECTS: Role.ADMIN},
    "ann": {"shop": Role.ADMIN, "lab": Role.VIEWER},
    "ed": {"shop": Role.EDITOR},
    "vera": {"shop": Role.VIEWER},
    "lara": {"lab": Role.ADMIN},
}


class Team:
    """A server of two projects, with a token of each user."""

    def __init__(self, folder: Path) -> None:
        self.tokens: dict[str, str] = {}
        with Workspace(Settings(home=str(folder / ".headrace"))) as workspace:
            accounts = Accounts(workspace.accounts)
            for name, roles in USERS.items():
                accounts.add(ROOT, name)
                for project, role in roles.items():
                    accounts.set_role(ROOT, name, project, role)
                self.tokens[name] = accounts.add_token(ROOT, NewToken(user=name, name="test"))[1]
            for project in ("shop", "lab"):
                new_run(workspace.metadata, project=project)
            admin = NewToken(user="root", name="admin", scope=Role.ADMIN)
            self.tokens["root"] = accounts.add_token(ROOT, admin)[1]
            admin = NewToken(user="ann", name="admin", scope=Role.ADMIN)
            self.tokens["ann"] = accounts.add_token(ROOT, admin)[1]
            driver = NewToken(user="ed", name="driver", project="shop", run=1)
            self.tokens["driver"] = accounts.add_token(ROOT, driver)[1]
            for name in ("starter", "second starter"):
                starter = NewToken(user="ed", name=name, project="shop", run=0)
                self.tokens[name] = accounts.add_token(ROOT, starter)[1]
        self.server = Served(folder, "--auth", "users")

    def ask(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request as a user; only the head of the answer is read where it is a stream."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        request = self.server.client.build_request(method, path, headers=headers | more.pop("headers", {}), **more)
        answer = self.server.client.send(request, stream=True)
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.read()
        answer.close()
        return answer

    def audit(self, **query: str) -> list[dict[str, Any]]:
        """The audit log, newest first."""
        answer = self.ask("root", "GET", "/api/v1/audit", params={"limit": "1000", **query})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    made = Team(tmp_path_factory.mktemp("team"))
    yield made
    made.server.stop(signal.SIGKILL)


#: Values for names in paths: things that are not there, so that no request changes anything.
_NAMES = {"flow": "train", "number": "999999", "step": "fit", "task": "1", "token": "999999", "user": "nobody"}


def path_of(route: Route, project: str) -> str:
    """A path of the route, in ``project``."""
    return re.sub(
        r"\{(\w+)(?::\w+)?\}", lambda found: project if found[1] == "project" else _NAMES.get(found[1], "x"), route.path
    )


def verdict(answer: httpx.Response) -> str:
    """What an answer says of the sender's rights."""
    if answer.status_code in (401, 403):
        return {401: "unknown", 403: "forbidden"}[answer.status_code]
    if answer.status_code == 404 and "there is no project" in answer.json()["detail"]:
        return "hidden"
    return "allowed"


def expected(route: Route, who: str, project: str) -> str:
    """What the sender's roles say of a route."""
    if route.open:
        return "allowed"
    if not who:
        return "unknown"
    if route.admin:
        return "allowed" if who == "root" else "forbidden"
    if route.needs is None or "{project}" not in route.path:
        return "allowed"
    roles = USERS[who]
    has = max((roles[name] for name in (project, ALL_PROJECTS) if name in roles), default=None)
    if has is None:
        return "hidden"
    # Tokens of all but root and ann have the scope of an editor.
    has = has if who in ("root", "ann") else min(has, Role.EDITOR)
    return "allowed" if has >= route.needs else "forbidden"


#: Those end the session, or want what only a page can give: they have tests of their own.
_APART = ("logout", "user.passwd")
_TABLE = [route for route in routes() if route.action not in _APART]


@pytest.mark.parametrize("route", _TABLE, ids=lambda route: f"{route.method} {route.path}")
def test_every_endpoint_serves_those_alone_whose_role_allows_it(team: Team, route: Route) -> None:
    """The whole table: each user and a stranger, in both projects. A code that is not valid is refused to all."""
    for who in ("", *USERS):
        for project in ("shop", "lab") if "{project}" in route.path else ("shop",):
            answer = team.ask(who, route.method, path_of(route, project))
            assert verdict(answer) == expected(route, who, project), (who, project, answer.status_code, answer.text)
            assert answer.status_code < 500, answer.text


def test_object_of_another_project_is_answered_like_one_that_is_not_there(team: Team) -> None:
    """Word by word, but for the names and the id of the request."""

    def words(project: str) -> dict[str, Any]:
        answer = team.ask("vera", "GET", f"/api/v1/projects/{project}/runs/train/1")
        assert answer.status_code == 404
        return json.loads(answer.text.replace(project, "PROJECT")) | {"request_id": ""}

    assert words("lab") == words("none-such")
    assert [one["name"] for one in team.ask("vera", "GET", "/api/v1/projects").json()["items"]] == ["shop"]
    assert team.ask("vera", "GET", "/api/v1/projects/shop/runs/train/1").status_code == 200


def test_driver_token_changes_nothing_outside_of_the_store(team: Team) -> None:
    assert team.ask("driver", "GET", "/api/v1/projects/shop/runs/train/1").status_code == 200
    assert team.ask("driver", "GET", "/api/v1/projects/lab/runs/train/1").status_code == 404
    for route in _TABLE:
        if route.audited_as and not route.open:
            assert team.ask("driver", route.method, path_of(route, "shop")).status_code in (403, 415), route.path
    assert team.ask("driver", "POST", "/api/v1/tokens", json={"name": "more"}).status_code == 403


def test_every_refused_change_is_audited_with_actor_address_and_request(team: Team) -> None:
    answer = team.ask("vera", "PUT", "/api/v1/projects/shop/roles/vera", json={"role": "admin"})
    assert answer.status_code == 403
    [newest, *_] = team.audit()
    assert newest["request_id"] == answer.headers["x-request-id"]
    assert {name: newest[name] for name in ("actor", "address", "action", "project", "object", "outcome")} == {
        "actor": "vera",
        "address": "127.0.0.1",
        "action": "role.set",
        "project": "shop",
        "object": "vera",
        "outcome": "refused",
    }
    refused = {(one["actor"], one["action"]) for one in team.audit(outcome="refused")}
    for route in _TABLE:
        if route.audited_as and not route.open:
            for who in ("vera", "lara"):
                if expected(route, who, "shop") != "allowed":
                    assert (who, route.audited_as) in refused, (who, route.audited_as)


def test_every_change_is_audited_once(team: Team) -> None:
    before = len(team.audit())
    role = "/api/v1/projects/shop/roles/lara"
    assert team.ask("ann", "PUT", role, json={"role": "viewer"}).status_code == 204
    assert team.ask("lara", "GET", "/api/v1/projects/shop/runs/train/1").status_code == 200
    assert team.ask("ann", "DELETE", role).status_code == 204
    assert team.ask("lara", "GET", "/api/v1/projects/shop/runs/train/1").status_code == 404
    made = team.ask("root", "POST", "/api/v1/users", json={"name": "new", "display": "New <b>"})
    assert made.status_code == 201
    assert team.ask("root", "PATCH", "/api/v1/users/new", json={"disabled": True}).json()["disabled"]
    found = [(one["actor"], one["action"], one["object"], one["project"], one["detail"]) for one in team.audit()]
    assert found[: len(found) - before] == [
        ("root", "user.disable", "new", "", ""),
        ("root", "user.add", "new", "", ""),
        ("ann", "role.set", "lara", "shop", "none"),
        ("ann", "role.set", "lara", "shop", "viewer"),
    ]


def test_admin_of_a_project_reads_its_part_of_the_audit_log(team: Team) -> None:
    team.ask("vera", "PUT", "/api/v1/projects/shop/roles/vera", json={"role": "admin"})
    shown = team.ask("ann", "GET", "/api/v1/projects/shop/audit", params={"limit": "1000"}).json()["items"]
    assert {one["project"] for one in shown} == {"shop"}
    assert team.ask("ann", "GET", "/api/v1/projects/lab/audit").status_code == 403
    assert team.ask("ann", "GET", "/api/v1/audit").status_code == 403
    lines = team.ask("ann", "GET", "/api/v1/projects/shop/audit/export")
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == shown


def test_pages_of_the_audit_log_lead_through_all_of_it(team: Team) -> None:
    found: list[int] = []
    cursor = None
    while True:
        query = {"limit": "7"} | ({"cursor": cursor} if cursor else {})
        page = team.ask("root", "GET", "/api/v1/audit", params=query).json()
        found += [one["id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == sorted(set(found), reverse=True)
    assert found[-1] == 1
    exported = team.ask("root", "GET", "/api/v1/audit/export").text.splitlines()
    assert [json.loads(line)["id"] for line in exported][-len(found) :] == found


def test_nobody_raises_roles_of_their_own(team: Team) -> None:
    answer = team.ask("ann", "PUT", "/api/v1/projects/shop/roles/ann", json={"role": "viewer"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:headrace:problem:oneself")
    assert team.ask("root", "PATCH", "/api/v1/users/root", json={"disabled": True}).status_code == 409


def test_token_makes_no_stronger_one(team: Team) -> None:
    """Neither by its role, nor its project, nor its time."""
    ask = {"name": "more", "role": "admin"}
    assert team.ask("vera", "POST", "/api/v1/tokens", json=ask).status_code == 403
    made = team.ask("ann", "POST", "/api/v1/tokens", json={"name": "less", "role": "viewer", "project": "shop"}).json()
    team.tokens["less"] = made["token"]
    assert team.ask("less", "GET", "/api/v1/projects/shop/runs/train/1").status_code == 200
    assert team.ask("less", "GET", "/api/v1/projects/lab/runs/train/1").status_code == 404
    assert team.ask("less", "GET", "/api/v1/projects/shop/audit").status_code == 403
    for more in ({"role": "editor", "project": "shop"}, {"role": "viewer"}, {"role": "viewer", "project": "lab"}):
        assert team.ask("less", "POST", "/api/v1/tokens", json={"name": "x", **more}).status_code == 403
    forever = {"name": "x", "role": "viewer", "project": "shop", "seconds": None}
    assert team.ask("less", "POST", "/api/v1/tokens", json=forever).json()["expires"] <= made["expires"] + 1
    assert team.ask("less", "GET", "/api/v1/tokens", params={"user": "root"}).status_code == 403
    assert team.ask("less", "DELETE", "/api/v1/session").status_code == 204
    assert team.ask("less", "GET", "/api/v1/session").status_code == 401
    assert made["token"] not in team.ask("ann", "GET", "/api/v1/tokens").text


def test_disabled_user_is_refused_with_the_next_request(team: Team) -> None:
    made = team.ask("lara", "POST", "/api/v1/tokens", json={"name": "x"}).json()
    team.tokens["lara2"] = made["token"]
    assert team.ask("lara2", "GET", "/api/v1/session").json()["roles"] == {"lab": "admin"}
    team.ask("root", "PATCH", "/api/v1/users/lara", json={"disabled": True})
    assert team.ask("lara2", "GET", "/api/v1/session").status_code == 401
    team.ask("root", "PATCH", "/api/v1/users/lara", json={"disabled": False})
    assert team.ask("lara2", "GET", "/api/v1/session").status_code == 200


# --- through the store --------------------------------------------------------------------------------------------


def store_of(team: Team, who: str, project: str = "shop") -> HttpMetadata:
    """The metadata store as a driver with the token of ``who`` has it."""
    return HttpMetadata(Endpoint(team.server.url, lambda: team.tokens[who]), project=project)


def test_viewer_writes_nothing_through_the_store_and_that_is_audited(team: Team) -> None:
    store = store_of(team, "vera")
    assert store.run("train", 1, "shop") is not None
    for refused in (
        lambda: store.commit([Tag(1, "mine")]),
        lambda: store.delete_run(1),
        lambda: new_run(store, project="shop"),
        lambda: store.send(1, "cancel", "", b"", "vera", 0.0),
    ):
        with pytest.raises(StoreReadOnlyError, match="viewer"):
            refused()
    found = [(one["action"], one["project"]) for one in team.audit(actor="vera", outcome="refused")][:4]
    assert found == [(f"store {name}", "shop") for name in ("send", "create_run", "delete_run", "commit")]
    with pytest.raises(NotFoundError):
        store_of(team, "vera", "lab").run("train", 1, "lab")


def test_what_an_editor_does_to_runs_through_the_store_is_audited_once(team: Team) -> None:
    store = store_of(team, "ed")
    before = len(team.audit(actor="ed"))
    made = new_run(store, project="shop")
    store.send(made.id, "cancel", "", b"", "ed", 0.0)
    store.delete_run(made.id)
    found = [(one["action"], one["object"], one["outcome"]) for one in team.audit(actor="ed")]
    about = f"run with the id {made.id}"
    assert found[: len(found) - before] == [
        ("store delete_run", about, "done"),
        ("store send", about, "done"),
        ("store create_run", made.name, "done"),
    ]


def test_token_of_a_driver_opens_one_run_and_writes_that_alone(team: Team) -> None:
    store = store_of(team, "starter")
    with pytest.raises(StoreReadOnlyError):
        store.commit([Tag(1, "before it has a run")])
    made = new_run(store, project="shop")
    store.commit([Tag(made.id, "its own")])
    assert store.tags([made.id]) == [Tag(made.id, "its own")]
    for refused in (lambda: new_run(store, project="shop"), lambda: store.commit([Tag(1, "of another")])):
        with pytest.raises(StoreReadOnlyError):
            refused()
    assert store.tags([1]) == []
    opened = [one for one in team.audit(action="store create_run", outcome="done") if one["object"] == made.name]
    assert [(one["actor"], one["project"]) for one in opened] == [("ed", "shop")]


def test_real_driver_runs_a_flow_with_a_token_for_one_run(team: Team, tmp_path: Path) -> None:
    """The run is the user's; a second one, a viewer and a user of another project are refused before anything runs."""
    (tmp_path / "one.py").write_text(
        "from headrace import flow, step\n\n@step\ndef double(n: int) -> int:\n    return 2 * n\n\n"
        "@flow\ndef one(n: int = 21) -> int:\n    return double(n)\n"
    )

    def run(who: str) -> subprocess.CompletedProcess[str]:
        variables = environment(HEADRACE_SERVER=team.server.url, HEADRACE_TOKEN=team.tokens[who], HOME=str(tmp_path))
        argv = [sys.executable, "-m", "headrace", "run", "one.py", "--project", "shop"]
        return subprocess.run(argv, cwd=tmp_path, env=variables, text=True, capture_output=True, timeout=60)

    done = run("second starter")
    assert done.returncode == 0, done.stderr
    found = team.ask("vera", "GET", "/api/v1/projects/shop/runs/one/1").json()["run"]
    assert (found["state"], found["user"]) == ("succeeded", "ed")
    for who, problem in (("second starter", "alone"), ("vera", "editor"), ("lara", "no project")):
        refused = run(who)
        assert refused.returncode != 0
        assert problem in refused.stderr, refused.stderr
    assert team.ask("vera", "GET", "/api/v1/projects/shop/runs/one/2").status_code == 404


# --- the API of Kubeflow Pipelines --------------------------------------------------------------------------------

KFP = "/apis/v2beta1"


def test_kfp_api_reads_for_viewers_and_changes_for_editors_of_the_namespace(team: Team) -> None:
    def ask(who: str, method: str, path: str, body: dict[str, str] | None = None) -> int:
        query = {} if body is not None else {"namespace": "shop"}
        return team.ask(who, method, KFP + path, params=query, **({} if body is None else {"json": body})).status_code

    made = {"display_name": "tuning", "namespace": "shop"}
    assert [ask(who, "GET", "/experiments") for who in ("", "lara", "vera", "ed")] == [401, 404, 200, 200]
    assert [ask(who, "POST", "/experiments", made) for who in ("", "lara", "vera", "ed")] == [401, 404, 403, 200]
    assert ask("", "GET", "/healthz") == 200
    found = team.audit(action="kfp POST experiments")
    assert [(one["actor"], one["project"], one["outcome"]) for one in found] == [
        ("ed", "shop", "done"),
        ("vera", "shop", "refused"),
        ("lara", "shop", "refused"),
        ("", "", "refused"),
    ]
    run = {"display_name": "one", "namespace": "shop"}
    assert ask("ed", "POST", "/runs", run) in (400, 403)  # there is no pipeline in it
    assert team.ask("driver", "POST", KFP + "/experiments", json=made).status_code == 403
