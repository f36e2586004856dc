"""Settings: a nested dictionary, filled from defaults, files, the environment and `set`.

From the lowest priority to the highest:

1. the defaults below, and those that packages add with `update_defaults`;
2. YAML and JSON files in Dask's folders: ``/etc/dask`` (or ``DASK_ROOT_CONFIG``),
   ``{prefix}/etc/dask``, ``~/.config/dask`` and ``DASK_CONFIG``;
3. files in ``/etc/oxidask`` (or ``OXIDASK_ROOT_CONFIG``), ``{prefix}/etc/oxidask``,
   ``~/.config/oxidask`` and ``OXIDASK_CONFIG``; in a folder in alphabetical order;
4. Dask's variables ``DASK_A__B=value``;
5. variables ``OXIDASK_A__B=value``, where ``__`` stands for the dot and the value is a Python
   literal or a text;
6. `set`.

Dask's folders and variables are read so that existing settings go on to hold. In keys a hyphen
and an underscore are the same. ``OXIDASK_INTERNAL_INHERIT_CONFIG`` (below 5) and
``DASK_INTERNAL_INHERIT_CONFIG`` (below 4) hand the settings of one process to those it starts.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence

# Type checkers take this for true. The import of `typing` is half the time of this module's.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Literal

__all__ = [
    "canonical_name",
    "check_deprecations",
    "collect",
    "collect_env",
    "collect_yaml",
    "config",
    "defaults",
    "deprecations",
    "deserialize",
    "ensure_file",
    "expand_environment_variables",
    "get",
    "interpret_value",
    "merge",
    "paths",
    "paths_containing_key",
    "pop",
    "refresh",
    "rename",
    "serialize",
    "set",
    "update",
    "update_defaults",
]

no_default = "__no_default__"

_DEFAULTS: dict[str, Any] = {
    "temporary-directory": None,
    "scheduler": None,
    "num_workers": None,
    "delayed_pure": False,
    "visualization": {"engine": None},
    "tokenize": {"ensure-deterministic": False},
    "array": {
        "backend": "numpy",
        "chunk-size": "128MiB",
        "chunk-size-tolerance": 1.25,
        "rechunk": {"method": None, "threshold": 4},
        "slicing": {"split-large-chunks": None},
        "svg": {"size": 120},
    },
    "dataframe": {
        "backend": "pandas",
        "convert-string": None,
        "parquet": {
            "metadata-task-size-local": 512,
            "metadata-task-size-remote": 1,
            "minimum-partition-size": 75_000_000,
        },
        "shuffle": {"compression": None, "method": None},
    },
    "distributed": {
        # What tasks print in worker processes: how many lines a second each of them may send to its
        # clients, 0 to leave it in the worker's own output; and the level from which logs are sent.
        "output": {"lines-per-second": 1000, "log-level": "warning"},
        # A file in which each cluster's run is kept, or a folder for such files; and how many bytes
        # of it there may be before spans of tasks are left out.
        "observer": {"record": None, "record-limit": "1 GB"},
        "scheduler": {
            # How many deaths of workers a task may cause before it is given up.
            "allowed-failures": 3,
            # How long a task waits for a worker that can run it; None for no end.
            "no-workers-timeout": "300s",
            # How long a worker's process may stand still, stopped by a signal or a debugger, before
            # its tasks run elsewhere; None for no end.
            "worker-ttl": "30s",
        },
    },
    # How long worker processes of scheduler="processes" wait for the next computation.
    "multiprocessing": {"idle-timeout": "60s"},
    "optimization": {
        "annotations": {"fuse": True},
        "fuse": {
            "active": None,
            "ave-width": 1,
            "delayed": False,
            "max-depth-new-edges": None,
            "max-height": float("inf"),
            "max-width": None,
            "rename-keys": True,
        },
        "tune": {"active": True},
    },
    "admin": {
        # Frames of files that match one of these are left out of the tracebacks of tasks.
        "traceback": {
            "shorten": [
                r"concurrent[\\\/]futures[\\\/]",
                r"oxidask[\\\/](_callback_views|_protocol|_rebuild|base|callbacks)\.py",
                r"oxidask[\\\/](core|delayed|local|threaded)\.py",
                r"pandas[\\\/]core[\\\/]",
            ]
        }
    },
}

#: Old names of settings and their new ones; None for those that are gone.
deprecations: dict[str, str | None] = {
    "fuse-ave-width": "optimization.fuse.ave-width",
    "fuse-max-depth-new-edges": "optimization.fuse.max-depth-new-edges",
    "fuse-max-height": "optimization.fuse.max-height",
    "fuse-max-width": "optimization.fuse.max-width",
    "fuse-rename-keys": "optimization.fuse.rename-keys",
    "admin.traceback.shorten.what": "admin.traceback.shorten",
    "array.rechunk-threshold": "array.rechunk.threshold",
    "array.shuffle.chunksize-tolerance": "array.chunk-size-tolerance",
    "dataframe.shuffle-compression": "dataframe.shuffle.compression",
    "dataframe.shuffle.algorithm": "dataframe.shuffle.method",
    "shuffle": "dataframe.shuffle.method",
}

# Prefixes of variables, the lowest priority first.
_PREFIXES = ("DASK_", "OXIDASK_")
_VARIABLES_THAT_ARE_NO_SETTINGS = ("CONFIG", "ROOT_CONFIG", "INTERNAL_INHERIT_CONFIG")


def _search_paths(environment: Mapping[str, str]) -> list[str]:
    found = []
    for name, prefix in (("dask", "DASK_"), ("oxidask", "OXIDASK_")):
        found.append(environment.get(f"{prefix}ROOT_CONFIG", os.path.join("/etc", name)))
        found.append(os.path.join(sys.prefix, "etc", name))
        found.append(os.path.join(os.path.expanduser("~"), ".config", name))
        if f"{prefix}CONFIG" in environment:
            found.append(environment[f"{prefix}CONFIG"])
    return found


#: Files and folders that are searched, the lowest priority first.
paths: list[str] = _search_paths(os.environ)

#: Where `ensure_file` writes by default.
PATH: str = os.environ.get(
    "OXIDASK_CONFIG", os.path.join(os.path.expanduser("~"), ".config", "oxidask")
)

#: The settings in force.
config: dict[str, Any] = {}

#: Defaults of Oxidask and of other packages, in the order in which they were added.
defaults: list[Mapping[str, Any]] = [_DEFAULTS]

_writing = threading.RLock()


# --- Reading and changing settings --------------------------------------------------------------


def canonical_name(k: str, config: Mapping[str, Any]) -> str:
    """Find the spelling of a key that a dictionary uses.

    Parameters
    ----------
    k : str
        One part of a key, without dots.
    config : mapping
        Where to look.

    Returns
    -------
    str
        `k`, or `k` with hyphens for underscores or the reverse, if `config` has that.

    Examples
    --------
    >>> from oxidask.config import canonical_name
    >>> canonical_name("chunk_size", {"chunk-size": "1 MiB"})
    'chunk-size'
    >>> canonical_name("new_key", {})
    'new_key'
    """
    if not isinstance(k, str) or k in config:
        return k
    for other in (k.replace("_", "-"), k.replace("-", "_")):
        if other in config:
            return other
    # A mix of both, in either spelling.
    plain = k.replace("_", "-")
    for name in tuple(config):
        if isinstance(name, str) and name.replace("_", "-") == plain:
            return name
    return k


def get(
    key: str,
    default: Any = no_default,
    config: Mapping[str, Any] | None = None,
    override_with: Any = None,
) -> Any:
    """Read a setting.

    Parameters
    ----------
    key : str
        Its name; dots lead into nested dictionaries.
    default : Any, optional
        What to give when there is no such setting.
    config : mapping, optional
        Where to look; by default the settings in force.
    override_with : Any, optional
        What to give instead of the setting, if not None: the argument of a function, for example,
        whose default is a setting.

    Returns
    -------
    Any
        The value.

    Raises
    ------
    KeyError
        If there is no such setting and no `default`.

    Examples
    --------
    >>> import oxidask.config
    >>> oxidask.config.get("array.chunk-size")
    '128MiB'
    >>> oxidask.config.get("array.unknown", default=1)
    1
    >>> oxidask.config.get("array.chunk-size", override_with="1 MiB")
    '1 MiB'
    """
    if override_with is not None:
        return override_with
    found: Any = globals()["config"] if config is None else config
    for part in key.split("."):
        name = canonical_name(part, found) if isinstance(found, Mapping) else part
        if not isinstance(found, Mapping) or name not in found:
            if default is no_default:
                raise KeyError(_missing(key, part))
            return default
        found = found[name]
    return found


def _missing(key: str, part: str) -> str:
    where = "" if key == part else f" (there is no {part!r})"
    return f"config: there is no setting {key!r}{where}; set it first, or give a default"


# The part of the interface that Dask users know as `config.set`.
class set:
    """Change settings, at once and for good, or for the time of a ``with`` block.

    Parameters
    ----------
    arg : mapping, optional
        New values by key; dots lead into nested dictionaries, which are made where missing.
    config : dict, optional
        What to change; by default the settings in force.
    lock : lock, optional
        Held while writing. The settings are shared by all threads, also within ``with``; when all
        blocks are left, in whatever order, the settings are as before.
    **kwargs : Any
        New values too, with a double underscore for the dot.

    Examples
    --------
    >>> import oxidask.config
    >>> with oxidask.config.set({"array.chunk-size": "1 MiB"}, scheduler="sync"):
    ...     oxidask.config.get("array.chunk-size")
    '1 MiB'
    >>> oxidask.config.get("array.chunk-size")
    '128MiB'
    >>> with oxidask.config.set(array__chunk_size="2 MiB"):
    ...     oxidask.config.get("array.chunk-size")
    '2 MiB'
    """

    config: dict[str, Any]

    def __init__(
        self,
        arg: Mapping[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        lock: Any = _writing,
        **kwargs: Any,
    ) -> None:
        if arg is not None and not isinstance(arg, Mapping):
            raise TypeError(
                f"config.set: the settings must be a mapping from key to value, not {arg!r}; "
                f"write set({{'a.b': 1}}) or set(a__b=1)"
            )
        self.config = globals()["config"] if config is None else config
        self._lock = lock
        # What to put back: the dictionary, the key in it, and whether and what it held.
        self._before: list[tuple[MutableMapping[str, Any], str, bool, Any]] = []
        with lock, _writing:
            for key, value in (arg or {}).items():
                self._assign(check_deprecations(key), value)
            for key, value in kwargs.items():
                self._assign(check_deprecations(key.replace("__", ".")), value)
            _changes.append(weakref.ref(self, _changes.remove))

    def __enter__(self) -> dict[str, Any]:
        return self.config

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock, _writing:
            living = [one for ref in list(_changes) if (one := ref()) is not None]
            later = living[living.index(self) + 1 :]
            while self._before:
                before = self._before.pop()
                if not any(one._inherits(*before) for one in later):
                    _put_back(*before)

    def _inherits(
        self, place: MutableMapping[str, Any], name: str, was_there: bool, value: Any
    ) -> bool:
        """Take over what an earlier block that ends now would put back; False if it is not ours.

        Blocks of several threads end in any order. Where this one has changed the same setting, its
        value stays in force, and it puts back what was there before both.
        """
        inside = place.get(name)
        for number, (own_place, own_name, _, _) in enumerate(self._before):
            if own_place is place and own_name == name:
                self._before[number] = (place, name, was_there, value)
                return True
            if own_place is inside and inside is not None:
                self._before.insert(0, (place, name, was_there, value))
                return True
        return False

    def _assign(self, key: str, value: Any) -> None:
        *parents, last = key.split(".")
        place: MutableMapping[str, Any] = self.config
        for parent in parents:
            name = canonical_name(parent, place)
            if not isinstance(place.get(name), MutableMapping):
                self._put(place, name, {})
            place = place[name]
        self._put(place, canonical_name(last, place), _copy_of_mappings(value))

    def _put(self, place: MutableMapping[str, Any], name: str, value: Any) -> None:
        self._before.append((place, name, name in place, place.get(name)))
        place[name] = value


#: The `set`s that may still put something back, in the order in which they were made.
_changes: list[weakref.ref[set]] = []


def _put_back(place: MutableMapping[str, Any], name: str, was_there: bool, value: Any) -> None:
    if was_there:
        place[name] = value
    else:
        place.pop(name, None)


def _copy_of_mappings(value: Any) -> Any:
    """Copy nested dictionaries, so that later settings do not change the user's."""
    if isinstance(value, Mapping):
        return {key: _copy_of_mappings(inner) for key, inner in value.items()}
    return value


