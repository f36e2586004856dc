"""How clients look in a notebook: HTML that needs no script and no style from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from oxidask.utils import format_bytes

if TYPE_CHECKING:
    from oxidask.distributed.client import Client

#: Workers with a row of their own.
_MOST_WORKERS = 20


def closed(title: str) -> str:
    """Return what is said of a client or a cluster that is closed."""
    return f"<p><b>{escape(title)}</b>: closed</p>"


def client_html(client: Client, title: str = "Client") -> str:
    """Return a table of what a client is connected to, as it is now."""
    if client.status == "closed":
        return closed(title)
    workers = list(client.scheduler_info()["workers"].values())
    return _html(title, client.cluster.scheduler_address, client.dashboard_link, workers)


def _html(title: str, address: str, link: str, workers: list[dict[str, Any]]) -> str:
    threads = sum(worker["nthreads"] for worker in workers)
    memory = max((worker["metrics"]["host_memory"] for worker in workers), default=0)
    rows = [
        ("Scheduler", escape(address)),
        ("Dashboard", _anchor(link)),
        ("Workers", str(len(workers))),
        ("Threads", str(threads)),
    ]
    if memory:
        rows.append(("Memory in use", format_bytes(memory)))
    facts = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<div><p><b>{escape(title)}</b></p><table>{facts}</table>{_workers(workers)}</div>"


def _anchor(link: str) -> str:
    if not link:
        return "none"
    # The token is for who follows the link, not for who reads over a shoulder.
    shown = link.partition("?")[0]
    return f'<a href="{escape(link)}" target="_blank" rel="noreferrer">{escape(shown)}</a>'


def _workers(workers: list[dict[str, Any]]) -> str:
    if not workers:
        return ""
    rows = "".join(
        f"<tr><td>{escape(str(worker['name']))}</td><td>{worker['nthreads']}</td>"
        f"<td>{worker.get('pid', '')}</td></tr>"
        for worker in workers[:_MOST_WORKERS]
    )
    left = len(workers) - _MOST_WORKERS
    more = f"<p>and {left} more</p>" if left > 0 else ""
    head = "<tr><th>Worker</th><th>Threads</th><th>Process</th></tr>"
    return f"<details><summary>Workers</summary><table>{head}{rows}</table>{more}</details>"
