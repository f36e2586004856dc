#!/usr/bin/env bash
# Builds the extension module for the free-threaded CPython that PYTHON_FT names, and runs the tests
# of the Python package with it. What is built stays in target/freethreaded. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$PWD/target/freethreaded
source=$folder/source
python=$folder/venv/bin/python

# The last PyO3 that builds for CPython 3.13 without a GIL; from 3.14 on the one in Cargo.lock does.
pyo3_for_313=0.28.3

if [ -z "${PYTHON_FT:-}" ]; then
  echo "PYTHON_FT is not set: give a free-threaded interpreter, PYTHON_FT=/path/to/python3.13t;" \
    "tests/freethreaded/interpreter.sh builds one and prints its path" >&2
  exit 2
fi
if ! "$PYTHON_FT" -c 'import sys; sys.exit(sys._is_gil_enabled())' 2>/dev/null; then
  echo "PYTHON_FT=$PYTHON_FT is not an interpreter without a GIL" >&2
  exit 2
fi

# A virtual environment with the newest packages that have wheels for this interpreter.
if [ "$(cat "$folder/made-from" 2>/dev/null)" != "$PYTHON_FT" ] || [ pyproject.toml -nt "$folder/made-from" ]; then
  "$PYTHON_FT" -m venv --clear "$folder/venv"
  "$python" -m pip install --quiet --upgrade 'pip>=25.1'
  "$python" -m pip install --quiet --prefer-binary --only-binary numpy,pandas,pyarrow,matplotlib \
    --group test --group examples 'maturin>=1.9,<2' 'cloudpickle>=3.0' 'numpy>=1.26' 'pyyaml>=6.0'
  echo "$PWD/python" >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/oxidask.pth"
  echo "$PYTHON_FT" >"$folder/made-from"
fi

# A copy, because it may have another Cargo.lock. Times are kept, so that little is built again.
rm -rf "$source"
mkdir -p "$source/python"
cp -a Cargo.toml Cargo.lock crates pyproject.toml README.md LICENSE "$source"
cp -a python/oxidask "$source/python"
rm -f "$source"/python/oxidask/_core*.so python/oxidask/_core*t-*.so
if "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 14))'; then
  locked=$(sed -n '/^name = "pyo3"$/{n;s/version = "\(.*\)"/\1/p}' "$source/Cargo.lock")
  for package in pyo3 "pyo3-build-config@$locked"; do
    (cd "$source" && cargo update --quiet --package "$package" --precise $pyo3_for_313)
  done
fi
(cd "$source" && CARGO_TARGET_DIR=$folder/build VIRTUAL_ENV=$folder/venv \
  "$folder/venv/bin/maturin" develop --quiet --release --skip-install >/dev/null)
cp "$source"/python/oxidask/_core*t-*.so python/oxidask

if [ $# -eq 0 ]; then
  set -- --doctest-modules python tests
  if ! "$python" -c 'import h5py, zarr' 2>/dev/null; then
    echo "h5py or zarr has no wheel for this interpreter: the examples of array/storage.py are left out"
    set -- --ignore python/oxidask/array/storage.py "$@"
  fi
fi
"$python" -m pytest -m 'not slow and not browser' "$@"