def pop(key: str, default: Any = no_default, config: dict[str, Any] = config) -> Any:
    """Remove a setting.

    Parameters
    ----------
    key : str
        Its name; dots lead into nested dictionaries.
    default : Any, optional
        What to give when there is no such setting.
    config : dict, optional
        Where to remove it; by default from the settings in force.

    Returns
    -------
    Any
        The value it had.

    Raises
    ------
    KeyError
        If there is no such setting and no `default`.

    Examples
    --------
    >>> from oxidask.config import pop
    >>> settings = {"a": {"b": 1, "c": 2}}
    >>> pop("a.b", config=settings), settings
    (1, {'a': {'c': 2}})
    """
    *parents, last = key.split(".")
    with _writing:
        place: Any = config
        for part in (*parents, last):
            name = canonical_name(part, place) if isinstance(place, Mapping) else part
            if not isinstance(place, Mapping) or name not in place:
                if default is no_default:
                    raise KeyError(_missing(key, part))
                return default
            place, parent = place[name], place
        return parent.pop(name)


# --- Merging ------------------------------------------------------------------------------------


def update(
    old: dict[str, Any],
    new: Mapping[str, Any],
    priority: Literal["old", "new", "new-defaults"] = "new",
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Merge one nested dictionary into another.

    Parameters
    ----------
    old : dict
        The one that is changed.
    new : mapping
        What to merge into it.
    priority : {"new", "old", "new-defaults"}
        Which value is kept when both have the key. With ``"new-defaults"`` the old one, unless
        it is the one in `defaults`.
    defaults : mapping, optional
        The defaults so far.

    Returns
    -------
    dict
        `old`.

    Examples
    --------
    >>> from oxidask.config import update
    >>> update({"x": 1, "y": {"a": 2}}, {"x": 3, "y": {"b": 4}})
    {'x': 3, 'y': {'a': 2, 'b': 4}}
    >>> update({"x": 1, "y": {"a": 2}}, {"x": 3, "y": {"b": 4}}, priority="old")
    {'x': 1, 'y': {'a': 2, 'b': 4}}
    >>> update({"x": 1, "z": 5}, {"x": 3, "z": 6}, priority="new-defaults", defaults={"x": 1})
    {'x': 3, 'z': 5}
    """
    if priority not in ("old", "new", "new-defaults"):
        raise ValueError(
            f"config.update: priority {priority!r} is unknown; give 'old', 'new' or 'new-defaults'"
        )
    for key, value in new.items():
        name = canonical_name(key, old)
        their_default = (
            defaults.get(canonical_name(key, defaults)) if isinstance(defaults, Mapping) else None
        )
        if isinstance(value, Mapping):
            # Whatever the priority: who adds a section reads settings inside it.
            if not isinstance(old.get(name), dict):
                old[name] = {}
            update(old[name], value, priority, their_default)
        elif (
            priority == "new"
            or name not in old
            or (
                priority == "new-defaults"
                and isinstance(defaults, Mapping)
                and canonical_name(key, defaults) in defaults
                and their_default == old[name]
            )
        ):
            old[name] = value
    return old


def merge(*dicts: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries into a new one.

    Parameters
    ----------
    *dicts : mapping
        The dictionaries; later ones win. They are not changed.

    Returns
    -------
    dict
        The merged one.

    Examples
    --------
    >>> from oxidask.config import merge
    >>> merge({"x": 1, "y": {"a": 2}}, {"y": {"b": 3}})
    {'x': 1, 'y': {'a': 2, 'b': 3}}
    """
    result: dict[str, Any] = {}
    for one in dicts:
        update(result, one)
    return result


def update_defaults(
    new: Mapping[str, Any],
    config: dict[str, Any] = config,
    defaults: list[Mapping[str, Any]] = defaults,
) -> None:
    """Add the defaults of a package, below what the user has set.

    Parameters
    ----------
    new : mapping
        The defaults.
    config : dict, optional
        What to change; by default the settings in force.
    defaults : list of mapping, optional
        The defaults so far, to which `new` is added: `refresh` starts from them.

    Examples
    --------
    >>> import oxidask.config
    >>> oxidask.config.update_defaults({"mypackage": {"retries": 3}})
    >>> oxidask.config.get("mypackage.retries")
    3
    """
    with _writing:
        current = merge(*defaults)
        defaults.append(new)
        update(config, new, priority="new-defaults", defaults=current)


# --- Collecting from files and the environment --------------------------------------------------


def refresh(
    config: dict[str, Any] | None = None,
    defaults: Sequence[Mapping[str, Any]] = defaults,
    **kwargs: Any,
) -> None:
    """Read files and environment again, over the defaults; what `set` did is lost.

    Parameters
    ----------
    config : dict, optional
        What to fill; by default the settings in force.
    defaults : sequence of mapping, optional
        The defaults to start from.
    **kwargs : Any
        `paths` and `env`, as `collect` takes them.

    Examples
    --------
    >>> from oxidask.config import refresh
    >>> settings = {"left": "over"}
    >>> refresh(settings, defaults=[{"a": 1, "b": 2}], paths=[], env={"OXIDASK_B": "3"})
    >>> settings
    {'a': 1, 'b': 3}
    """
    filled: dict[str, Any] = globals()["config"] if config is None else config
    # Read first: after an error the settings are as they were.
    collected = collect(**kwargs)
    rename(deprecations, collected)
    with _writing:
        filled.clear()
        for one in defaults:
            update(filled, one)
        update(filled, collected)


def collect(
    paths: Sequence[str | os.PathLike[str]] = paths, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Merge the settings of all files and of the environment.

    Parameters
    ----------
    paths : sequence of str or path, optional
        Files and folders, the lowest priority first.
    env : mapping, optional
        The variables; by default ``os.environ``.

    Returns
    -------
    dict
        The merged settings.

    Examples
    --------
    >>> from oxidask.config import collect
    >>> collect(paths=[], env={"DASK_A": "1", "DASK_B": "2", "OXIDASK_B": "3"})
    {'a': 1, 'b': 3}
    """
    return merge(*collect_yaml(paths), collect_env(env))


def collect_yaml(
    paths: Sequence[str | os.PathLike[str]] = paths, *, return_paths: bool = False
) -> Iterator[Any]:
    """Read the settings of each file.

    Files that do not exist or may not be read are passed over.

    Parameters
    ----------
    paths : sequence of str or path, optional
        Files, and folders whose ``.yaml``, ``.yml`` and ``.json`` files are read.
    return_paths : bool, optional
        Whether to give pairs of path and settings.

    Yields
    ------
    dict, or tuple of pathlib.Path and dict
        The settings of one file.

    Raises
    ------
    ValueError
        If a file has an error, or is no mapping at its top.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from oxidask.config import collect_yaml
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "mine.yaml").write_text("array: {chunk-size: 1 MiB}")
    ...     list(collect_yaml([folder]))
    [{'array': {'chunk-size': '1 MiB'}}]
    """
    read = ((file, _read_file(file)) for file in _files(paths))
    if return_paths:
        from pathlib import Path

        return ((Path(file), content) for file, content in read if content is not None)
    return (content for _, content in read if content is not None)


def _files(paths: Sequence[str | os.PathLike[str]]) -> Iterator[str]:
    for one in paths:
        path = os.fspath(one)
        if not os.path.isdir(path):
            if os.path.exists(path):
                yield path
            continue
        try:
            names = sorted(os.listdir(path))
        except OSError:  # A folder of another user.
            continue
        for name in names:
            if os.path.splitext(name)[1].lower() in (".json", ".yaml", ".yml"):
                yield os.path.join(path, name)


def _read_file(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return None
    except UnicodeDecodeError as error:
        raise ValueError(f"config: the file {path!r} is not UTF-8 text: {error}") from error
    content = _parse(path, text)
    if content is None:
        return None
    if not isinstance(content, dict):
        raise ValueError(
            f"config: the file {path!r} must be a mapping of settings at its top, "
            f"but is a {type(content).__name__}; write lines like 'array:' or 'scheduler: threads'"
        )
    return content


def _parse(path: str, text: str) -> Any:
    if not text.strip():
        return None
    if path.endswith(".json"):
        import json

        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"config: the file {path!r} has an error in line {error.lineno}: {error.msg}"
            ) from error
    # Not at the top: most users have no such file, and the import takes time.
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "an error" if mark is None else f"an error in line {mark.line + 1}"
        raise ValueError(f"config: the file {path!r} has {where}: {error}") from error


def collect_env(env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read the settings in ``OXIDASK_…`` variables, and in ``DASK_…`` ones below them.

    Parameters
    ----------
    env : mapping, optional
        The variables; by default ``os.environ``.

    Returns
    -------
    dict
        The settings. In names ``__`` is the dot; values are read by `interpret_value`.

    Examples
    --------
    >>> from oxidask.config import collect_env
    >>> collect_env({"OXIDASK_ARRAY__CHUNK_SIZE": "1 MiB", "OXIDASK_NUM_WORKERS": "2"})
    {'array': {'chunk_size': '1 MiB'}, 'num_workers': 2}
    """
    env = os.environ if env is None else env
    result: dict[str, Any] = {}
    for prefix in _PREFIXES:
        inherited = env.get(f"{prefix}INTERNAL_INHERIT_CONFIG")
        if inherited:
            update(result, deserialize(inherited))
        settings = {
            name.removeprefix(prefix).lower().replace("__", "."): interpret_value(value)
            for name, value in sorted(env.items())
            if name.startswith(prefix)
            and name.removeprefix(prefix) not in _VARIABLES_THAT_ARE_NO_SETTINGS
        }
        set(settings, config=result)
    return result


def interpret_value(value: str) -> Any:
    """Read the text of one environment variable.

    Parameters
    ----------
    value : str
        The text.

    Returns
    -------
    Any
        The value of a Python literal; None for ``none`` or ``null``, a bool for ``true`` or
        ``false``, in any case of letters; else the text itself.

    Examples
    --------
    >>> from oxidask.config import interpret_value
    >>> [interpret_value(text) for text in ("1", "[1, 2]", "null", "True", "threads")]
    [1, [1, 2], None, True, 'threads']
    """
    words = {"none": None, "null": None, "true": True, "false": False}
    if value.lower() in words:
        return words[value.lower()]
    import ast

    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return value


def paths_containing_key(
    key: str, paths: Sequence[str | os.PathLike[str]] = paths
) -> Iterator[Path]:
    """Find the files that define a setting.

    Parameters
    ----------
    key : str
        The setting; dots lead into nested dictionaries.
    paths : sequence of str or path, optional
        Files and folders to search.

    Yields
    ------
    pathlib.Path
        A file that has the setting, the lowest priority first.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from oxidask.config import paths_containing_key
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "mine.yaml").write_text("scheduler: threads")
    ...     [path.name for path in paths_containing_key("scheduler", [folder])]
    ['mine.yaml']
    """
    absent = object()
    for path, content in collect_yaml(paths, return_paths=True):
        if get(key, default=absent, config=content) is not absent:
            yield path


def ensure_file(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str] | None = None,
    comment: bool = True,
) -> None:
    r"""Copy a template of settings to where the user can change it, unless a file is there.

    Parameters
    ----------
    source : str or path
        The template, a YAML file.
    destination : str or path, optional
        The folder, or the ``.yaml`` file itself; by default the user's folder of settings.
    comment : bool, optional
        Whether to comment all lines out, so that the copy shows the settings and changes none.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from oxidask.config import ensure_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     source = pathlib.Path(folder, "mypackage.yaml")
    ...     _ = source.write_text("mypackage:\n  retries: 3\n")
    ...     ensure_file(source, pathlib.Path(folder, "user"))
    ...     print(pathlib.Path(folder, "user", "mypackage.yaml").read_text())
    # mypackage:
    #   retries: 3
    <BLANKLINE>
    """
    target = os.fspath(PATH if destination is None else destination)
    is_file = os.path.splitext(target)[1].lower() in (".json", ".yaml", ".yml")
    if not is_file:
        target = os.path.join(target, os.path.basename(os.fspath(source)))
    if os.path.exists(target):
        return
    with open(source, encoding="utf-8") as file:
        lines = file.readlines()
    if comment:
        lines = [f"# {line}" if line.strip() and line[0] != "#" else line for line in lines]
    # Under another name first: processes that start at the same time see a whole file or none.
    temporary = f"{target}.tmp.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.replace(temporary, target)
    except OSError:
        # A home that cannot be written to is no reason to fail.
        if os.path.exists(temporary):
            os.remove(temporary)


