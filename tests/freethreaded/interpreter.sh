#!/usr/bin/env bash
# Prints the path of a free-threaded CPython, for `make test-freethreaded`.
#
# It is the one that PYTHON_FT names, or else one that is built here, once: neither Debian nor PyPI
# has an interpreter without a GIL to install, but Debian has the source. That takes 5 to 10 minutes
# on two cores and 400 MB below $XDG_CACHE_HOME (~/.cache), and wants Debian or a system made of it,
# and root for its packages.
set -euo pipefail

version=3.13
suite=trixie # the release of Debian that has it
packages="build-essential xz-utils libbz2-dev libffi-dev liblzma-dev libsqlite3-dev libssl-dev zlib1g-dev"
root=${XDG_CACHE_HOME:-$HOME/.cache}/oxidask/python${version}t
python=$root/bin/python${version}t

fail() {
  echo "interpreter.sh: $1; or set PYTHON_FT to a free-threaded interpreter of your own" >&2
  exit 1
}

works() {
  [ -x "$1" ] && "$1" -c 'import ctypes, sqlite3, ssl, sys; sys.exit(sys._is_gil_enabled())' 2>/dev/null
}

install_packages() {
  local missing=()
  for package in $packages; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" -eq 0 ] || fail "install ${missing[*]} to build CPython"
  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "${missing[@]}"
}

# Downloads the source package into a folder, with lists of packages of its own, so that the
# system's stay as they are.
download() {
  local folder=$1 mirror
  mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE -m 1 'https?://[^ ]+/debian/?( |$)' | tr -d ' ') || true
  [ -n "$mirror" ] || fail "the configuration of apt names no mirror of Debian"
  local options=(
    -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache"
    -o APT::Sandbox::User=root -o Acquire::Languages=none
  )
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$folder/sources.list"
  (cd "$folder" && apt-get "${options[@]}" -qq update && apt-get "${options[@]}" -qq source --download-only "python$version") ||
    fail "Debian's $suite does not give the source of python$version"
}

build() {
  local log=$root/build.log
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  install_packages
  download "$folder"
  mkdir -p "$folder/source" "$root"
  tar xf "$folder/python${version}"_*.orig.tar.xz -C "$folder/source" --strip-components=1
  (
    cd "$folder/source"
    ./configure --disable-gil --disable-test-modules --with-ensurepip=no --prefix="$root"
    make -j"$(nproc)"
    make install
  ) >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "CPython does not build: see $log"; }
  works "$python" || fail "the CPython that was built does not work: see $log"
}

if [ -n "${PYTHON_FT:-}" ]; then
  works "$PYTHON_FT" || fail "PYTHON_FT=$PYTHON_FT is not a free-threaded Python that works"
  echo "$PYTHON_FT"
  exit
fi
if ! works "$python"; then
  mkdir -p "$root"
  exec 9>"$root/lock"
  flock 9 # Another may be building it.
  works "$python" || { echo "building a free-threaded CPython $version in $root" >&2; build >&2; }
fi
echo "$python"
