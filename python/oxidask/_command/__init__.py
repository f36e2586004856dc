"""The command ``oxidask``: ``observe`` answers about a run, ``why`` says why a task is not done.

What is asked goes to the page of a cluster that runs, or to a run file: the answers are the same,
and with ``--json`` they are printed as they came. Otherwise `_text` writes them for people.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from oxidask._command import _text
from oxidask._command._sources import CannotConnectError, Source, address_of, source_of

#: What can be asked, and the name of the answer that has it.
VIEWS = {
    "overview": "overview",
    "verdict": "verdict",
    "progress": "groups",
    "workers": "workers",
    "errors": "errors",
    "events": "marks",
    "headroom": "headroom",
    "stream": "stream",
}
#: Those that are about a window of time.
_WITH_WINDOW = ("verdict", "stream")
#: What may limit a run.
_LIMITS = (
    *("compute-bound", "gil-bound", "waiting-tasks", "transfer-bound", "disk-bound"),
    *("memory-bound", "serialize-bound", "scheduler-bound", "starved", "too-small-tasks"),
    *("imbalanced", "oversubscribed", "idle", "unknown"),
)

OK, USAGE, NO_CONNECTION, CONDITION_MET = 0, 1, 2, 3

_EPILOG = """\
views:
  overview   how all stands, and what limits the run
  verdict    what limits the run, and what to do about it
  progress   each group of tasks: how many, how long
  workers    each worker: what it does and has
  errors     what tasks raised
  events     workers that came and went, shortage of memory, ...
  headroom   how many more cores would help
  stream     each thread: what it did

A SOURCE is the link of a page, its host:port, the address of a scheduler, or a run file; without
one it is the newest cluster of worker processes that you have running. The file of a run is what
LocalCluster(record="run.oxrun") writes; `oxidask observe serve run.oxrun` opens its page.

exit status: 0 all is well, 1 wrong usage, 2 no connection, 3 the condition of --fail-on is met
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = _parser()
    try:
        given = parser.parse_args(arguments)
        run: Callable[[_Parser, argparse.Namespace], int] = given.run
        status = run(given.parser, given)
        sys.stdout.flush()
        return status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    except CannotConnectError as error:
        print(f"oxidask: {error}", file=sys.stderr)
        return NO_CONNECTION
    except BrokenPipeError:
        # Whoever read has seen enough. What is left must go somewhere when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


