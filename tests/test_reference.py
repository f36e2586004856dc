"""Each name of Dask's reference has a test, or says at once what to do instead.

`reference/*.csv` holds the names, their signatures and how much they are used: T1 often, T3 rarely.
A test says which of them it covers by `@pytest.mark.covers("config.set")`. So a name without a
test, or whose test was removed, fails here, however few files pytest runs.
"""

from __future__ import annotations

import ast
import csv
import importlib
import inspect
from pathlib import Path

import pytest

import oxidask
import oxidask.array

TESTS = Path(__file__).parent

# Not there yet: a call of each, and the words of its error that say what to do instead.
INSTEAD = {
    "datasets.timeseries": (lambda f: f(), "delayed"),
    "datasets.make_people": (lambda f: f(), "delayed"),
    "array.Array.to_dask_dataframe": (lambda f: f(oxidask.array.ones(2)), "pandas"),
    "array.Array.to_tiledb": (lambda f: f(oxidask.array.ones(2), "uri"), "to_zarr"),
    "array.from_tiledb": (lambda f: f("uri"), "from_array"),
    "array.to_tiledb": (lambda f: f(oxidask.array.ones(2), "uri"), "to_zarr"),
    "array.optimize": (lambda f: f({}, []), "when they run"),
    "array.register_chunk_type": (lambda f: f(list), "meta="),
}
#: Modules that are not there yet, and words of their errors.
MODULES_INSTEAD = {
    "array.fft.": "map_blocks",
    "array.ma.": "map_blocks",
    "array.stats.": "scipy",
    "array.image.": "from_delayed",
}


def rows_of_the_reference():
    rows = {}
    for path in sorted((TESTS / "reference").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                assert row["name"] not in rows, f"{row['name']} has two rows"
                rows[row["name"]] = row
    return rows


def names_that_are_covered():
    """Return the tests by the name of the reference that they cover, read from their decorators."""
    covered = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == (
                        "pytest.mark.covers"
                    ):
                        for argument in decorator.args:
                            name = ast.literal_eval(argument)
                            covered.setdefault(name, []).append(f"{path.name}::{node.name}")
    return covered


ROWS = rows_of_the_reference()
INSTEAD |= {
    name: (lambda f: f(), words)
    for name in ROWS
    for module, words in MODULES_INSTEAD.items()
    if name.startswith(module)
}
COVERED = names_that_are_covered()


def resolve(name):
    """Return the object: an attribute of `oxidask`, or of one of its modules."""
    if "." not in name:
        return getattr(oxidask, name)
    # Not by attributes alone: `oxidask.delayed` is a function though a module has its name.
    module, *attributes = name.split(".")
    found = importlib.import_module(f"oxidask.{module}")
    for attribute in attributes:
        found = getattr(found, attribute)
    return found


def test_the_reference_is_there():
    assert len(ROWS) >= 524
    assert {row["tier"] for row in ROWS.values()} == {"T1", "T2", "T3"}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_each_name_has_a_test_or_says_what_to_do_instead(name):
    if name in INSTEAD:
        assert name not in COVERED, f"{name} has a test: it needs no line in INSTEAD"
        call, words = INSTEAD[name]
        with pytest.raises(NotImplementedError, match=words):
            call(resolve(name))
    else:
        assert COVERED.get(name), f"no test covers {name}"


def test_tests_cover_names_of_the_reference_only():
    assert set(COVERED) - set(ROWS) == set()


def dask_signature(text):
    """Make a signature from its text; `...` stands for a default that is long or its own."""
    scope = {}
    exec(f"def function{text}: pass", scope)
    return inspect.signature(scope["function"])


def calls_of(signature):
    """Return calls that a signature allows: by position, by keyword, as short and as long."""
    kinds = inspect.Parameter
    parameters = list(signature.parameters.values())
    plain = [one for one in parameters if one.kind is kinds.POSITIONAL_OR_KEYWORD]
    named = {one.name: 1 for one in parameters if one.kind is kinds.KEYWORD_ONLY}
    more = [1, 1] if any(one.kind is kinds.VAR_POSITIONAL for one in parameters) else []
    others = {"any_other": 1} if any(one.kind is kinds.VAR_KEYWORD for one in parameters) else {}
    needed = [one for one in plain if one.default is kinds.empty]
    yield [1] * len(needed), {}
    yield [1] * len(plain) + more, named | others
    yield [], {one.name: 1 for one in plain} | named | others


# Operators are left out: Python calls them, always in the same way.
WITH_SIGNATURE = sorted(
    name
    for name in ROWS
    if ROWS[name]["signature"].startswith("(")
    and (not name.endswith("__") or name.endswith(".__call__"))
)


@pytest.mark.parametrize("name", WITH_SIGNATURE)
def test_each_name_takes_the_arguments_of_dask(name):
    theirs = dask_signature(ROWS[name]["signature"])
    ours = inspect.signature(resolve(name))
    is_method = name.startswith(("delayed.Delayed.", "array.Array.", "array.random.Generator."))
    self = [1] if is_method else []
    for args, kwargs in calls_of(theirs):
        ours.bind(*self, *args, **kwargs)
    for parameter in theirs.parameters.values():
        mine = ours.parameters.get(parameter.name)
        if mine is not None and parameter.default not in (inspect.Parameter.empty, ...):
            assert mine.default == parameter.default, f"{name}({parameter.name}=)"
