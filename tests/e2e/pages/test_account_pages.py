"""Pages of a server with accounts: who may do what is offered that, and nothing else."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.e2e.pages.conftest import Watched
from tests.e2e.pages.flows import FLOWS
from tests.e2e.pages.test_accessibility import OPTIONS, found
from tests.integration.server.conftest import Served, headrace
from tests.integration.server.test_login import PASSWORD, ROOT

from headrace.model.accounts import ALL_PROJECTS, Role
from headrace.services.accounts.users import Accounts
from headrace.settings import Settings
from headrace.wiring import Workspace

USERS = {
    "ann": (ALL_PROJECTS, Role.ADMIN),
    "ada": ("default", Role.ADMIN),
    "ed": ("default", Role.EDITOR),
    "vera": ("default", Role.VIEWER),
    "pia": ("default", Role.VIEWER),
    "lou": ("lab", Role.VIEWER),
}
RUN = "/p/default/runs/grade/1"
As = Callable[..., Page]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, built: None) -> Iterator[Served]:
    """A server with accounts over a run that failed."""
    folder: Path = tmp_path_factory.mktemp("accounts")
    (folder / "flows.py").write_text(FLOWS)
    assert headrace(folder, "run", "flows.py:grade", "--fail", "true").returncode == 1
    with Workspace(Settings(home=str(folder / ".headrace"))) as workspace:
        accounts = Accounts(workspace.accounts)
        for name, (project, role) in USERS.items():
            accounts.add(ROOT, name, password=PASSWORD)
            accounts.set_role(ROOT, name, project, role)
    made = Served(folder, "--auth", "users", "--drivers")
    yield made
    made.stop(signal.SIGKILL)


@pytest.fixture
def as_(browser: Browser, site: Served) -> Iterator[As]:
    """A page on which somebody has logged in."""
    opened = []

    def log_in(name: str, password: str = PASSWORD, **how: object) -> Page:
        watched = Watched(browser, site.url, **how)  # type: ignore[arg-type]
        opened.append(watched)
        page = watched.open("/login")
        page.fill("#name", name)
        page.fill("#password", password)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=f"Account of {name}")).to_be_visible(timeout=60_000)
        return page

    yield log_in
    for watched in opened:
        watched.close()


def menu(page: Page) -> list[str]:
    """What the menu of a run offers."""
    page.get_by_role("button", name="More").click()
    names = page.get_by_role("menuitem").all_inner_texts()
    page.keyboard.press("Escape")
    return names


def test_viewer_is_offered_nothing_that_changes(as_: As) -> None:
    page = as_("vera")
    page.goto(RUN)
    expect(page.locator("header.run-head")).to_contain_text("failed")
    assert all(one.startswith("headrace ") for one in menu(page))
    expect(page.get_by_role("button", name="Resume", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Admin")).to_have_count(0)
    for closed in ("users", "members", "audit", "storage"):
        page.goto(f"/admin/{closed}")
        expect(page.locator("main")).to_contain_text("vera is not one of them")
        expect(page.get_by_role("navigation", name="Parts of")).to_have_text("Tokens")


def test_reader_is_led_to_a_project_of_theirs(as_: As) -> None:
    page = as_("lou")
    page.goto("/")
    expect(page).to_have_url(re.compile("/p/lab/runs$"))
    expect(page.get_by_text("No runs in project lab yet")).to_be_visible()


def test_editor_changes_runs_and_undoes_it(as_: As) -> None:
    page = as_("ed")
    page.goto(RUN)
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Admin")).to_have_count(0)
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Archive").click()
    expect(page.locator("header.run-head").get_by_text("archived", exact=True)).to_be_visible()
    page.goto("/p/default/runs")
    expect(page.get_by_text("No runs in project default")).to_be_visible()
    page.goto("/p/default/runs?mark=archived")
    page.get_by_role("link", name="grade/1", exact=True).click()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Take out of the archive").click()
    expect(page.get_by_text("is in the list of runs again")).to_be_visible()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Pin", exact=True).click()
    expect(page.locator("header.run-head").get_by_text("pinned", exact=True)).to_be_visible()
    page.get_by_role("button", name="Undo").last.click()
    expect(page.locator("header.run-head").get_by_text("pinned", exact=True)).to_have_count(0)
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Name…").click()
    page.get_by_label("What people call it").fill("the first")
    page.get_by_role("button", name="Name", exact=True).click()
    expect(page.locator(".run-called")).to_have_text("the first")


def test_admin_of_a_project_gives_roles_in_it_and_reads_its_audit_log(as_: As) -> None:
    page = as_("ada")
    page.get_by_role("link", name="Admin").click()
    expect(page.get_by_role("navigation", name="Parts of").get_by_role("link")).to_have_text(
        ["Members", "Tokens", "Audit"]
    )
    page.get_by_label("Let").fill("nobody-here")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".toast.bad").filter(has_text="nobody-here")).to_be_visible()
    role = page.get_by_role("button", name="Role of vera in default")
    role.click()
    page.get_by_role("menuitem", name="editor").click()
    expect(role).to_have_text("editor")
    page.get_by_role("button", name="Undo").last.click()
    expect(role).to_have_text("viewer")
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("row").filter(has_text="role.set").filter(has_text="ada").first).to_be_visible()


def test_admin_of_the_server_manages_users_and_tokens(as_: As) -> None:
    page = as_("ann")
    page.get_by_role("link", name="Admin").click()
    page.get_by_role("button", name="Add a user").click()
    page.get_by_label("Name", exact=True).fill("noa")
    page.get_by_label("Password (empty").fill(PASSWORD)
    page.get_by_role("button", name="Add", exact=True).click()
    row = page.get_by_role("row").filter(has_text="noa")
    row.get_by_role("button", name="Role of noa in default").click()
    page.get_by_role("menuitem", name="viewer").click()
    expect(row).to_contain_text("default: viewer")
    expect(row.get_by_text("all projects: none")).to_have_count(1)
    row.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled")
    page.get_by_role("button", name="Undo").last.click()
    expect(row.get_by_role("button", name="Disable")).to_be_visible()
    page.get_by_role("link", name="Tokens").click()
    page.get_by_role("button", name="Make a token").click()
    page.get_by_label("Name: what it is for").fill("nightly")
    page.get_by_role("button", name="Make", exact=True).click()
    shown = page.get_by_role("alert").locator("code").first
    expect(shown).to_have_text(re.compile(r"^\S{20,}$"))
    token = shown.inner_text()
    bearer = {"Authorization": f"Bearer {token}"}
    assert page.request.get("/api/v1/users", headers=bearer).status in {200, 403}
    page.get_by_role("row").filter(has_text="nightly").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row").filter(has_text="nightly")).to_contain_text("revoked")
    page.get_by_role("link", name="Audit").click()
    page.get_by_label("Did what").fill("token.revoke")
    expect(page.get_by_role("row").filter(has_text="ann").first).to_be_visible()


def test_user_changes_the_password(as_: As) -> None:
    page = as_("pia")
    page.get_by_role("button", name="Account of pia").click()
    page.get_by_role("menuitem", name="Change the password").click()
    page.get_by_label("The password now").fill("wrong one 99")
    page.get_by_label("The new one").fill("another horse 9")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.get_by_label("The password now").fill(PASSWORD)
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_text("The password is changed")).to_be_visible()
    as_("pia", "another horse 9")


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (380, "dark")])
def test_administration_has_no_violations(as_: As, width: int, theme: str) -> None:
    page, axe, wrong = as_("ann", width=width, theme=theme), Axe(), {}
    shown = {"users": "vera", "members": "ada", "tokens": "Make a token", "audit": "role.set", "storage": "Holds"}
    for tab, text in shown.items():
        page.goto(f"/admin/{tab}")
        expect(page.locator("main")).to_contain_text(text)
        if violations := found(axe.run(page, options=OPTIONS).response["violations"]):
            wrong[tab] = violations
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert wrong == {}, json.dumps(wrong, indent=1)
