"""Each Python block of the documentation runs, and prints what the text block after it says.

The blocks of a file share one namespace, and one interpreter of their own, in a folder in which
there is nothing but the examples.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import oxidask

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\n+^```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
LOCAL_HREF = re.compile(r'(?:href|src)="(?!https?:|data:|#)([^"#?]+)')
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ALL_PAGES = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

# Prints what each block printed, as JSON. Lines count from the top of the page.
RUN_BLOCKS = """
import contextlib, io, json, sys
page, blocks = json.load(sys.stdin)
namespace, outputs = {"__name__": "__main__"}, []
for line, code in blocks:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile("\\n" * line + code, page, "exec"), namespace)
    outputs.append(printed.getvalue())
print(json.dumps(outputs))
"""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[tuple[int, str, str | None]]:
    text = page.read_text(encoding="utf-8")
    return [
        (text[: found.start("code")].count("\n"), found["code"], found["output"])
        for found in BLOCK.finditer(text)
    ]


def without_trailing_spaces(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=name_of)
def test_blocks_run_and_print_what_is_written(page, tmp_path):
    blocks = blocks_of(page)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN_BLOCKS],
        input=json.dumps([name_of(page), [(line, code) for line, code, _ in blocks]]),
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    printed = json.loads(finished.stdout)
    assert len(printed) == len(blocks)
    for (line, _, expected), output in zip(blocks, printed, strict=True):
        if expected is not None:
            where = f"{name_of(page)}, line {line + 1}"
            assert without_trailing_spaces(output) == without_trailing_spaces(expected), where


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_links_lead_to_files(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_guide_has_blocks_with_expected_output():
    for name in ("start", "tutorial", "delayed", "pictures", "watching", "engine"):
        blocks = blocks_of(ROOT / "docs" / "guide" / f"{name}.md")
        assert sum(expected is not None for _, _, expected in blocks) > 3


@pytest.mark.timeout(600)
def test_the_pages_make_a_site_with_each_public_name_and_no_dead_link(tmp_path):
    shutil.copytree(
        ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("_build", "reference")
    )
    made = tmp_path / "site"
    finished = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", tmp_path / "docs", made],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    reference = (made / "reference" / "index.html").read_text(encoding="utf-8")
    linked = set(
        re.findall(r'<a class="reference internal" href="([^"]*)" title="oxidask', reference)
    )
    names = set(oxidask.__all__) - {"__version__"}
    shown = set(re.findall(r'<span class="pre">(\w+)</span></code></a>', reference))
    assert names - shown == set()
    assert len(linked) >= len(names)
    for page in made.rglob("*.html"):
        for target in LOCAL_HREF.findall(page.read_text(encoding="utf-8")):
            assert (page.parent / unquote(target)).exists(), (page, target)


def test_the_glossary_explains_each_state_of_a_task():
    glossary = (ROOT / "docs" / "guide" / "glossary.md").read_text(encoding="utf-8")
    states = (ROOT / "crates" / "oxidask-protocol" / "src" / "state.rs").read_text(encoding="utf-8")
    names = re.findall(r'Self::\w+ => "([\w-]+)"', states)
    assert len(names) == 8
    assert [name for name in names if f"| **{name}** |" not in glossary] == []
