"""Runs that are hard to show: odd names, no workers, many groups, and what goes away."""

import http.client
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from chromium import PAGES, Answers
from gates import Gate, wait_until
from test_pages import IS_DRAWN

from oxidask.distributed import Client, LocalCluster

pytestmark = pytest.mark.browser

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
LONG = "長い鍵-" + "x" * 10_000
TURNED = "\u202etxt.exe\u202c ünïcødé 🦀 \x00\x07 naïve"


def inc(i):
    return i + 1


def fail(text):
    raise ValueError(text)


def named(name):
    def step(number):
        return number

    step.__name__ = name
    return step


@pytest.fixture
def threads():
    """Start a cluster in this process, which is fast."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield cluster, client


def test_names_and_texts_of_users_are_text(chromium, threads):
    cluster, client = threads
    names = [MARKUP, LONG, TURNED]
    for name in names:
        client.gather(client.map(inc, [1], key=name))
    for text in (MARKUP, LONG, TURNED):
        assert client.submit(fail, text, key=f"{MARKUP}-{len(text)}").exception() is not None
    answers = Answers(cluster.dashboard_link)
    answers.wait_until_done(6)
    groups = answers("groups?limit=10")["groups"]
    assert sum(group["tasks"] for group in groups) == 6
    for name in PAGES:
        with chromium.open(answers.address(name)) as page:
            page.until(IS_DRAWN)
            while page.js("document.querySelector('button[aria-expanded=false]') !== null"):
                page.click("button[aria-expanded=false]")
            page.js("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
            assert page.js("document.querySelectorAll('main script, main img').length") == 0
            assert page.js("document.documentElement.scrollWidth <= innerWidth"), name
            assert page.problems() == []
            if name == "errors":
                assert "<script>alert(1)</script>" in page.text("main")
                assert page.order("axe") == []


def test_a_cluster_without_workers_says_that_tasks_wait_for_one(chromium):
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        future = client.submit(inc, 1)
        answers = Answers(cluster.dashboard_link)
        wait_until(lambda: answers("overview")["tasks"]["total"] == 1, "the task has come")
        for name in PAGES:
            with chromium.open(answers.address(name)) as page:
                page.until("document.querySelectorAll('.panel').length > 0")
                empty = (
                    "[...document.querySelectorAll('.panel')]"
                    ".filter((panel) => panel.innerText.trim().length < 9).length"
                )
                page.until(f"({empty}) === 0")
                if name == "workers":
                    page.until_says("0 workers")
                if name == "stream":
                    page.until_says("No worker has joined")
                assert page.problems() == []
        future.release()


def test_a_killed_worker_is_shown(chromium, tmp_path):
    gate = Gate(tmp_path / "gate")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=30)
        answers = Answers(cluster.dashboard_link)
        with chromium.open(answers.address("workers")) as page:
            future = client.submit(gate.pass_through, 7, key="standing-0")
            gate.wait_for_somebody()
            page.until_says("standing-0", "main")
            rows = answers("workers")["workers"]
            (victim,) = [row for row in rows if row["running"]]
            os.kill(victim["pid"], signal.SIGKILL)
            page.until_says("lost", "main")
            page.until_says("signal 9", "main")
            gate.open()
            assert future.result() == 7
            page.press("7")
            page.until_says("killed by signal 9", "main")
            assert page.problems() == []


def test_ten_thousand_groups_are_drawn(chromium, threads):
    cluster, client = threads
    client.gather([client.submit(named(f"group{i}"), i) for i in range(10_000)])
    answers = Answers(cluster.dashboard_link)
    answers.wait_until_done(10_000)
    assert answers("overview")["groups_total"] == 10_000
    for name in PAGES:
        with chromium.open(answers.address(name)) as page:
            page.until(IS_DRAWN)
            assert page.js("document.querySelectorAll('*').length") < 20_000, name
            assert page.problems() == []
            if name == "progress":
                page.until_says("1–100 of 10,000", "main")


def test_the_page_keeps_its_picture_when_the_cluster_is_closed(chromium):
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:
        with Client(cluster) as client:
            client.gather(client.map(inc, range(100)))
        page = chromium.open(Answers(cluster.dashboard_link).address("status"))
        page.until(IS_DRAWN)
        page.until_says("100 / 100", ".numbers")
        assert page.problems() == []
    with page:
        page.until("document.querySelector('.dot.old') !== null")
        assert "the cluster may have ended" in page.text(".dot")
        assert "100 / 100" in page.text(".numbers")
        assert page.js("document.querySelector('.stream-box canvas').hidden") is False
        page.press("3")
        page.until("location.pathname === '/progress'")
        assert "100 of 100 tasks" in page.text("h1")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [(410, "ended", "the cluster has ended"), (403, "forbidden", "no access: open the whole link")],
)
def test_the_page_says_why_there_is_no_answer(chromium, threads, status, kind, words):
    cluster, client = threads
    client.gather(client.map(inc, range(10)))
    with chromium.open(Answers(cluster.dashboard_link).address("status")) as page:
        page.until(IS_DRAWN)
        page.until_says("10 / 10", ".numbers")
        page.order("answer", pattern="**/api/v1/**", status=status)
        page.until(f"document.querySelector('.dot.{kind}') !== null")
        assert words in page.text(".dot")
        assert "10 / 10" in page.text(".numbers")


def test_without_the_token_there_is_a_sentence(chromium, threads):
    cluster, _ = threads
    with chromium.open(Answers(cluster.dashboard_link).origin + "/status") as page:
        assert "client.dashboard_link" in page.text("body")


# ---- Behind a proxy ----

PREFIX = "/user/x/proxy/8787"


class Proxy(ThreadingHTTPServer):
    """Hands on what is asked for below a prefix, as notebook servers do; nothing else is there."""

    daemon_threads = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), Hand)
        self.target = target
        self.astray = []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return super().__enter__()

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)


class Hand(BaseHTTPRequestHandler):
    """One request on its way."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if not self.path.startswith(PREFIX + "/"):
            self.server.astray.append(self.path)
            self.send_error(404)
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=20)
        connection.request("GET", self.path.removeprefix(PREFIX), headers=dict(self.headers))
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in {"connection", "date"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def log_message(self, *text):
        pass


def test_pages_work_behind_the_prefix_of_a_proxy(chromium, threads):
    cluster, client = threads
    client.gather(client.map(inc, range(50)))
    answers = Answers(cluster.dashboard_link)
    with Proxy(urlsplit(cluster.dashboard_link).netloc) as proxy:
        home = f"http://127.0.0.1:{proxy.server_port}{PREFIX}"
        with chromium.open(f"{home}/?token={answers.token}") as page:
            page.until(IS_DRAWN)
            assert page.js("location.pathname") == f"{PREFIX}/status"
            page.until_says("50 / 50", ".numbers")
            for name in PAGES:
                page.click(f"nav a[href^='./{name}']")
                page.until(f"location.pathname === '{PREFIX}/{name}'")
                page.until(IS_DRAWN)
                page.order("goto", url=f"{home}/{name}")
                page.until(IS_DRAWN)
            assert page.problems() == []
        assert proxy.astray == []
