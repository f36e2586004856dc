"""What is committed for the observer to embed is what the sources in ``web/`` make."""

import filecmp
import gzip
import subprocess
import urllib.request
from pathlib import Path

import pytest
from chromium import WEB, Answers

from oxidask.distributed import LocalCluster

pytestmark = pytest.mark.browser

ASSETS = WEB.parent / "crates" / "oxidask-observe" / "assets"
LARGEST = 80_000


def files_in(folder):
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )


@pytest.mark.usefixtures("chromium")
def test_the_committed_assets_are_built_from_the_sources(tmp_path):
    built = subprocess.run(
        ["npm", "run", "build", "--", "--outDir", tmp_path / "assets"],
        cwd=WEB,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    names = files_in(ASSETS)
    assert files_in(tmp_path / "assets") == names
    _, different, unread = filecmp.cmpfiles(ASSETS, tmp_path / "assets", names, shallow=False)
    assert (different, unread) == ([], []), "run `npm run build` in web/ and commit what it makes"


@pytest.mark.parametrize("name", ["app.js", "app.css"])
def test_the_server_sends_what_is_committed(name):
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:
        answers = Answers(cluster.dashboard_link)
        with urllib.request.urlopen(answers.address(f"assets/{name}"), timeout=20) as answer:
            assert answer.read() == (ASSETS / "assets" / name).read_bytes(), "run `make build`"


def test_the_script_is_small():
    packed = gzip.compress((ASSETS / "assets" / "app.js").read_bytes())
    assert len(packed) < LARGEST
