"""Starts the page behind ``dashboard_link``."""

from __future__ import annotations

import platform
import sys
import warnings
from typing import Any

from oxidask import __version__, _core

#: Where pages are looked for, and how many ports after it are tried.
_USUAL_PORT = 8787
_PORTS = 100
_LOCAL = ("", "127.0.0.1", "localhost")


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


def start(
    cluster: _core.ThreadCluster | _core.ProcessCluster, port: int | None
) -> _core.Page | None:
    """Serve the page of a cluster at a port, or the next free one."""
    if port is None:
        return None
    ports = [*range(port, min(port + _PORTS, 65536)), 0] if port else [0]
    problem: OSError | None = None
    for one in ports:
        try:
            return _core.Page(cluster, one, _versions(), _command(), platform.node())
        except OSError as error:
            problem = error
    warnings.warn(
        f"the cluster has no page, for no port of 127.0.0.1 can be had ({problem}); "
        "LocalCluster(dashboard_address=None) does without",
        RuntimeWarning,
        stacklevel=4,
    )
    return None


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
