#!/bin/sh
# Makes a virtual environment and installs into it, pinned by constraints.txt:
#
#     sh tools/venv.sh VENV VERSION WHAT...      e.g.  sh tools/venv.sh .venv any -e . --group test
#
# VERSION is `any` (the first Python >= 3.10 found) or one such as `3.12`; PYTHON=/path/to/python overrides
# the search. WHAT goes to uv, or to pip where uv can't be had or can't reach the package index.
# Safe to interrupt: what an interrupted run left half-made is built anew by the next one.
set -eu
trap 'exit 130' INT
trap 'exit 143' TERM

usage="usage: sh tools/venv.sh VENV VERSION WHAT..."
venv=${1:?$usage}; version=${2:?$usage}; shift 2

say() { printf 'tools/venv.sh: %s\n' "$*" >&2; }

fits() { # is $1 a Python that we can use?
    "$1" -c 'import sys
want = sys.argv[1]
ok = sys.version_info >= (3, 10) if want == "any" else "%d.%d" % sys.version_info[:2] == want
sys.exit(not ok)' "$version" >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        candidates=$PYTHON
    elif [ "$version" = any ]; then
        candidates="python3 python3.13 python3.12 python3.11 python3.10 python"
    else
        candidates="python$version python3 $(ls -d "$HOME/.pyenv/versions/$version".*/bin/python3 2>/dev/null || true)"
    fi
    for candidate in $candidates; do
        if fits "$candidate"; then echo "$candidate"; return; fi
    done
    case $version in any) wanted="3.10 or newer" ;; *) wanted=$version ;; esac
    say "no Python $wanted found (tried: $candidates)."
    say "Install one, or name it: make PYTHON=/path/to/python3 ..."
    exit 1
}

create() {
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        say "$python cannot make virtual environments. On Debian or Ubuntu: sudo apt install python3-venv"
        exit 1
    fi
    say "making $venv with $("$python" -c 'import sys; print("Python %d.%d.%d" % sys.version_info[:3], sys.executable)')"
    mkdir -p "$venv"
    touch "$venv/.incomplete"
    "$python" -m venv "$venv"
}

# uv does not read pip's configuration: wheels that pip finds in a folder of its own (torch for the CPU, say)
# have to be shown to it.
pip_find_links() {
    "$venv/bin/python" -m pip config list 2>/dev/null |
        sed -n "s/^[^=]*\.find-links='\(.*\)'$/\1/p" | tr ' ' '\n' | sed '/^$/d' | sort -u | paste -s -d , -
}

with_uv() {
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt uv || return 1
    UV_FIND_LINKS=${UV_FIND_LINKS:-$(pip_find_links)}
    if [ -n "$UV_FIND_LINKS" ]; then export UV_FIND_LINKS; else unset UV_FIND_LINKS; fi
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" \
        -c constraints.txt --build-constraint constraints.txt "$@"
}

with_pip() {
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt --upgrade pip || return 1
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt "$@"
}

if [ -e "$venv/.incomplete" ] || { [ -e "$venv" ] && ! fits "$venv/bin/python"; }; then
    say "rebuilding $venv: it was left half-made, or its Python is gone or another"
    rm -rf "$venv"
fi
[ -x "$venv/bin/python" ] || create
touch "$venv/.incomplete"
status=0
with_uv "$@" || {
    say "uv could not install this; trying pip (slower, and it reads pip's own configuration)"
    with_pip "$@" || status=$?
}
rm -f "$venv/.incomplete"  # a refusal changes nothing: only an interrupted run leaves the mark behind
exit $status
