"""Random data to try things with: it needs collections that are not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["make_people", "timeseries"]


def timeseries(
    start: str = "2000-01-01",
    end: str = "2000-01-31",
    freq: str = "1s",
    partition_freq: str = "1D",
    dtypes: Mapping[str, Any] | None = None,
    seed: int | None = None,
    **kwargs: Any,
) -> Any:
    """Make a dataframe of random records over time: not there yet.

    Parameters
    ----------
    start, end, freq, partition_freq, dtypes, seed, **kwargs
        As for Dask.

    Raises
    ------
    NotImplementedError
        Always.
    """
    raise NotImplementedError(
        "datasets.timeseries: dataframes are not there yet; make one pandas frame per day instead, "
        "with delayed(make)(day) for a function of yours that returns a frame with "
        "pd.date_range(day, periods=86400, freq='1s') as index"
    )


def make_people(
    npartitions: int = 10,
    records_per_partition: int = 1000,
    seed: int | None = None,
    locale: str = "en",
) -> Any:
    """Make a bag of random records about people: not there yet.

    Parameters
    ----------
    npartitions, records_per_partition, seed, locale
        As for Dask.

    Raises
    ------
    NotImplementedError
        Always.
    """
    raise NotImplementedError(
        "datasets.make_people: bags are not there yet; make a list of delayed(make)(part) instead, "
        "for a function of yours that returns a list of records, with mimesis for example"
    )
