"""The configuration: one test or more for each public name."""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from oxidask import config


@pytest.fixture(autouse=True)
def settings_are_restored():
    before = json.dumps(config.config)
    defaults_before = list(config.defaults)
    yield
    config.defaults[:] = defaults_before
    config.config.clear()
    config.config.update(json.loads(before))


def run_python(code, **variables):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DASK_", "OXIDASK_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- get ---


@pytest.mark.covers("config.get")
def test_get_follows_dots_and_takes_hyphen_for_underscore():
    settings = {"a-b": {"c_d": 1, "e-f_g": 2}}
    assert config.get("a-b.c_d", config=settings) == 1
    assert config.get("a_b.c-d", config=settings) == 1
    assert config.get("a_b.e_f_g", config=settings) == 2
    assert config.get("a-b", config=settings) == {"c_d": 1, "e-f_g": 2}


def test_get_without_the_setting_gives_the_default_or_names_the_key():
    assert config.get("no.such.setting", default=None) is None
    assert config.get("array.chunk-size.deeper", default=3) == 3
    with pytest.raises(KeyError, match=r"no setting 'no\.such'"):
        config.get("no.such")
    with pytest.raises(KeyError, match="there is no 'deeper'"):
        config.get("array.chunk-size.deeper")


def test_get_lets_a_given_value_override():
    assert config.get("array.backend", override_with="cupy") == "cupy"
    assert config.get("array.backend", override_with=0) == 0
    assert config.get("array.backend", override_with=None) == "numpy"


# --- set ---


def test_set_changes_for_good_when_called():
    config.set({"a.b": 1}, x__y_z=2)
    assert config.get("a") == {"b": 1}
    assert config.get("x.y-z") == 2


@pytest.mark.covers("config.set")
def test_set_restores_exactly_when_it_is_left():
    before = json.dumps(config.config)
    with config.set({"array.chunk_size": "1 B", "fresh.a": 1, "array": {"z": 1}}, scheduler="x"):
        assert config.get("array") == {"z": 1}
        with config.set({"array.z.deep": 2, "fresh.b": 3, "scheduler.kind": 1}):
            assert config.get("array.z.deep") == 2
            assert config.get("scheduler.kind") == 1
        assert config.get("array") == {"z": 1}
        assert config.get("fresh") == {"a": 1}
        assert config.get("scheduler") == "x"
    assert json.dumps(config.config) == before


def test_set_restores_after_an_error_too():
    with pytest.raises(ZeroDivisionError), config.set({"scheduler": "x"}):
        raise ZeroDivisionError
    assert config.get("scheduler") is None


@pytest.mark.parametrize("key", ["workers", "new.workers", "new.deep.workers", "array.new.workers"])
@pytest.mark.parametrize("end", list(itertools.permutations(range(3))))
def test_blocks_of_several_threads_may_end_in_any_order(key, end):
    before = json.dumps(config.config)
    blocks = [config.set({key: number}) for number in range(3)]
    # Threads need not enter their blocks in the order in which they made them.
    for block in reversed(blocks):
        block.__enter__()
    running = [0, 1, 2]
    for number in end:
        assert config.get(key) == running[-1]
        blocks[number].__exit__(None, None, None)
        running.remove(number)
    assert json.dumps(config.config) == before


def test_blocks_that_change_other_settings_leave_each_other_alone():
    before = json.dumps(config.config)
    one, two = config.set({"new.one": 1}), config.set({"new.two": 2})
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert config.get("new") == {"two": 2}
    two.__exit__(None, None, None)
    assert json.dumps(config.config) == before


def test_what_is_set_within_a_block_ends_with_it():
    with config.set({"scheduler": "x"}):
        config.set({"scheduler": "y"})
        assert config.get("scheduler") == "y"
    assert config.get("scheduler") is None


@pytest.mark.covers("config.config")
def test_set_gives_the_settings_to_the_block():
    with config.set({"a": 1}) as settings:
        assert settings is config.config
    own = {"a": 1}
    with config.set({"a": 2}, config=own):
        assert own == {"a": 2}
    assert own == {"a": 1}


def test_set_keeps_the_spelling_that_is_there():
    config.set({"array.chunk_size": "1 B"})
    assert config.config["array"]["chunk-size"] == "1 B"
    assert "chunk_size" not in config.config["array"]


def test_set_does_not_change_the_dictionary_it_was_given():
    mine = {"b": 1}
    config.set({"a": mine})
    config.set({"a.b": 2})
    assert mine == {"b": 1}


