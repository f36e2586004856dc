"""Where the command ``oxidask`` finds a run: the page of a cluster, or a run file."""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.request
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from oxidask import _core
from oxidask.distributed.deploy import _leftovers

_PATIENCE_SECONDS = 10.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_UNIX = "unix://"


class CannotConnectError(Exception):
    """What was named cannot be asked."""


class Source(Protocol):
    """What answers about a run."""

    #: Whether the run has ended and stands in a file.
    is_file: bool

    def ask(self, name: str, query: str) -> str:
        """Return an answer, as JSON."""


class _RunFile:
    is_file = True

    def __init__(self, path: str) -> None:
        try:
            self._run = _core.RunFile(path)
        except (OSError, ValueError) as error:
            raise CannotConnectError(str(error)) from error

    def ask(self, name: str, query: str) -> str:
        text = self._run.answer(name, query)
        assert text is not None, name
        return text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for one address only."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _Page:
    is_file = False

    def __init__(self, link: str) -> None:
        parts = urlsplit(link)
        token = parse_qs(parts.query).get("token", [""])[0]
        if not token:
            raise CannotConnectError(
                f"{_without_token(link)}: the token is missing; the whole link is meant, as "
                "client.dashboard_link has it"
            )
        folder = parts.path.rpartition("/")[0]
        self._base = f"{parts.scheme}://{parts.netloc}{folder}/api/v1/"
        self._token = token
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if parts.hostname in _LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, name: str, query: str) -> str:
        request = urllib.request.Request(
            f"{self._base}{name}?{query}", headers={"Authorization": f"Bearer {self._token}"}
        )
        try:
            with self._opener.open(request, timeout=_PATIENCE_SECONDS) as answer:
                return bytes(answer.read()).decode()
        except urllib.error.HTTPError as error:
            why = {
                403: "the token is not that of this cluster; its link may be an old one",
                404: "there is no such answer; the cluster may be of another version of Oxidask",
                410: "the cluster has ended",
            }
            problem = why.get(error.code, f"it answers {error.code}")
            raise CannotConnectError(f"{self._base}{name}: {problem}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise CannotConnectError(
                f"{self._base}{name}: {reason}; the cluster may have ended"
            ) from error


def source_of(source: str | None) -> Source:
    """Find a run by what it is called; the newest cluster of this user without a name."""
    if source is None:
        return _Page(_newest().link)
    if source.startswith(("http://", "https://")):
        return _Page(source)
    if source.startswith(_UNIX) or source.endswith(_leftovers.SOCKET):
        return _Page(_link_in(os.path.dirname(source.removeprefix(_UNIX))))
    if not os.path.exists(source) and _is_place(source):
        return _Page(_at(source).link)
    return _RunFile(source)


def address_of(source: str | None) -> str:
    """Find the address of a cluster by what it is called."""
    if source is None:
        return _newest().address
    if source.startswith(_UNIX):
        return source
    if source.endswith(_leftovers.SOCKET):
        return _UNIX + os.path.abspath(source)
    if source.startswith(("http://", "https://")):
        return _at(urlsplit(source).netloc).address
    if _is_place(source):
        return _at(source).address
    raise CannotConnectError(f"{source}: the file of a run does not know why; name a cluster")


class _Cluster:
    """A cluster of worker processes of this user that runs, by its folder."""

    def __init__(self, folder: str) -> None:
        self.address = f"{_UNIX}{folder}/{_leftovers.SOCKET}"
        self._folder = folder

    @property
    def link(self) -> str:
        return _link_in(self._folder)


def _newest() -> _Cluster:
    folders = _leftovers.running(_base())
    if not folders:
        raise CannotConnectError(
            "you have no cluster of worker processes running on this machine; name a run file, or "
            "the link of a page"
        )
    return _Cluster(folders[-1])


def _at(place: str) -> _Cluster:
    """Find the cluster of this user with a page at ``host:port``."""
    for folder in _leftovers.running(_base()):
        try:
            parts = urlsplit(_link_in(folder))
        except CannotConnectError:
            continue
        if _place(parts.netloc) == _place(place):
            return _Cluster(folder)
    raise CannotConnectError(
        f"{place}: no cluster of worker processes of yours has its page there; for others the "
        "whole link is needed, with its token"
    )


def _place(text: str) -> tuple[str, str]:
    host, _, port = text.rpartition(":")
    return "127.0.0.1" if host in ("", *_LOOPBACK) else host, port


def _is_place(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(colon) and port.isdecimal() and "/" not in host


def _link_in(folder: str) -> str:
    try:
        with open(os.path.join(folder, _leftovers.LINK_FILE), encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise CannotConnectError(
            f"{_UNIX}{folder}/{_leftovers.SOCKET}: this cluster has no page, or has ended"
        ) from error


def _base() -> str:
    return os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()


def _without_token(link: str) -> str:
    return link.partition("?")[0]
