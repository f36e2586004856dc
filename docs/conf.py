"""Settings of Sphinx, which makes a site of these pages, and a reference of the docstrings.

`make docs` builds it in `docs/_build`. Pages of the reference are written here, one for each module
that users import, so a new module is in it by itself.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import oxidask

project = "Oxidask"
version = release = oxidask.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Parallel Python on all your cores", "page_width": "1100px"}
html_show_copyright = False
html_show_sphinx = False
myst_heading_anchors = 3
# Pages link to files of the project that are no pages; tests/test_docs.py checks those links. A
# type in a docstring may be a word that several classes have as a member, such as `key`.
suppress_warnings = ["myst.xref_missing", "ref.python"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False
# An attribute in a docstring may be a property that is described by itself.
napoleon_use_ivar = True

REFERENCE = Path(__file__).parent / "reference"


def public_modules() -> list[str]:
    """List the modules of the package that users import, by their full names."""
    found = pkgutil.walk_packages(oxidask.__path__, "oxidask.")
    names = [module.name for module in found]
    return sorted(name for name in names if not any(p.startswith("_") for p in name.split(".")))


def page(name: str) -> str:
    """Write the page of a module: its docstring, and what it exports."""
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :members:", ""]
    module = importlib.import_module(name)
    for exported in exports(name):
        value = getattr(module, exported)
        # `:members:` leaves out values that have the docstring of their type.
        if callable(value) and value.__doc__ == type(value).__doc__:
            lines += [f".. autodata:: {name}.{exported}", "   :no-value:", ""]
    return "\n".join(lines)


def index(modules: list[str]) -> str:
    """Write the first page: what ``import oxidask`` gives, and the modules."""
    lines = ["Reference", "=========", "", "What ``import oxidask`` gives:", ""]
    only_here = []
    for name in sorted(set(oxidask.__all__) - {"__version__"}):
        value = getattr(oxidask, name)
        defined_as = getattr(value, "__name__", name)
        homes = [module for module in modules if defined_as in exports(module)]
        made_in = getattr(value, "__module__", None)
        if inspect.ismodule(value):
            lines.append(f"- :py:mod:`{name} <{value.__name__}>`")
        elif homes:
            home = made_in if made_in in homes else homes[0]
            lines.append(f"- :py:obj:`{name} <{home}.{defined_as}>`")
        else:
            lines.append(f"- :py:obj:`{name} <oxidask.{name}>`")
            only_here += [f".. autoclass:: oxidask.{name}", ""]
    lines += ["", *only_here, "Modules:", "", ".. toctree::", "   :maxdepth: 1", ""]
    return "\n".join([*lines, *(f"   {name}" for name in modules), ""])


def exports(module: str) -> list[str]:
    """List the names on the page of a module."""
    return list(getattr(importlib.import_module(module), "__all__", ()))


def write_reference() -> None:
    """Write the pages of the reference, and remove those of modules that are gone."""
    modules = public_modules()
    pages = {"index": index(modules)} | {name: page(name) for name in modules}
    REFERENCE.mkdir(exist_ok=True)
    for old in REFERENCE.glob("*.rst"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        path = REFERENCE / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


write_reference()