def _parser() -> _Parser:
    parser = _Parser(prog="oxidask", description="Look at runs of Oxidask.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    observe = commands.add_parser(
        "observe",
        help="answer about a run",
        usage="oxidask observe [SOURCE] VIEW [--json | --md] [--window 30s] [--limit N]\n"
        "       oxidask observe serve RUN_FILE",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    observe.add_argument("words", nargs="+", metavar="[SOURCE] VIEW", help="what, and of which run")
    form = observe.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the answer as it is")
    form.add_argument("--md", action="store_true", help="print tables in Markdown")
    observe.add_argument("--window", metavar="TIME", help="the last so long only: 30s, 5min")
    observe.add_argument("--limit", type=int, metavar="N", help="rows at most")
    observe.add_argument(
        "--fail-on", metavar="VERDICT", choices=_LIMITS, help="exit with 3 if the verdict is this"
    )
    observe.set_defaults(run=_observe, parser=observe)
    why = commands.add_parser(
        "why", help="say why a task is not done", usage="oxidask why KEY [SOURCE]"
    )
    why.add_argument("key", metavar="KEY", help="the key of the task")
    why.add_argument("source", nargs="?", metavar="SOURCE", help="the cluster")
    why.set_defaults(run=_why, parser=why)
    return parser


def _observe(parser: _Parser, given: argparse.Namespace) -> int:
    words: list[str] = given.words
    if words[0] == "serve":
        if len(words) != 2:
            parser.error("serve: the run file is missing")
        return _serve(words[1])
    *sources, view = words
    if len(sources) > 1 or view not in VIEWS:
        parser.error(f"{view!r} is no view; there are {', '.join(VIEWS)}")
    if given.window is not None and view not in _WITH_WINDOW:
        parser.error(f"--window is for {' and '.join(_WITH_WINDOW)}; {view} is about the whole run")
    if given.fail_on is not None and view != "verdict":
        parser.error("--fail-on is for verdict")
    if given.limit is not None and given.limit < 1:
        parser.error("--limit: a number from 1 is meant")
    seconds = _seconds(parser, given.window)
    source = source_of(sources[0] if sources else None)
    text = source.ask(VIEWS[view], _query(source, view, seconds, given.limit))
    told = json.loads(text)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON is UTF-8; of what else a terminal cannot show, it is told what it is.
        errors = "strict" if given.json else "backslashreplace"
        sys.stdout.reconfigure(encoding="utf-8" if given.json else None, errors=errors)
    if given.json:
        print(text)
    elif given.md:
        print(_text.written(_text.BLOCKS[view](told), _text.MARKDOWN, sys.stdout), end="")
    else:
        print(_text.written(_text.BLOCKS[view](told), _text.TEXT, sys.stdout))
        for command in _next(view, told, sources, source):
            print(f"next: {command}")
    is_met = given.fail_on is not None and told["verdict"] == given.fail_on
    return CONDITION_MET if is_met else OK


def _query(source: Source, view: str, seconds: float | None, limit: int | None) -> str:
    query = []
    if view == "stream":
        query.append(f"px={_text.STRIP}")
    if seconds is not None:
        now = json.loads(source.ask("overview", ""))["now"]
        query += [f"t0={max(now - seconds, 0.0)}", f"t1={now}"]
    if limit is not None:
        query.append(f"limit={limit}")
    return "&".join(query)


def _seconds(parser: _Parser, window: str | None) -> float | None:
    from oxidask.utils import parse_timedelta

    if window is None:
        return None
    try:
        seconds = float(parse_timedelta(window))
    except (ValueError, KeyError, TypeError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        parser.error(f"--window {window}: a time is meant, such as 30s or 5min")
    return seconds


def _next(view: str, told: Any, sources: list[str], source: Source) -> list[str]:
    """Return commands that are worth a try after this one."""
    start = ["oxidask", "observe", *sources]
    wanted = ["verdict", "progress", "stream", "overview"]
    if view == "overview":
        if told["tasks"]["erred"]:
            wanted.insert(0, "errors")
        if any(mark["level"] != "info" for mark in told["marks"]):
            wanted.insert(0, "events")
    elif view == "verdict":
        better = {"starved": "headroom", "compute-bound": "headroom", "imbalanced": "workers"}
        wanted.insert(0, better.get(told["verdict"], "workers"))
    elif view == "errors":
        wanted.insert(0, "events")
    elif view == "events":
        wanted.insert(0, "workers")
    others = [name for name in wanted if name != view][: 2 if source.is_file else 3]
    commands = [shlex.join([*start, name]) for name in others]
    if source.is_file:
        commands.append(shlex.join(["oxidask", "observe", "serve", *sources]))
    return commands


def _serve(path: str) -> int:
    import time

    from oxidask.distributed.deploy import _page

    try:
        page = _page.replay(path)
    except (OSError, ValueError) as error:
        raise CannotConnectError(str(error)) from error
    print(page.link, flush=True)
    print("Ctrl-C ends it.", file=sys.stderr)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return OK
    finally:
        page.close()


def _why(parser: _Parser, given: argparse.Namespace) -> int:
    from oxidask.distributed import Client
    from oxidask.distributed._why import explain_key

    address = address_of(given.source)
    try:
        client = Client(address, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise CannotConnectError(str(error)) from error
    with client:
        print(explain_key(client, given.key))
    return OK