# --- Renamed settings ---------------------------------------------------------------------------


def check_deprecations(key: str, deprecations: Mapping[str, str | None] = deprecations) -> str:
    """Translate the old name of a setting, with a warning.

    Parameters
    ----------
    key : str
        The name.
    deprecations : mapping, optional
        New names by old ones; None for settings that are gone.

    Returns
    -------
    str
        The new name, or `key` if it is not an old one.

    Raises
    ------
    ValueError
        If the setting is gone.

    Examples
    --------
    >>> from oxidask.config import check_deprecations
    >>> check_deprecations("array.chunk-size")
    'array.chunk-size'
    """
    name = canonical_name(key, deprecations)
    if name not in deprecations:
        return key
    new = deprecations[name]
    if new is None:
        raise ValueError(f"config: the setting {key!r} has been removed; do not set it")
    warnings.warn(
        f"config: the setting {key!r} is deprecated; use {new!r} instead",
        FutureWarning,
        stacklevel=3,
    )
    return new


def rename(
    deprecations: Mapping[str, str | None] = deprecations, config: dict[str, Any] = config
) -> dict[str, str | None]:
    """Move settings with old names to their new ones.

    There is no warning: `refresh` does this for the files of users, who cannot change it at once.

    Parameters
    ----------
    deprecations : mapping, optional
        New names by old ones; None for settings that are gone, which are removed.
    config : dict, optional
        What to change; by default the settings in force.

    Returns
    -------
    dict
        New names by old ones, of those that were found.

    Examples
    --------
    >>> from oxidask.config import rename
    >>> settings = {"old-name": 1}
    >>> rename({"old-name": "section.new-name"}, settings)
    {'old-name': 'section.new-name'}
    >>> settings
    {'section': {'new-name': 1}}
    """
    moved: dict[str, str | None] = {}
    absent = object()
    for old, new in deprecations.items():
        value = pop(old, absent, config)
        if value is absent:
            continue
        moved[old] = new
        if new is not None:
            set({new: value}, config=config)
    return moved


