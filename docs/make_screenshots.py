"""Pictures of the pages for the docs: a server over runs of the examples, looked at in Chromium, light and dark.

    python docs/make_screenshots.py [FOLDER]      # a folder with runs; without one the examples are run first

Needs Chromium and the packages of the development group.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
HEADRACE = (sys.executable, "-m", "headrace")
EXAMPLES = (
    ("digits.py",),
    ("digits.py", "--goal", "0.999"),
    ("digits.py", "--seed", "3"),
    ("failure.py",),
    ("flights.py", "--samples", "40"),
)
#: name -> address, width, height, theme.
PICTURES = {
    "pages-runs": ("/p/default/runs?cols=params.goal~params.seed~metrics.accuracy", 1200, 420, "light"),
    "pages-run": ("/p/default/runs/flights/1", 1200, 720, "light"),
    "pages-failed": ("/p/default/runs/failure/1", 1200, 560, "dark"),
    "pages-graph": ("/p/default/runs/flights/1/graph?step=fit", 1200, 520, "light"),
    "pages-timeline": ("/p/default/runs/flights/1/timeline", 1200, 340, "light"),
    "pages-resources": ("/p/default/runs/flights/1/resources", 1200, 640, "light"),
    "pages-tasks": ("/p/default/runs/flights/1/tasks", 1200, 420, "light"),
    "pages-logs": ("/p/default/runs/flights/1/logs", 1200, 320, "dark"),
    "pages-task": ("/p/default/runs/failure/1/tasks/worst/20", 1200, 640, "light"),
    "pages-lineage": ("/p/default/runs/flights/1/lineage?task=summarize/1", 1200, 520, "light"),
    "pages-code": ("/p/default/runs/digits/1/code", 1200, 520, "light"),
    "pages-artifacts": ("/p/default/artifacts?type=DataFrame", 1200, 420, "light"),
    "pages-metrics": ("/p/default/runs/digits/2/metrics?m=accuracy", 1200, 640, "dark"),
    "pages-artifact": ("/p/default/runs/flights/1/artifacts?a=summarize/1/airlines", 1200, 720, "light"),
    "pages-compare": ("/p/default/compare?run=digits/1&run=digits/2&run=digits/3", 1200, 900, "light"),
    "pages-narrow": ("/p/default/runs/digits/1", 400, 760, "dark"),
}


def run_examples(folder: Path) -> None:
    """Run the examples in ``folder``; one of them fails, as it is meant to."""
    for argv in EXAMPLES:
        shutil.copy(ROOT / "examples" / argv[0], folder)
        subprocess.run([*HEADRACE, "run", *argv], cwd=folder, check=False)


def take(browser: Browser, base: str) -> None:
    """Take all pictures of the server at ``base``."""
    for name, (address, width, height, theme) in PICTURES.items():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            device_scale_factor=1.5,
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.goto(base + address)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1_500)  # charts and graphs are drawn after their data came
        page.screenshot(path=IMAGES / f"{name}.png")
        context.close()
        print(f"docs/images/{name}.png")


def main() -> None:
    """Run the examples where no folder is given, serve them, take the pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir(), "flows")
    if len(sys.argv) == 1:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        run_examples(folder)
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    server = subprocess.Popen([*HEADRACE, "server", "--port", "0"], cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        found = re.search(r" at (http://\S+)", server.stderr.readline())
        assert found is not None, "the server did not start"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
            take(browser, found[1])
            browser.close()
    finally:
        server.terminate()
        server.wait(timeout=30)


if __name__ == "__main__":
    main()