def test_set_refuses_what_is_no_mapping():
    with pytest.raises(TypeError, match=r"not 5; write set"):
        config.set(5)


def test_set_from_many_threads_loses_nothing():
    def write(number):
        for turn in range(200):
            config.set({f"threads.t{number}.k{turn}": turn})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = config.get("threads")
    assert {name: len(values) for name, values in written.items()} == {
        f"t{number}": 200 for number in range(4)
    }


def test_set_waits_for_the_lock_it_was_given():
    events = []

    class Recorder:
        def __enter__(self):
            events.append("in")

        def __exit__(self, *args):
            events.append("out")

    with config.set({"a": 1}, lock=Recorder()):
        assert events == ["in", "out"]
    assert events == ["in", "out"] * 2


# --- pop, canonical_name ---


@pytest.mark.covers("config.pop")
def test_pop_removes():
    settings = {"a-b": {"c": 1, "d": 2}}
    assert config.pop("a_b.c", config=settings) == 1
    assert settings == {"a-b": {"d": 2}}
    assert config.pop("a-b.c", "gone", settings) == "gone"
    with pytest.raises(KeyError, match=r"'a-b\.c'"):
        config.pop("a-b.c", config=settings)
    config.set({"popped": 1})
    assert config.pop("popped") == 1
    assert config.get("popped", None) is None


@pytest.mark.covers("config.canonical_name")
@pytest.mark.parametrize(
    ("key", "present", "expected"),
    [
        ("a-b", {"a_b": 1}, "a_b"),
        ("a_b", {"a-b": 1}, "a-b"),
        ("a_b", {"a-b": 1, "a_b": 2}, "a_b"),
        ("a_b_c", {"a-b_c": 1}, "a-b_c"),
        ("a_b", {}, "a_b"),
    ],
)
def test_canonical_name_is_the_spelling_present(key, present, expected):
    assert config.canonical_name(key, present) == expected


# --- update, merge, update_defaults, refresh ---


@pytest.mark.covers("config.update")
@pytest.mark.parametrize(
    ("old", "new", "priority", "defaults", "expected"),
    [
        ({"x": 1}, {"x": 2}, "new", None, {"x": 2}),
        ({"x": 1}, {"x": 2, "y": 3}, "old", None, {"x": 1, "y": 3}),
        ({"x": {"a": 1}}, {"x": {"a": 2, "b": 3}}, "old", None, {"x": {"a": 1, "b": 3}}),
        ({"x": 1, "y": 5}, {"x": 2, "y": 6}, "new-defaults", {"x": 1, "y": 1}, {"x": 2, "y": 5}),
        ({"x": {"a": 1}}, {"x": {"a": 2}}, "new-defaults", {"x": {"a": 1}}, {"x": {"a": 2}}),
        ({"x": {"a": 7}}, {"x": {"a": 2}}, "new-defaults", {"x": {"a": 1}}, {"x": {"a": 7}}),
        ({"x": None}, {"x": {"a": 1}}, "new", None, {"x": {"a": 1}}),
        ({"x": 1}, {"x": {"a": 1}}, "new", None, {"x": {"a": 1}}),
        ({"x": 1}, {"x": {"a": 1}}, "old", None, {"x": {"a": 1}}),
        ({"x": {"a": 1}}, {"x": None}, "new", None, {"x": None}),
        ({"a-b": 1}, {"a_b": 2}, "new", None, {"a-b": 2}),
    ],
)
def test_update_keeps_the_value_that_has_priority(old, new, priority, defaults, expected):
    assert config.update(old, new, priority=priority, defaults=defaults) is old
    assert old == expected


def test_update_refuses_an_unknown_priority():
    with pytest.raises(ValueError, match="'newest' is unknown; give 'old', 'new'"):
        config.update({}, {}, priority="newest")


@pytest.mark.covers("config.merge")
def test_merge_changes_none_of_its_arguments():
    first, second = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert config.merge(first, second) == {"a": {"b": 1, "c": 2}}
    assert (first, second) == ({"a": {"b": 1}}, {"a": {"c": 2}})


@pytest.mark.covers("config.update_defaults")
def test_update_defaults_are_below_what_the_user_set():
    config.set({"package.set": "user"})
    config.update_defaults({"package": {"set": "first", "left": "first"}})
    config.update_defaults({"package": {"left": "second"}})
    assert config.get("package") == {"set": "user", "left": "second"}
    config.refresh(paths=[], env={})
    assert config.get("package") == {"set": "first", "left": "second"}


