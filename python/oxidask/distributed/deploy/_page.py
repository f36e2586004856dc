"""Starts the page behind ``dashboard_link``, and the run file of a cluster."""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from oxidask import __version__, _core, config
from oxidask.utils import parse_bytes

#: Where pages are looked for, and how many ports after it are tried.
_USUAL_PORT = 8787
_PORTS = 100
_LOCAL = ("", "127.0.0.1", "localhost")
#: Run files of this process that have no name.
_numbers = itertools.count(1)


def port_of(address: Any) -> int | None:
    """Return the port that a ``dashboard_address`` means; None for no page.

    Raises
    ------
    ValueError
        If it is no address.
    NotImplementedError
        If it is one that other machines can reach.
    """
    if address is None or address is False:
        return None
    if address is True:
        return _USUAL_PORT
    host, colon, port = str(address).rpartition(":")
    if not port and colon:
        port = str(_USUAL_PORT)
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(
            f"LocalCluster(dashboard_address={address!r}): ':8787', ':0' for any free port, or "
            "None for no page is meant"
        )
    if host not in _LOCAL:
        raise NotImplementedError(
            f"LocalCluster(dashboard_address={address!r}): the page is served on 127.0.0.1 only; "
            "leave the host out, and reach it from elsewhere through ssh -L"
        )
    return int(port)


def recording_of(record: Any) -> _core.Recording | None:
    """Begin the run file that a cluster is asked for, or the one of the settings.

    Raises
    ------
    OSError
        If ``record`` is a file that cannot be written; where the settings name it, it is a warning.
    """
    if record is False:
        return None
    asked = record if record is not None else config.get("distributed.observer.record", None)
    if asked is None or asked is False or asked == "":
        return None
    if not isinstance(asked, (str, os.PathLike)):
        raise TypeError(
            f"LocalCluster(record={asked!r}): the path of a file or folder is meant, or None"
        )
    room = parse_bytes(config.get("distributed.observer.record-limit", "1 GB"))
    path = os.path.expanduser(os.fspath(asked))
    if os.path.isdir(path):
        path = os.path.join(path, _own_name())
    try:
        return _core.Recording(path, room)
    except OSError as error:
        if record is not None:
            raise
        warnings.warn(
            f"the run is not recorded, though 'distributed.observer.record' is set: {error}",
            RuntimeWarning,
            stacklevel=4,
        )
        return None


def _own_name() -> str:
    """Return a name for a run file in a folder: the newest is the last by name."""
    number = f"{os.getpid()}-{next(_numbers)}"
    return f"oxidask-{time.strftime('%Y%m%d-%H%M%S')}-{number}.oxrun"


def start(
    cluster: _core.ThreadCluster | _core.ProcessCluster,
    port: int | None,
    recording: _core.Recording | None = None,
) -> _core.Page | None:
    """Serve the page of a cluster at a port, or the next free one, and go on with its run file."""
    about = _versions(), _command(), platform.node()
    try:
        page = _served(lambda port: _core.Page(cluster, port, *about, recording), port)
    except OSError as problem:
        warnings.warn(
            f"the cluster has no page, for no port of 127.0.0.1 can be had ({problem}); "
            "LocalCluster(dashboard_address=None) does without",
            RuntimeWarning,
            stacklevel=4,
        )
        page = None
    if page is None and recording is not None:
        page = _core.Page(cluster, None, *about, recording)
    return page


def replay(path: str | os.PathLike[str], port: int = _USUAL_PORT) -> _core.Page:
    """Serve the page of a run file at a port, or the next free one."""
    page = _served(lambda port: _core.Page.of_file(path, port), port)
    assert page is not None
    return page


def _served(serve: Callable[[int], _core.Page], port: int | None) -> _core.Page | None:
    if port is None:
        return None
    ports = [*range(port, min(port + _PORTS, 65536)), 0] if port else [0]
    for one in ports[:-1]:
        with contextlib.suppress(OSError):
            return serve(one)
    return serve(ports[-1])


def _versions() -> list[tuple[str, str]]:
    """Return names and versions of what takes part: of libraries, those that are loaded."""
    versions = [("oxidask", __version__), ("python", platform.python_version())]
    for name in ("numpy", "pandas", "cloudpickle"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            versions.append((name, version))
    versions.append(("system", platform.platform()))
    return versions


def _command() -> str:
    """Return how this program was called."""
    return " ".join(sys.argv)
