"""The page behind ``dashboard_link``, over a real socket."""

import gzip
import http.client
import itertools
import json
import socket
import threading
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest
from gates import wait_until

from oxidask import delayed
from oxidask.distributed import Client, LocalCluster


def inc(i):
    return i + 1


def double(i):
    return 2 * i


def fail(i):
    raise ValueError(i)


class Browser:
    """Asks for pages as a browser does, with the cookies that it got."""

    def __init__(self, link):
        parts = urlsplit(link)
        self.address = parts.hostname, parts.port
        self.token = parse_qs(parts.query)["token"][0]
        self.cookie = None

    def get(self, path, method="GET", **headers):
        """Return status, headers and body."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        try:
            if self.cookie is not None:
                headers.setdefault("Cookie", self.cookie)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            cookie = answer.headers.get("Set-Cookie")
            if cookie is not None:
                self.cookie = cookie.partition(";")[0]
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def ask(self, name):
        """Return an answer about the run."""
        status, _, text = self.get(f"/api/v1/{name}?token={self.token}")
        assert status == 200, text
        return json.loads(text)

    def log_in(self):
        """Visit the page by its link."""
        status, _, page = self.get(f"/status?token={self.token}")
        assert status == 200
        return page


@pytest.fixture
def browser(cluster):
    return Browser(cluster.dashboard_link)


def test_the_link_opens_a_page(cluster, client):
    assert client.dashboard_link == cluster.dashboard_link
    with urllib.request.urlopen(cluster.dashboard_link, timeout=10) as page:
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        text = page.read().decode()
    assert "./assets/app.js" in text
    assert "./assets/app.css" in text


def test_it_knows_workers_and_progress(cluster, client, browser, gate):
    done = client.map(inc, range(1000))
    client.gather(done)
    running = client.submit(gate.pass_through, key="standing-0")
    erred = client.submit(fail, 1)
    assert erred.exception() is not None
    gate.wait_for_somebody()

    def runs():
        rows = browser.ask("workers")["workers"]
        return [task["key"] for row in rows for task in row["running"]] == ["standing-0"]

    wait_until(runs, "the task is seen to run, with its key")
    overview = browser.ask("overview")
    assert overview["schema"] == "oxidask.overview/1"
    assert overview["state"] == "running"
    assert (overview["workers"], overview["threads"], overview["busy"]) == (2, 2, 1)
    assert overview["tasks"]["total"] == 1002
    assert overview["tasks"]["finished"] == 1000
    groups = {group["name"]: group for group in browser.ask("groups")["groups"]}
    assert (groups["inc"]["tasks"], groups["inc"]["finished"]) == (1000, 1000)
    assert groups["inc"]["seconds"] > 0
    assert groups["fail"]["erred"] == 1
    assert groups["pass_through"]["processing"] == 1
    workers = browser.ask("workers")["workers"]
    assert [worker["threads"] for worker in workers] == [1, 1]
    assert sum(worker["ended"] for worker in workers) >= 1001
    gate.open()
    running.result()
    # What clients let go of stays in the story of the run.
    del done, running, erred
    wait_until(lambda: browser.ask("overview")["state"] == "idle", "all is done")
    groups = {group["name"]: group for group in browser.ask("groups")["groups"]}
    assert (groups["inc"]["tasks"], groups["inc"]["finished"]) == (1000, 1000)
    assert groups["fail"]["erred"] == 1


def test_tasks_of_an_open_group_are_drawn_side_by_side_inside_it(client, browser):
    numbers = [delayed(double)(i) for i in range(20)]
    total = client.compute(delayed(sum)(numbers), optimize_graph=False)
    assert total.result() == 380

    def is_drawn():
        return "double" in [node["title"] for node in browser.ask("graph")["nodes"]]

    wait_until(is_drawn, "the graph is drawn")
    nodes = browser.ask("graph")["nodes"]
    (group,) = [node["group"] for node in nodes if node["title"] == "double"]
    graph = json.loads(browser.get(f"/api/v1/graph?token={browser.token}&expand={group}")[2])
    assert graph["expanded"] == "double"
    (frame,) = [node for node in graph["nodes"] if node.get("open")]
    inside = [node for node in graph["nodes"] if node["id"].startswith("t")]
    assert len(inside) == 20
    for node in inside:
        assert frame["x"] <= node["x"] < node["x"] + node["w"] <= frame["x"] + frame["w"]
        assert frame["y"] + 20 < node["y"] < node["y"] + node["h"] <= frame["y"] + frame["h"]
    for one, other in itertools.combinations(inside, 2):
        beside = abs(one["x"] - other["x"]) >= one["w"] or abs(one["y"] - other["y"]) >= one["h"]
        assert beside


def test_who_has_the_newest_answer_gets_none(client, browser):
    client.gather(client.map(inc, range(10)))
    wait_until(lambda: browser.ask("overview")["state"] == "idle", "all is done")

    def is_unchanged():
        version = browser.ask("overview")["version"]
        return browser.get(f"/api/v1/overview?token={browser.token}&since={version}")[0] == 204

    wait_until(is_unchanged, "nothing happens")


def test_large_answers_are_compressed_for_who_reads_that(client, browser):
    browser.log_in()
    plain = browser.get("/assets/app.js")[2]
    connection = http.client.HTTPConnection(*browser.address, timeout=10)
    connection.request(
        "GET", "/assets/app.js", headers={"Cookie": browser.cookie, "Accept-Encoding": "gzip"}
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(body) == int(answer.headers["Content-Length"]) < len(plain) / 2
    assert gzip.decompress(body).decode() == plain
    assert "Content-Encoding" not in browser.get("/health", **{"Accept-Encoding": "gzip"})[1]
    assert (
        "Content-Encoding" not in browser.get("/status", **{"Accept-Encoding": "br, gzip;q=0"})[1]
    )


def test_names_are_text(client, browser):
    name = "<img src=x onerror=alert(1)>\"'&"
    futures = client.map(inc, range(3), key=name)
    client.gather(futures)
    wait_until(
        lambda: name in [group["name"] for group in browser.ask("groups")["groups"]],
        "the group has its name",
    )
    assert "<img" not in browser.log_in()


@pytest.mark.parametrize(
    "path", ["/", "/status", "/api/v1/overview", "/assets/app.js", "/health", "/nothing"]
)
def test_without_the_token_there_is_nothing(browser, path):
    right = browser.token
    wrong = [
        "",
        "?token=",
        "?token=" + "0" * len(right),
        "?token=" + right[:-1],
        "?token=" + right + "0",
        "?token=" + right.upper() + "&token=" + right,
    ]
    for query in wrong:
        status, headers, text = browser.get(path + query)
        assert status == 403, query
        assert "Set-Cookie" not in headers
        assert right not in text
    for name in (f"oxidask-{browser.address[1]}", "token"):
        assert browser.get(path, Cookie=f"{name}=wrong")[0] == 403
    assert browser.get(path, Authorization="Bearer wrong")[0] == 403


def test_the_first_visit_brings_a_cookie(browser):
    assert browser.get("/stream")[0] == 403
    browser.log_in()
    paths = (
        "/status",
        "/stream",
        "/api/v1/overview",
        "/assets/app.css",
        "/assets/app.js",
        "/health",
    )
    for path in paths:
        assert browser.get(path)[0] == 200, path
    status, headers, _ = browser.get("/")
    assert (status, headers["Location"]) == (302, "./status")
    for path in ("/nothing", "/api/v1/nothing", "/assets/../Cargo.toml"):
        assert browser.get(path)[0] == 404
    _, headers, _ = Browser.get(browser, f"/status?token={browser.token}", Cookie="")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_programs_may_bring_the_token_as_a_bearer(browser):
    assert browser.get("/api/v1/overview", Authorization=f"Bearer {browser.token}")[0] == 200


def test_other_names_of_this_host_are_refused(browser):
    browser.log_in()
    port = browser.address[1]
    for host in ("127.0.0.1", "localhost", f"localhost:{port}", "127.0.0.1:1234", "[::1]:1"):
        assert browser.get("/status", Host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "0.0.0.0"):
        assert browser.get("/status", Host=host)[0] == 403, host


def test_the_page_can_only_be_read(browser):
    browser.log_in()
    assert browser.get("/status", method="HEAD")[0] == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert browser.get("/status", method=method)[0] == 405


def test_the_page_loads_nothing_from_elsewhere(browser):
    _, headers, page = browser.get(f"/status?token={browser.token}")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "http" not in page.replace("http-equiv", "")
    assert browser.token not in page


def test_garbage_disturbs_nobody(browser):
    for garbage in (b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"x" * 200_000):
        with socket.create_connection(browser.address, timeout=10) as connection:
            try:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            except OSError:
                pass
    browser.log_in()


def test_a_client_elsewhere_knows_the_link(cluster, mode):
    if mode == "threads":
        pytest.skip("a cluster of threads has no clients elsewhere")
    with Client(cluster.scheduler_address) as client:
        assert client.dashboard_link == cluster.dashboard_link


# ---- Start and end ----


def native_threads():
    """Count the threads of pages: they are not Python's."""
    from pathlib import Path

    names = (task.joinpath("comm").read_text() for task in Path("/proc/self/task").iterdir())
    return sum(name.startswith("oxidask-page") for name in names)