@pytest.mark.covers("config.refresh")
def test_refresh_reads_files_and_variables_over_defaults(tmp_path):
    (tmp_path / "a.yaml").write_text("a: file\nb: file\n")
    settings = {"old": 1}
    config.refresh(
        settings,
        defaults=[{"a": "default", "b": "default", "c": "default"}],
        paths=[tmp_path],
        env={"OXIDASK_A": "variable"},
    )
    assert settings == {"a": "variable", "b": "file", "c": "default"}


def test_refresh_changes_nothing_when_a_file_is_broken(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [")
    settings = {"old": 1}
    with pytest.raises(ValueError, match="line 1"):
        config.refresh(settings, paths=[tmp_path], env={})
    assert settings == {"old": 1}


def test_refresh_does_not_change_the_defaults():
    before = json.dumps([config.merge(one) for one in config.defaults])
    config.refresh(paths=[], env={"OXIDASK_ARRAY__BACKEND": "cupy"})
    assert config.get("array.backend") == "cupy"
    assert json.dumps([config.merge(one) for one in config.defaults]) == before


# --- files ---


@pytest.mark.covers("config.collect")
def test_collect_puts_variables_over_later_over_earlier_files(tmp_path):
    for name, text in [("1.yaml", "a: 1\nb: 1\nc: 1"), ("2.yml", "b: 2\nc: 2")]:
        (tmp_path / name).write_text(text)
    assert config.collect([tmp_path], env={"DASK_C": "3"}) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.covers("config.collect_yaml")
def test_collect_yaml_reads_folders_and_files(tmp_path):
    (tmp_path / "b.yml").write_text("b: 2")
    (tmp_path / "a.yaml").write_text("a: 1")
    (tmp_path / "c.json").write_text('{"c": 3}')
    (tmp_path / "empty.yaml").write_text("# nothing: here\n")
    (tmp_path / "other.txt").write_text("d: 4")
    assert list(config.collect_yaml([tmp_path])) == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert list(config.collect_yaml([tmp_path / "b.yml", tmp_path / "missing"])) == [{"b": 2}]
    pairs = list(config.collect_yaml([str(tmp_path)], return_paths=True))
    assert pairs[0] == (tmp_path / "a.yaml", {"a": 1})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("broken.yaml", "a: 1\nb: [1\nc: 2\n", r"broken\.yaml' has an error in line 3"),
        ("broken.json", '{"a": 1,\n "b"}', r"broken\.json' has an error in line 2"),
        ("list.yaml", "- 1\n- 2\n", r"list\.yaml' must be a mapping .* but is a list"),
        ("text.yaml", "hello", "but is a str"),
    ],
)
def test_a_broken_file_is_an_error_with_its_name(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        list(config.collect_yaml([tmp_path]))


def test_a_file_that_is_not_text_is_an_error_with_its_name(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"binary\.yaml' is not UTF-8"):
        list(config.collect_yaml([tmp_path]))


def test_files_and_folders_that_may_not_be_read_are_passed_over(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text("a: 1")
    (tmp_path / "b.yaml").write_text("b: 1")
    (tmp_path / "private").mkdir()
    real_open, real_listdir = open, os.listdir

    def guarded_open(path, *args, **kwargs):
        if str(path).endswith("a.yaml"):
            raise PermissionError(path)
        return real_open(path, *args, **kwargs)

    def guarded_listdir(path):
        if str(path).endswith("private"):
            raise PermissionError(path)
        return real_listdir(path)

    monkeypatch.setattr("builtins.open", guarded_open)
    monkeypatch.setattr(os, "listdir", guarded_listdir)
    assert list(config.collect_yaml([tmp_path / "private", tmp_path])) == [{"b": 1}]


@pytest.mark.covers("config.paths_containing_key")
def test_paths_containing_key(tmp_path):
    (tmp_path / "a.yaml").write_text("a: {b-c: null}")
    (tmp_path / "b.yaml").write_text("x: 1")
    assert list(config.paths_containing_key("a.b_c", [tmp_path])) == [tmp_path / "a.yaml"]
    assert list(config.paths_containing_key("a.b.c", [tmp_path])) == []


@pytest.mark.covers("config.paths")
def test_paths_are_the_folders_of_dask_below_ours():
    home = os.path.join(os.path.expanduser("~"), ".config")
    found = run_python(
        "from oxidask import config; print(config.paths)",
        OXIDASK_ROOT_CONFIG="/root-config",
        OXIDASK_CONFIG="/own",
        DASK_CONFIG="/theirs",
    )
    assert found == str(
        [
            "/etc/dask",
            f"{sys.prefix}/etc/dask",
            f"{home}/dask",
            "/theirs",
            "/root-config",
            f"{sys.prefix}/etc/oxidask",
            f"{home}/oxidask",
            "/own",
        ]
    )


def test_a_process_reads_its_files_at_import(tmp_path):
    (tmp_path / "mine.yaml").write_text("array:\n  chunk-size: 5 MB\nscheduler: sync\n")
    found = run_python(
        "from oxidask import config\n"
        "print(config.get('array.chunk-size'), config.get('scheduler'), config.PATH)",
        OXIDASK_CONFIG=str(tmp_path),
        OXIDASK_SCHEDULER="threads",
    )
    assert found == f"5 MB threads {tmp_path}"


@pytest.mark.covers("config.ensure_file")
def test_ensure_file_comments_out_and_never_overwrites(tmp_path):
    source = tmp_path / "package.yaml"
    source.write_text("# About\npackage:\n  retries: 3\n\n")
    target = tmp_path / "user" / "package.yaml"
    config.ensure_file(source, tmp_path / "user")
    assert target.read_text() == "# About\n# package:\n#   retries: 3\n\n"
    target.write_text("package: mine")
    config.ensure_file(source, tmp_path / "user", comment=False)
    assert target.read_text() == "package: mine"
    config.ensure_file(source, tmp_path / "other.yaml", comment=False)
    assert (tmp_path / "other.yaml").read_text() == source.read_text()
    assert sorted(path.name for path in (tmp_path / "user").iterdir()) == ["package.yaml"]


def test_ensure_file_writes_to_the_users_folder(tmp_path, monkeypatch):
    source = tmp_path / "package.yaml"
    source.write_text("a: 1\n")
    monkeypatch.setattr(config, "PATH", str(tmp_path / "home"))
    config.ensure_file(source)
    assert (tmp_path / "home" / "package.yaml").read_text() == "# a: 1\n"


def test_ensure_file_accepts_that_it_cannot_write(tmp_path):
    source = tmp_path / "package.yaml"
    source.write_text("a: 1\n")
    config.ensure_file(source, source / "below-a-file")
    assert source.read_text() == "a: 1\n"


# --- environment ---


@pytest.mark.covers("config.collect_env")
def test_collect_env_takes_double_underscores_for_dots():
    variables = {"OXIDASK_A__B_C": "1", "OXIDASK_D": "[1, 'x']", "OTHER": "1", "A_OXIDASK_": "1"}
    assert config.collect_env(variables) == {"a": {"b_c": 1}, "d": [1, "x"]}


def test_collect_env_puts_our_variables_over_those_of_dask():
    variables = {"OXIDASK_A__B": "ours", "DASK_A__B": "theirs", "DASK_A__C": "theirs"}
    assert config.collect_env(variables) == {"a": {"b": "ours", "c": "theirs"}}


def test_collect_env_leaves_out_the_names_of_folders():
    variables = {"OXIDASK_CONFIG": "x", "DASK_CONFIG": "x", "OXIDASK_ROOT_CONFIG": "x"}
    assert config.collect_env(variables) == {}


def test_collect_env_takes_inherited_settings_below_variables():
    variables = {
        "DASK_INTERNAL_INHERIT_CONFIG": config.serialize({"a": 1, "b": 1, "c": 1, "d": 1}),
        "DASK_B": "2",
        "OXIDASK_INTERNAL_INHERIT_CONFIG": config.serialize({"c": 3, "d": 3}),
        "OXIDASK_D": "4",
    }
    assert config.collect_env(variables) == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_a_child_process_inherits_settings():
    with config.set({"array.chunk-size": "7 B"}):
        inherited = config.serialize(config.config)
    found = run_python(
        "from oxidask import config; print(config.get('array.chunk-size'))",
        OXIDASK_INTERNAL_INHERIT_CONFIG=inherited,
    )
    assert found == "7 B"


@pytest.mark.covers("config.interpret_value")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("[1, 2]", [1, 2]),
        ("{'a': 1}", {"a": 1}),
        ("'quoted'", "quoted"),
        ("true", True),
        ("FALSE", False),
        ("None", None),
        ("null", None),
        ("", ""),
        ("threads", "threads"),
        ("tcp://host:1", "tcp://host:1"),
        ("(" * 1000, "(" * 1000),
    ],
)
def test_interpret_value_reads_literals_and_keeps_other_texts(text, value):
    found = config.interpret_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.covers("config.expand_environment_variables")
