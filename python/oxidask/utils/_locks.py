"""A lock that can be pickled."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Hashable
from types import TracebackType
from typing import Any, ClassVar
from weakref import WeakValueDictionary


class SerializableLock:
    """A lock that can be pickled: copies with one token in one process are one lock.

    Between processes it excludes nobody.

    Parameters
    ----------
    token : hashable, optional
        Locks with equal tokens are the same lock; by default each new one is different.

    Examples
    --------
    >>> import pickle
    >>> from oxidask.utils import SerializableLock
    >>> lock = SerializableLock()
    >>> copy = pickle.loads(pickle.dumps(lock))
    >>> with lock:
    ...     copy.locked()
    True
    """

    _locks: ClassVar[WeakValueDictionary[Hashable, Any]] = WeakValueDictionary()
    _guard = threading.Lock()

    token: Hashable
    lock: Any

    def __init__(self, token: Hashable | None = None) -> None:
        self.__setstate__(str(uuid.uuid4()) if token is None else token)

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Take the lock; the arguments are those of `threading.Lock.acquire`."""
        taken: bool = self.lock.acquire(*args, **kwargs)
        return taken

    def release(self, *args: Any, **kwargs: Any) -> None:
        """Give the lock back."""
        self.lock.release(*args, **kwargs)

    def locked(self) -> bool:
        """Say whether somebody has the lock."""
        return bool(self.lock.locked())

    def __enter__(self) -> None:
        self.lock.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.lock.__exit__(exc_type, exc_value, traceback)

    def __getstate__(self) -> Hashable:
        return self.token

    def __setstate__(self, token: Hashable) -> None:
        self.token = token
        with SerializableLock._guard:
            self.lock = SerializableLock._locks.setdefault(token, threading.Lock())

    def __str__(self) -> str:
        return f"<SerializableLock: {self.token}>"

    __repr__ = __str__
