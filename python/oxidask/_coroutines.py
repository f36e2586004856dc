"""Coroutines as tasks: a worker's event loop, and how the threads that run tasks wait for it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from typing import Any

from oxidask import _core
from oxidask._output import Speaker, speaker

#: How long a coroutine waits for its first step before it is given to another event loop, in
#: seconds: something blocks the first one.
_PATIENCE = 0.1


class _Job:
    """A coroutine and how it ended."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.context = contextvars.copy_context()
        self.speaker = Speaker(threading.get_ident())
        self.context.run(speaker.set, self.speaker)
        self.coroutine = coroutine
        self.started = threading.Event()
        self.ended = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self._begins = threading.Lock()
        self._loop: _Loop | None = None
        self._task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Tell the thread that waits."""
        self.ended.set()
        self.speaker.changed.set()

    def claim(self) -> bool:
        """Say whether the caller is the one who may start it."""
        return self._begins.acquire(blocking=False)

    def start(self, loop: _Loop) -> None:
        """Start it in the event loop of the calling thread, if no other one has it."""
        if not self.claim():
            return
        self._loop = loop
        loop.speakers.add(self.speaker)
        self.speaker.neighbours = loop.speakers
        self._task = loop.loop.create_task(self._run(loop), context=self.context)
        self.started.set()

    async def _run(self, loop: _Loop) -> None:
        # What it raises must not get to the event loop, which SystemExit would end.
        try:
            self.value = await self.coroutine
        except BaseException as error:
            # Without this frame, which is not the user's.
            traceback = error.__traceback__
            self.error = error.with_traceback(traceback and traceback.tb_next)
        finally:
            self.speaker.thread = Speaker.NOBODY
            self.end()
            loop.speakers.discard(self.speaker)
            loop.stop_if_retired()

    def cancel(self) -> None:
        """Make the coroutine raise `asyncio.CancelledError`; close one that has not started."""
        if self.claim():
            self.coroutine.close()
            self.error = asyncio.CancelledError("it had not begun")
            self.started.set()
            self.end()
        self.started.wait()
        if self._loop is not None and self._task is not None:
            self._loop.call(self._task.cancel)


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        #: Of the coroutines that began here and have not ended.
        self.speakers: set[Speaker] = set()
        self.is_retired = False
        threading.Thread(target=self._serve, name="oxidask-event-loop", daemon=True).start()

    def _serve(self) -> None:
        try:
            self.loop.run_forever()
            while left := asyncio.all_tasks(self.loop):
                for task in left:
                    task.cancel()
                self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def call(self, function: Any, *args: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # It is closed: all its coroutines have ended.
            return

    def retire(self) -> None:
        """End once the coroutines that began here have ended."""
        self.is_retired = True
        self.call(self.stop_if_retired)

    def stop_if_retired(self) -> None:
        if self.is_retired and not self.speakers:
            self.loop.stop()


class EventLoop:
    """Runs the coroutines of a worker; its thread starts with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loops: list[_Loop] = []
        self._jobs: dict[int, _Job] = {}
        self._is_closed = False

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
        """Run a coroutine to its end while the calling thread waits.

        Parameters
        ----------
        coroutine : coroutine

        Returns
        -------
        is_good : bool
            Whether it returned.
        value : object
            What it returned, or the exception that it raised.
        """
        job = _Job(coroutine)
        thread = threading.get_ident()
        outer = self._jobs.get(thread)
        self._jobs[thread] = job
        try:
            self._start(job)
            has_left = False
            while not job.ended.is_set():
                job.speaker.changed.wait()
                job.speaker.changed.clear()
                # A coroutine that waits for tasks needs no slot, and these may need its own.
                if job.speaker.waits and not has_left:
                    has_left = _core.leave_slot_of_task()
                elif has_left and not job.speaker.waits and not job.ended.is_set():
                    _core.return_to_slot_of_task()
                    has_left = False
        except BaseException:
            # The task was stopped. Its slot is free only once the coroutine has cleaned up.
            job.cancel()
            job.ended.wait()
            raise
        finally:
            # A thread whose task waits may run another one meanwhile.
            if outer is None:
                del self._jobs[thread]
            else:
                self._jobs[thread] = outer
        return (True, job.value) if job.error is None else (False, job.error)

    def _start(self, job: _Job) -> None:
        while True:
            with self._lock:
                if self._is_closed:
                    job.cancel()
                    return
                if not self._loops or self._loops[-1].is_retired:
                    self._loops.append(_Loop())
                loop = self._loops[-1]
            loop.call(job.start, loop)
            if job.started.wait(_PATIENCE):
                return
            # A coroutine there waits without `await`, perhaps for this very task.
            loop.retire()

    def cancel(self, thread: int) -> None:
        """Cancel the coroutine for which a thread waits, if it waits for one."""
        job = self._jobs.get(thread)
        if job is not None:
            job.cancel()

    def close(self) -> None:
        """Cancel all coroutines and end the threads."""
        with self._lock:
            self._is_closed = True
            loops = list(self._loops)
        for loop in loops:
            loop.call(loop.loop.stop)
