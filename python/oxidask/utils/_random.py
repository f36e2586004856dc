"""Independent states for random numbers."""

from __future__ import annotations

from typing import Any


def random_state_data(n: int, random_state: Any = None) -> list[Any]:
    """Make states for `numpy.random.RandomState` that are independent of each other.

    Parameters
    ----------
    n : int
        How many.
    random_state : int or numpy.random.RandomState, optional
        Where they begin.

    Returns
    -------
    list of numpy.ndarray
        624 words of 32 bits each.

    Examples
    --------
    >>> from oxidask.utils import random_state_data
    >>> states = random_state_data(2, random_state=0)
    >>> len(states), states[0].shape, states[0].dtype.name
    (2, (624,), 'uint32')
    """
    import numpy as np

    if not all(hasattr(random_state, name) for name in ("normal", "beta", "bytes", "uniform")):
        random_state = np.random.RandomState(random_state)
    words = 624
    data = np.frombuffer(random_state.bytes(words * n * 4), dtype=np.uint32).reshape((n, words))
    return list(data)