# --- Passing settings on ------------------------------------------------------------------------


def expand_environment_variables(config: Any) -> Any:
    """Put the values of variables, written ``$NAME``, into all texts of a configuration.

    Parameters
    ----------
    config : Any
        A text, or a mapping, list, tuple or set of such, nested.

    Returns
    -------
    Any
        The same with the variables replaced; unknown ones stay as they are.

    Examples
    --------
    >>> import os
    >>> from oxidask.config import expand_environment_variables
    >>> os.environ["OXIDASK_EXAMPLE_USER"] = "ada"
    >>> expand_environment_variables({"folder": ["/scratch/$OXIDASK_EXAMPLE_USER", 1]})
    {'folder': ['/scratch/ada', 1]}
    >>> del os.environ["OXIDASK_EXAMPLE_USER"]
    """
    import builtins

    if isinstance(config, str):
        return os.path.expandvars(config)
    if isinstance(config, Mapping):
        return {key: expand_environment_variables(value) for key, value in config.items()}
    if isinstance(config, (list, tuple, builtins.set)):
        return type(config)(_expanded(config))
    return config


def _expanded(values: Iterable[Any]) -> list[Any]:
    return [expand_environment_variables(value) for value in values]


def serialize(data: Any) -> str:
    """Encode settings for the environment of another process.

    Parameters
    ----------
    data : Any
        Settings of the kinds that JSON knows.

    Returns
    -------
    str
        JSON in URL-safe base64.

    Raises
    ------
    TypeError
        If a value is of another kind.

    Examples
    --------
    >>> from oxidask.config import deserialize, serialize
    >>> deserialize(serialize({"scheduler": "threads"}))
    {'scheduler': 'threads'}
    """
    import base64
    import json

    try:
        text = json.dumps(data)
    except TypeError as error:
        raise TypeError(
            f"config.serialize: {error}; settings for other processes must be texts, numbers, "
            f"bools, None, lists and dictionaries with texts as keys"
        ) from error
    return base64.urlsafe_b64encode(text.encode()).decode()


def deserialize(data: str) -> Any:
    """Decode what `serialize` encoded.

    Parameters
    ----------
    data : str
        The encoded settings.

    Returns
    -------
    Any
        The settings.

    Raises
    ------
    ValueError
        If `data` is not the result of `serialize`.

    Examples
    --------
    >>> from oxidask.config import deserialize
    >>> deserialize("eyJhIjogMX0=")
    {'a': 1}
    """
    import base64
    import json

    try:
        return json.loads(base64.urlsafe_b64decode(data.encode()).decode())
    except ValueError as error:
        raise ValueError(
            f"config.deserialize: {data[:40]!r} is not a result of config.serialize ({error}); "
            f"unset OXIDASK_INTERNAL_INHERIT_CONFIG if it comes from there"
        ) from error


refresh()
