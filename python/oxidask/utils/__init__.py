"""Small helpers that users of Dask import from ``dask.utils``.

The name is Dask's; Oxidask itself keeps helpers beside their users.
"""

from oxidask._dispatch import Dispatch
from oxidask._names import funcname
from oxidask.utils._calls import (
    IndexCallable,
    M,
    apply,
    derived_from,
    has_keyword,
    import_required,
    itemgetter,
    methodcaller,
)
from oxidask.utils._containers import (
    deepmap,
    ensure_bytes,
    ensure_dict,
    ensure_set,
    ensure_unicode,
    ndeepmap,
    unzip,
)
from oxidask.utils._files import changed_cwd, filetext, filetexts, tmp_cwd, tmpdir, tmpfile
from oxidask.utils._kinds import (
    is_arraylike,
    is_dataframe_like,
    is_index_like,
    is_integer,
    is_namedtuple_instance,
    is_series_like,
)
from oxidask.utils._locks import SerializableLock
from oxidask.utils._random import random_state_data
from oxidask.utils._text import (
    byte_sizes,
    format_bytes,
    format_time,
    key_split,
    memory_repr,
    natural_sort_key,
    parse_bytes,
    parse_timedelta,
    stringify,
    typename,
)

__all__ = [
    "Dispatch",
    "IndexCallable",
    "M",
    "SerializableLock",
    "apply",
    "byte_sizes",
    "changed_cwd",
    "deepmap",
    "derived_from",
    "ensure_bytes",
    "ensure_dict",
    "ensure_set",
    "ensure_unicode",
    "filetext",
    "filetexts",
    "format_bytes",
    "format_time",
    "funcname",
    "has_keyword",
    "import_required",
    "is_arraylike",
    "is_dataframe_like",
    "is_index_like",
    "is_integer",
    "is_namedtuple_instance",
    "is_series_like",
    "itemgetter",
    "key_split",
    "memory_repr",
    "methodcaller",
    "natural_sort_key",
    "ndeepmap",
    "parse_bytes",
    "parse_timedelta",
    "random_state_data",
    "stringify",
    "tmp_cwd",
    "tmpdir",
    "tmpfile",
    "typename",
    "unzip",
]