def test_expand_environment_variables(monkeypatch):
    monkeypatch.setenv("OXIDASK_TEST_NAME", "ada")
    given = {"a": "$OXIDASK_TEST_NAME/x", "b": ["${OXIDASK_TEST_NAME}", ("$NO_SUCH_NAME", 1)]}
    expected = {"a": "ada/x", "b": ["ada", ("$NO_SUCH_NAME", 1)]}
    assert config.expand_environment_variables(given) == expected
    assert config.expand_environment_variables({"$OXIDASK_TEST_NAME"}) == {"ada"}
    assert config.expand_environment_variables(5) == 5


# --- deprecations ---

OLD_NAMES = {"old-name": "section.new-name", "gone-name": None}


@pytest.mark.covers("config.check_deprecations")
def test_check_deprecations_warns_and_translates():
    assert config.check_deprecations("fine", OLD_NAMES) == "fine"
    with pytest.warns(FutureWarning, match=r"'old_name' is deprecated; use 'section\.new-name'"):
        assert config.check_deprecations("old_name", OLD_NAMES) == "section.new-name"
    with pytest.raises(ValueError, match="'gone-name' has been removed"):
        config.check_deprecations("gone-name", OLD_NAMES)


def test_set_translates_old_names():
    with (
        pytest.warns(FutureWarning, match="fuse-ave-width") as warned,
        config.set({"fuse-ave-width": 3}),
    ):
        assert config.get("optimization.fuse.ave-width") == 3
    assert warned[0].filename == __file__
    assert config.get("optimization.fuse.ave-width") == 1


