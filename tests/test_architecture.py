"""ARCHITECTURE.md agrees with the code: crates, arrows, purity, and where `unsafe` is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PURE = ["oxidask-graph", "oxidask-protocol", "oxidask-scheduler", "oxidask-observe"]
EFFECTS = re.compile(
    r"std::(thread|fs|io|net|env|process|sync(?!::Arc;))\b"
    r"|\b(Instant|SystemTime|HashMap|HashSet|RandomState|Mutex|RwLock|Condvar|getrandom)\b"
)


def crates_in_code() -> dict[str, set[str]]:
    cargo = shutil.which("cargo")
    assert cargo is not None, "the crates are read with cargo, which is not on the PATH"
    command = [cargo, "metadata", "--no-deps", "--format-version", "1", "--offline"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    packages = json.loads(answer.stdout)["packages"]
    names = {package["name"] for package in packages}
    return {
        package["name"]: {
            dependency["name"]
            for dependency in package["dependencies"]
            if dependency["kind"] is None and dependency["name"] in names
        }
        for package in packages
    }


def test_the_arrows_are_those_of_the_cargo_files():
    lines = re.findall(r"^(oxidask[\w-]*) -> (.*)$", TEXT, flags=re.MULTILINE)
    written = {
        crate: set() if needed == "nothing" else set(needed.split(", ")) for crate, needed in lines
    }
    assert len(written) == len(lines), "a crate has two lines"
    assert written == crates_in_code()


def test_each_crate_has_one_paragraph():
    paragraphs = re.findall(r"^\*\*`(oxidask[\w-]*)`\*\*", TEXT, flags=re.MULTILINE)
    assert sorted(paragraphs) == sorted(crates_in_code())


@pytest.mark.parametrize("crate", PURE)
def test_a_pure_crate_names_nothing_that_has_effects(crate):
    assert f"**`{crate}`** (pure" in TEXT
    sources = sorted((ROOT / "crates" / crate / "src").rglob("*.rs"))
    assert sources
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if EFFECTS.search(line.partition("//")[0])
    ]
    assert found == []


def test_unsafe_is_where_the_list_says():
    folder = ROOT / "crates"
    found = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.rs")
        if re.search(r"\bunsafe_code\b|\bunsafe \{", path.read_text(encoding="utf-8"))
    }
    listed = TEXT.partition("**`unsafe`**")[2].partition("\n## ")[0]
    written = re.findall(r"`([\w/-]+\.rs)`", listed)
    in_crates = {
        name if name.startswith("oxidask-") else f"oxidask-python/src/{name}" for name in written
    }
    assert in_crates == found


def test_each_python_module_is_named():
    section = TEXT.partition("## Python modules")[2].partition("\n## ")[0]
    package = ROOT / "python" / "oxidask"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    modules |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert {name for name in modules if f"`{name}`" not in section} == set()


def test_it_has_three_pages_at_most():
    assert len(TEXT.splitlines()) <= 200
