"""A real Chromium for tests, the pages that it opens, and what the server says to programs."""

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from gates import wait_until

WEB = Path(__file__).resolve().parents[2] / "web"
PAGES = ("status", "stream", "progress", "graph", "headroom", "workers", "errors", "about")


def missing():
    """Return what the tests need and do not find, in a sentence, or None."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "no `node` and `npm` found: install Node 20.19 or newer"
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not os.access(chromium, os.X_OK):
        return (
            f"no Chromium at {chromium}: `apt-get install chromium`, or set CHROMIUM to its place"
        )
    if not (WEB / "node_modules" / "playwright-core").is_dir():
        return f"the packages of {WEB.name}/ are not installed: `make test-browser` does it"
    return None


class Chromium:
    """A browser, driven by ``web/tests/driver.mjs``."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["node", WEB / "tests" / "driver.mjs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def order(self, what, **values):
        """Have something done; return what comes of it."""
        self.process.stdin.write(json.dumps({"do": what, **values}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the driver of the browser has ended; what it said is above"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def open(self, url, **how):
        """Open an address in a page with cookies of its own."""
        return Page(self, self.order("open", url=url, **how))

    def close(self):
        """End the browser."""
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


class Page:
    """A page that is open."""

    def __init__(self, chromium, number):
        self.chromium = chromium
        self.number = number

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.order("close")

    def order(self, what, **values):
        """Have something done on this page."""
        return self.chromium.order(what, page=self.number, **values)

    def js(self, text):
        """Return the value of an expression."""
        return self.order("js", text=text)

    def until(self, text, **how):
        """Wait until an expression is true."""
        return self.order("until", text=text, **how)

    def until_says(self, words, where="body"):
        """Wait until an element has some words in its text."""
        found = f"document.querySelector({json.dumps(where)})?.innerText ?? ''"
        return self.until(f"({found}).includes({json.dumps(words)})")

    def text(self, selector):
        """Return what an element says."""
        return self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def click(self, selector):
        """Click on an element."""
        self.order("click", selector=selector)

    def press(self, key):
        """Press a key."""
        self.order("press", key=key)

    def problems(self):
        """Return what went wrong since the page was opened: nothing should."""
        return self.order("problems")

    def table(self, selector="table"):
        """Return the texts of a table's rows, head first."""
        return self.js(
            f"[...document.querySelector({json.dumps(selector)}).rows]"
            ".map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
        )


class Answers:
    """The run as the server tells it to programs."""

    def __init__(self, link):
        parts = urlsplit(link)
        self.link = link
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.token = parts.query.partition("token=")[2]

    def address(self, page, query=""):
        """Return the address of a page, with the token."""
        more = f"&{query}" if query else ""
        return f"{self.origin}/{page}?token={self.token}{more}"

    def wait_until_done(self, tasks):
        """Wait until the server has seen that so many tasks have ended, and that nothing runs."""

        def is_done():
            overview = self("overview")
            ended = overview["tasks"]["finished"] + overview["tasks"]["erred"]
            return ended == tasks and overview["state"] == "idle"

        wait_until(is_done, f"{tasks} tasks are done")

    def __call__(self, view):
        """Return an answer of the API."""
        request = urllib.request.Request(
            f"{self.origin}/api/v1/{view}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)
