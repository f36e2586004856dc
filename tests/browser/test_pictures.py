"""The pictures of the guide: pages of a run as a reader of the guide would have it.

Set OXIDASK_PICTURES to write them to ``docs/guide/pictures``; look at them before you commit them.
"""

import os
import re

import numpy as np
import pytest
from chromium import WEB, Answers
from PIL import Image
from test_pages import IS_DRAWN

from oxidask import delayed
from oxidask.distributed import Client, LocalCluster

pytestmark = pytest.mark.browser

GUIDE = WEB.parent / "docs" / "guide"
LARGEST = 150_000
COLOURS = 256

# Its traceback names no folder of this machine.
PARSE = """\
def parse(line):
    name, number = line.split()
    return name, float(number)
"""
LINES = ["H 0.74", "He", "Li 2.67", "C 1.2O", "N 1.10", "O 1.21", "F", "Ne 3.1"]


def load_frame(number):
    return np.random.default_rng(number).random((1500, 3))


def structure_factor(frame):
    waves = np.arange(1, 60)[:, None] * 2 * np.pi
    for _ in range(25):
        amplitudes = np.exp(1j * waves * frame[:, 0]).sum(axis=1)
    return np.abs(amplitudes) ** 2 / len(frame)


def mean(*factors):
    return np.mean(factors, axis=0)


def error(*factors):
    return np.std(factors, axis=0) / np.sqrt(len(factors))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Say where pictures go."""
    if os.environ.get("OXIDASK_PICTURES"):
        target = GUIDE / "pictures"
        target.mkdir(exist_ok=True)
        return target
    return tmp_path_factory.mktemp("pictures")


def take(page, folder, name):
    """Take a picture of a page, in few colours, which is a third of the bytes."""
    file = folder / f"{name}.png"
    page.order("screenshot", path=str(file), end="main")
    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(
            COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    few.save(file, optimize=True)
    assert 5_000 < file.stat().st_size < LARGEST
    assert len(few.getcolors()) > 10


def test_the_guide_has_its_pictures(chromium, folder):
    scope = {}
    exec(compile(PARSE, "catalogue.py", "exec"), scope)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=30)
        answers = Answers(cluster.dashboard_link)
        frames = [delayed(load_frame)(number) for number in range(64)]
        factors = [delayed(structure_factor)(frame) for frame in frames]
        both = [delayed(mean)(*factors), delayed(error)(*factors)]
        with chromium.open(answers.address("status"), width=1200, height=900) as page:
            page.until(IS_DRAWN)
            futures = client.compute(both, optimize_graph=False)
            page.until("parseInt(document.querySelectorAll('.numbers dd')[2]?.innerText) > 96")
            take(page, folder, "overview")
            client.gather(futures)
            answers.wait_until_done(130)
            for name in ("stream", "progress", "graph", "headroom", "workers"):
                page.order("goto", url=answers.address(name))
                page.until(IS_DRAWN)
                take(page, folder, name)
            groups = {node["title"]: node["group"] for node in answers("graph")["nodes"]}
            page.order("goto", url=answers.address("graph", f"expand={groups['structure_factor']}"))
            page.until("document.querySelectorAll('.box').length === 68")
            take(page, folder, "graph_open")
            parsed = client.map(scope["parse"], LINES)
            failed = [future.exception() is not None for future in parsed]
            assert sum(failed) == 3
            answers.wait_until_done(138)
            page.order("goto", url=answers.address("errors"))
            page.until_says("3 tasks have failed", "h1")
            page.until(IS_DRAWN)
            take(page, folder, "errors")
            assert page.problems() == []


def test_the_guide_shows_each_picture():
    shown = re.findall(r"\]\(pictures/(\w+\.png)\)", (GUIDE / "dashboard.md").read_text())
    files = sorted((GUIDE / "pictures").iterdir())
    assert sorted(shown) == [file.name for file in files]
    assert all(file.stat().st_size < LARGEST for file in files)