@pytest.mark.parametrize("processes", [False, True])
def test_the_page_ends_with_its_cluster(processes):
    before = native_threads()
    with LocalCluster(n_workers=1, processes=processes) as cluster:
        browser = Browser(cluster.dashboard_link)
        wait_until(lambda: native_threads() == before + 1, "the thread has its name")
        # One that has said nothing, and one that is kept open.
        idle = socket.create_connection(browser.address, timeout=10)
        kept = http.client.HTTPConnection(*browser.address, timeout=10)
        kept.request("GET", f"/api/v1/overview?token={browser.token}")
        assert kept.getresponse().read()
    assert native_threads() == before
    assert idle.recv(1) == b""
    idle.close()
    kept.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(browser.address, timeout=10)


def test_a_second_cluster_takes_the_next_port():
    with (
        LocalCluster(n_workers=1, processes=False) as one,
        LocalCluster(n_workers=1, processes=False) as other,
    ):
        ports = [urlsplit(cluster.dashboard_link).port for cluster in (one, other)]
        assert 8787 <= ports[0] < ports[1]
        stranger = Browser(one.dashboard_link)
        stranger.address = Browser(other.dashboard_link).address
        assert stranger.get(f"/status?token={stranger.token}")[0] == 403


@pytest.mark.parametrize("address", [":0", "127.0.0.1:0", "localhost:0", 0])
def test_any_free_port_may_be_asked_for(address):
    with LocalCluster(n_workers=1, processes=False, dashboard_address=address) as cluster:
        Browser(cluster.dashboard_link).log_in()


