"""How fast the pages are in Chromium, over a run of 100,000 tasks and over a live one.

    python bench/server/pages.py [--tasks 100000] [--chromium PATH]

Needs the pages (``make ui``), the package ``playwright`` and a Chromium. Chromium, server and driver share the machine.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import HERE, Server
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

#: The flow that is live while its page is looked at: 40 tasks, one after the other.
LIVE = """
import time
from headrace import flow, step

@step
def work(i: int) -> int:
    time.sleep(0.4)
    return i

@flow
def live(tasks: int = 40) -> int:
    done = 0
    for i in range(tasks):
        done += work(i)
    return done
"""
#: Scrolls the table by so many pixels a frame for some seconds; times of frames in milliseconds.
SCROLL = """async ([by, seconds]) => {
    const table = document.querySelector(".grid"), frames = [];
    const begun = performance.now();
    let last = begun;
    while (last - begun < seconds * 1000) {
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - last);
        last = now;
        table.scrollTop += by;
    }
    return frames.slice(1);
}"""
#: Notes when the page says another number of tasks that are done.
WATCH = """() => {
    window.seen = [];
    const note = () => {
        const text = document.querySelector(".run-far")?.textContent ?? "";
        const done = Number(/^([\\d,]+) (?:of|tasks)/.exec(text)?.[1]?.replace(",", "") ?? 0);
        const last = window.seen.at(-1);
        if (!last || last[0] < done) window.seen.push([done, Date.now() / 1000]);
    };
    new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def metrics(session: CDPSession) -> dict[str, float]:
    """What Chromium counts of a page, by name."""
    return {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}


def memory(page: Page) -> tuple[float, float]:
    """MiB of the page's scripts, and of the process that shows it without what it shares with others."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    largest = 0
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"--type=renderer" in status.read_bytes():
                lines = (status.parent / "smaps_rollup").read_text().splitlines()
                private = sum(int(one.split()[1]) for one in lines if one.startswith("Private_"))
                largest = max(largest, private)
        except OSError:
            continue
    return metrics(session)["JSHeapUsedSize"] / 2**20, largest / 1024


def first_paint(browser: Browser, url: str, shown: str) -> tuple[float, float]:
    """Seconds from the request to the first paint, and to the first row, with nothing in the cache."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator(shown).first.wait_for()
    rows = time.perf_counter() - began
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN") / 1000
    page.context.close()
    return paint, rows


def large(browser: Browser, url: str) -> None:
    """First paint, scrolling and memory of the table of all tasks."""
    tasks, row = f"{url}/p/default/runs/wide/1/tasks", ".grid-space a"
    paints = [first_paint(browser, tasks, row) for _ in range(5)]
    print(f"first paint               {statistics.median(one[0] for one in paints):.2f} s")
    print(f"first rows of the table   {statistics.median(one[1] for one in paints):.2f} s")
    overview = [first_paint(browser, f"{url}/p/default/runs/wide/1", ".steps a")[1] for _ in range(5)]
    print(f"steps of its overview     {statistics.median(overview):.2f} s")
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(tasks)
    page.locator(row).first.wait_for()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    for name, by in {"three rows a frame": 84, "a page a frame": 700}.items():
        before = metrics(session)["ThreadTime"]
        frames = page.evaluate(SCROLL, [by, 5])
        each = 1000 * (metrics(session)["ThreadTime"] - before) / len(frames)
        rate = 1000 * len(frames) / sum(frames)
        print(f"scroll {name:18} {rate:.0f} frames/s; {each:.1f} ms of its thread each, which allow {1000 / each:.0f}")
    page.evaluate("document.querySelector('.grid').scrollTop = 1e9")
    page.locator(".grid-row:last-child a").first.wait_for()
    heap, private = memory(page)
    print(f"memory after that         {heap:.0f} MiB of scripts, {private:.0f} MiB of the process")
    page.context.close()


def live(browser: Browser, url: str, folder: Path) -> None:
    """From the end of a task, as its worker noted it, to the number on the page: commit, poller, event and drawing."""
    (folder / "live.py").write_text(LIVE)
    command = [sys.executable, "-m", "headrace", "run", "live.py"]
    driver = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{url}/p/default/runs")
    page.get_by_role("link", name="live/1", exact=True).click()
    page.locator(".run-far").wait_for()
    page.evaluate(WATCH)
    driver.wait(120)
    page.get_by_role("status").filter(has_text="succeeded").first.wait_for()
    seen = page.evaluate("window.seen")
    rows = page.evaluate("fetch('/api/v1/projects/default/runs/live/1/tasks?limit=1000').then(one => one.json())")
    ends = sorted(one["finished"] for one in rows["items"])
    lags = sorted(1000 * (time_ - ends[done - 1]) for done, time_ in seen if 2 < done < len(ends))
    slowest = lags[int(len(lags) * 0.95)]
    print(f"end of a task to the page p50 {statistics.median(lags):.0f} ms, p95 {slowest:.0f} ms, of {len(lags)}")
    page.context.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        command = [sys.executable, str(HERE / "fill.py"), str(folder), "--runs=100", f"--tasks={given.tasks}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        server = Server(folder)  # before playwright, which has an event loop in this thread
        url = f"http://{server.place[0]}:{server.place[1]}"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
            large(browser, url)
            live(browser, url, folder)
            browser.close()
        server.close()


if __name__ == "__main__":
    main()
