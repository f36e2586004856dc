"""Temporary files and folders."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def _temporary_folder(given: str | None) -> str | None:
    from oxidask import config

    folder: str | None = given or config.get("temporary-directory", None)
    return folder


@contextlib.contextmanager
def tmpfile(extension: str = "", dir: str | None = None) -> Iterator[str]:
    """Give the name of a temporary file or folder, which is removed at the end of the block.

    Parameters
    ----------
    extension : str, optional
        The end of the name, with or without a dot.
    dir : str, optional
        Where; by default the setting ``temporary-directory``, or that of the system.

    Yields
    ------
    str
        Nothing exists under that name yet.

    Examples
    --------
    >>> from pathlib import Path
    >>> from oxidask.utils import tmpfile
    >>> with tmpfile("csv") as name:
    ...     Path(name).write_text("a,b")
    3
    >>> Path(name).exists()
    False
    """
    suffix = f".{extension.lstrip('.')}" if extension else ""
    handle, name = tempfile.mkstemp(suffix, dir=_temporary_folder(dir))
    os.close(handle)
    os.remove(name)
    try:
        yield name
    finally:
        _remove(name)


@contextlib.contextmanager
def tmpdir(dir: str | None = None) -> Iterator[str]:
    """Make a temporary folder, which is removed at the end of the block.

    Parameters
    ----------
    dir : str, optional
        Where; by default the setting ``temporary-directory``, or that of the system.

    Yields
    ------
    str

    Examples
    --------
    >>> import os
    >>> from oxidask.utils import tmpdir
    >>> with tmpdir() as folder:
    ...     os.path.isdir(folder)
    True
    """
    name = tempfile.mkdtemp(dir=_temporary_folder(dir))
    try:
        yield name
    finally:
        _remove(name)


def _remove(name: str) -> None:
    import shutil

    if os.path.isdir(name):
        shutil.rmtree(name, ignore_errors=True)
    elif os.path.exists(name):
        # Somebody else may have been faster, or still have it open.
        with contextlib.suppress(OSError):
            os.remove(name)


@contextlib.contextmanager
def changed_cwd(new_cwd: str | os.PathLike[str]) -> Iterator[None]:
    """Work in another folder until the end of the block.

    Parameters
    ----------
    new_cwd : str or path

    Examples
    --------
    >>> import os
    >>> from oxidask.utils import changed_cwd, tmpdir
    >>> with tmpdir() as folder, changed_cwd(folder):
    ...     os.path.samefile(os.getcwd(), folder)
    True
    """
    with contextlib.chdir(new_cwd):
        yield


@contextlib.contextmanager
def tmp_cwd(dir: str | None = None) -> Iterator[str]:
    """Work in a new temporary folder until the end of the block.

    Parameters
    ----------
    dir : str, optional
        Where to make it.

    Yields
    ------
    str

    Examples
    --------
    >>> import os
    >>> from oxidask.utils import tmp_cwd
    >>> with tmp_cwd() as folder:
    ...     os.path.samefile(os.getcwd(), folder)
    True
    """
    with tmpdir(dir) as folder, contextlib.chdir(folder):
        yield folder


@contextlib.contextmanager
def filetext(
    text: str, extension: str = "", open: Callable[..., Any] = open, mode: str = "w"
) -> Iterator[str]:
    """Write a temporary file, which is removed at the end of the block.

    Parameters
    ----------
    text : str
    extension : str, optional
        The end of its name.
    open : callable, optional
        Opens the file.
    mode : str, optional
        How to open it.

    Yields
    ------
    str
        Its name.

    Examples
    --------
    >>> from pathlib import Path
    >>> from oxidask.utils import filetext
    >>> with filetext("a,b", "csv") as name:
    ...     Path(name).read_text()
    'a,b'
    """
    with tmpfile(extension) as name:
        with open(name, mode=mode) as file:
            file.write(text)
        yield name


@contextlib.contextmanager
def filetexts(
    d: Mapping[str, Any],
    open: Callable[..., Any] = open,
    mode: str = "t",
    use_tmpdir: bool = True,
) -> Iterator[list[str]]:
    """Write several files, which are removed at the end of the block.

    Parameters
    ----------
    d : mapping
        From names to what is written.
    open : callable, optional
        Opens each file.
    mode : {"t", "b"}
        Whether text or bytes are written.
    use_tmpdir : bool, default True
        Whether to work in a new temporary folder meanwhile.

    Yields
    ------
    list of str
        The names.

    Examples
    --------
    >>> from pathlib import Path
    >>> from oxidask.utils import filetexts
    >>> with filetexts({"a.csv": "1", "b.csv": "2"}) as names:
    ...     [Path(name).read_text() for name in names]
    ['1', '2']
    """
    with tmp_cwd() if use_tmpdir else contextlib.nullcontext():
        for name, text in d.items():
            if folder := os.path.dirname(name):
                os.makedirs(folder, exist_ok=True)
            with open(name, f"w{mode}") as file:
                file.write(text)
        try:
            yield list(d)
        finally:
            for name in d:
                _remove(name)