@pytest.mark.covers("config.rename")
def test_rename_moves_old_names():
    settings = {"old_name": 1, "gone_name": 2, "kept": 3}
    moved = config.rename(OLD_NAMES, settings)
    assert moved == {"old-name": "section.new-name", "gone-name": None}
    assert settings == {"section": {"new-name": 1}, "kept": 3}


def test_old_names_in_files_are_moved_at_refresh(tmp_path):
    (tmp_path / "old.yaml").write_text("shuffle: disk\nfuse-ave-width: 3\n")
    settings = {}
    config.refresh(config=settings, paths=[tmp_path], env={})
    assert settings["dataframe"]["shuffle"]["method"] == "disk"
    assert settings["optimization"]["fuse"]["ave-width"] == 3
    assert "shuffle" not in settings


def test_deprecations_lead_to_settings_that_exist():
    for new in config.deprecations.values():
        assert new is None or config.get(new, default="absent") != "absent"


# --- serialize ---


@pytest.mark.covers("config.serialize", "config.deserialize")
def test_serialize_and_deserialize_are_inverse():
    encoded = config.serialize(config.config)
    assert encoded.isascii()
    assert config.deserialize(encoded) == config.config


def test_serialize_and_deserialize_say_what_is_wrong():
    with pytest.raises(TypeError, match="settings for other processes must be"):
        config.serialize({"a": object()})
    with pytest.raises(ValueError, match="'zz' is not a result"):
        config.deserialize("zz")
    with pytest.raises(ValueError, match="is not a result"):
        config.deserialize("////")


# --- import ---


def test_import_is_lean():
    found = run_python(
        "import sys, threading\n"
        "from oxidask import config\n"
        "print(sorted({'numpy', 'yaml', 'pathlib', 'json'} & set(sys.modules)),"
        " threading.active_count())",
        OXIDASK_CONFIG="/no/such/folder",
        HOME="/no/such/home",
        PYTHONNOUSERSITE="1",
    )
    expected = sorted({"pathlib", "json"} & modules_of_bare_python())
    assert found == f"{expected} 1"


def modules_of_bare_python():
    return set(
        json.loads(run_python("import json as j, sys; print(j.dumps(list(sys.modules)))"))
    ) - {"json"}


def test_every_public_name_exists_and_is_described():
    for name in config.__all__:
        value = getattr(config, name)
        if callable(value):
            assert "Examples" in value.__doc__, name
    assert isinstance(config.paths, list)
    assert all(pathlib.PurePath(path).is_absolute() for path in config.paths)