@pytest.mark.parametrize("address", [None, False])
def test_a_cluster_may_do_without_a_page(address):
    before = native_threads()
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=address) as cluster,
        Client(cluster) as client,
    ):
        assert (cluster.dashboard_link, client.dashboard_link) == ("", "")
        assert native_threads() == before


def test_addresses_that_are_none_are_refused():
    with pytest.raises(ValueError, match="dashboard_address='here'"):
        LocalCluster(processes=False, dashboard_address="here")
    with pytest.raises(ValueError, match="99999"):
        LocalCluster(processes=False, dashboard_address=":99999")
    with pytest.raises(NotImplementedError, match="ssh"):
        LocalCluster(processes=False, dashboard_address="0.0.0.0:8787")


def test_more_connections_than_there_is_room_for_do_no_harm(browser, client):
    many = [socket.create_connection(browser.address, timeout=10) for _ in range(100)]
    try:
        assert client.submit(inc, 1).result() == 2
    finally:
        for connection in many:
            connection.close()
    wait_until(
        lambda: browser.get(f"/api/v1/overview?token={browser.token}")[0] == 200, "there is room"
    )


def test_pages_are_served_while_tasks_run(browser, client):
    futures = client.map(inc, range(20_000))
    threads = [threading.Thread(target=lambda: client.gather(futures))]
    threads[0].start()
    seen = 0
    while threads[0].is_alive() or seen == 0:
        overview = browser.ask("overview")
        assert all(group["finished"] <= group["tasks"] for group in overview["groups"])
        seen += 1
    threads[0].join()
