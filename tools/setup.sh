#!/usr/bin/env bash
# Makes .venv with everything that the lock files name, and the project itself (docs/how-to/install.md tells more).
# PYTHON=/path/to/python chooses the interpreter; without it the newest one on the PATH that has all it needs is taken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.venv
readonly LOG=$VENV/setup.log
readonly NEEDED_GB=5
# In order of preference; the second line is for messages.
readonly PYTHONS=(3.13 3.12 3.11)
readonly ANY_OF_THEM="3.13, 3.12 or 3.11"
# These have no wheels on the index; all three are Python only, so that no compiler is needed.
readonly BUILT_FROM_SOURCE=(google-apitools kfp-server-api rouge-score)
# Neither must leak into the environment that is made here.
unset PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never
export LC_ALL=C.UTF-8 # `reason` reads English.

main() {
    exec 9>.setup.lock
    flock 9 # Two at once, say `make demo` and `make test`: the second waits, and finds the work done.
    if ! is_current environment; then
        make_environment
        mark_current environment
    fi
    if ! is_current project; then
        install_project
        download_page_packages
        mark_current project
        say "done in $SECONDS s"
    fi
}

# --- What decides whether there is anything to do ---------------------------------------------------------------------

# Only whole, marked environments are kept: what an interrupted set-up left is thrown away by the next one.
is_current() {
    [[ -f $VENV/.$1 && $(<"$VENV/.$1") == "$(inputs_of "$1")" ]] || return 1
    "$VENV/bin/python" -c "" 2>/dev/null || return 1
    [[ -z ${PYTHON:-} || $(version_of "$PYTHON") == "$(version_of "$VENV/bin/python")" ]]
}

mark_current() { inputs_of "$1" >"$VENV/.$1"; }

inputs_of() {
    case $1 in
        # A virtual environment holds its own path, and what is repaired depends on the C library.
        environment) { pwd; c_library; cat requirements/*.txt compat/glibc/*.{py,c} tools/setup.sh; } | sha256sum ;;
        # An editable install knows the folders on the top level; what lies in them is found without another one.
        project) { cat setup.py; printf '%s\n' */__init__.py; } | sha256sum ;;
    esac
}

# --- The work ---------------------------------------------------------------------------------------------------------

make_environment() {
    check_platform
    local python
    python=$(find_python)
    check_compiler
    rm -f "$VENV/.environment" # First, lest an interrupted removal leave a half that counts as whole.
    rm -rf "$VENV"
    check_disk
    mkdir "$VENV"

    step "making $VENV with $("$python" -V)" "$python" -m venv "$VENV"
    step "installing uv" "$VENV/bin/python" -m pip install --require-hashes -r requirements/bootstrap.txt
    step "installing TFX, TensorFlow and the rest (3 GB on disk; minutes when nothing is cached)" install_locked
    step "downloading ml-metadata and tensorflow-data-validation" download_glibc_wheels
    step "fitting them to $(c_library)" repair_glibc_wheels
    step "installing them" install_glibc_wheels
    step "trying them" "$VENV/bin/python" -c "import ml_metadata, tensorflow_data_validation"
    rm -r "$VENV/upstream" "$VENV/wheels"
}

install_locked() {
    local package from_source=()
    for package in "${BUILT_FROM_SOURCE[@]}"; do from_source+=(--no-binary "$package"); done
    # Bytecode now: where Python may not write it later (a read-only or shared installation, or
    # PYTHONDONTWRITEBYTECODE), each start of TFX would compile for most of a minute.
    "$VENV/bin/uv" pip install --python "$VENV/bin/python" --require-hashes --no-deps --compile-bytecode \
        --no-build-isolation --only-binary :all: "${from_source[@]}" -r requirements/lock.txt
}

download_glibc_wheels() {
    local version
    version=$(version_of "$VENV/bin/python")
    # The platform is named, or pip would refuse them on an older C library.
    "$VENV/bin/python" -m pip download --require-hashes --no-deps --only-binary :all: --dest "$VENV/upstream" \
        --platform manylinux_2_39_x86_64 --implementation cp --python-version "$version" --abi "cp${version/./}" \
        -r requirements/glibc.txt
}

repair_glibc_wheels() {
    "$VENV/bin/python" -m compat.glibc.repair --output "$VENV/wheels" "$VENV"/upstream/*.whl
}

install_glibc_wheels() {
    "$VENV/bin/uv" pip install --python "$VENV/bin/python" --no-deps --offline --compile-bytecode "$VENV"/wheels/*.whl
}

install_project() {
    rm -f "$VENV/.project"
    step "installing atelier" \
        "$VENV/bin/uv" pip install --python "$VENV/bin/python" --no-deps --no-build-isolation --offline --editable .
    step "checking that everything fits together" "$VENV/bin/uv" pip check --python "$VENV/bin/python"
}

# Nothing but `atelier web` needs them, and it downloads them itself where they are missing.
download_page_packages() {
    say "downloading LiteRT.js, which runs models in browsers, and uPlot, which draws charts"
    "$VENV/bin/python" -m serving.web.packages </dev/null >>"$LOG" 2>&1 ||
        say "it cannot be downloaded now; \`atelier web\` tries again"
}

# --- What must be there -----------------------------------------------------------------------------------------------

check_platform() {
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        fail "TFX has wheels for Linux on x86-64 only, and this is $(uname -sm); use such a machine or container"
    [[ $(c_library) == glibc* ]] ||
        fail "TFX's wheels need the GNU C library, which this system lacks; use Debian, Ubuntu or another glibc system"
}

# Prints the first interpreter in the order of PYTHONS that has all it needs. Run, not just found: version managers
# leave dead shims on the PATH, distributions leave out modules.
find_python() {
    local wanted candidate reason incomplete=
    if [[ -n ${PYTHON:-} ]]; then
        [[ -n $(version_of "$PYTHON") ]] || fail "PYTHON=$PYTHON does not run; name a Python $ANY_OF_THEM"
        [[ " ${PYTHONS[*]} " == *" $(version_of "$PYTHON") "* ]] ||
            fail "PYTHON=$PYTHON is Python $(version_of "$PYTHON"), but TFX needs $ANY_OF_THEM"
        reason=$(flaw_of "$PYTHON")
        [[ -z $reason ]] || fail "$reason"
        printf '%s\n' "$PYTHON"
        return
    fi
    for wanted in "${PYTHONS[@]}"; do
        while IFS= read -r candidate; do
            [[ $(version_of "$candidate") == "$wanted" ]] || continue
            reason=$(flaw_of "$candidate")
            if [[ -z $reason ]]; then
                printf '%s\n' "$candidate"
                return
            fi
            incomplete=${incomplete:-$reason}
        done < <(type -ap "python$wanted" python3 python)
    done
    [[ -z $incomplete ]] || fail "$incomplete"
    fail "no Python $ANY_OF_THEM found; install one (apt-get install python3 python3-venv) or name it by PYTHON="
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

# Prints in one sentence why an interpreter of the right version can't be taken; nothing if it can.
flaw_of() {
    if ! runs "$1" 'import ensurepip, venv'; then
        printf '%s' "$1 cannot make virtual environments; install: apt-get install python$(version_of "$1")-venv"
    elif ! runs "$1" 'import bz2, ctypes, lzma, sqlite3, ssl, zlib'; then
        printf '%s' "$1 was built without one of bz2, ctypes, lzma, sqlite3, ssl and zlib; name another one by PYTHON="
    elif ! runs "$1" 'import sys, sysconfig as s
assert sys.implementation.name == "cpython" and sys.maxsize > 2**32 and not s.get_config_var("Py_GIL_DISABLED")'; then
        printf '%s' "$1 is not a 64-bit CPython with its global lock, so TFX has no wheels for it; name another one by PYTHON="
    fi
}

runs() { "$1" -c "$2" 2>/dev/null; }

check_compiler() {
    if older_than_2_39 && ! compiles; then
        fail "no C compiler that works, and $(c_library) needs one to repair two wheels: apt-get install gcc libc6-dev"
    fi
}

compiles() {
    local compiler
    compiler=$(command -v cc || command -v gcc) || return 1
    echo '#include <stdlib.h>' | "$compiler" -shared -fPIC -x c - -o /dev/null 2>/dev/null
}

c_library() { getconf GNU_LIBC_VERSION 2>/dev/null || true; }

older_than_2_39() { [[ $(printf '%s\n' "$(c_library)" "glibc 2.39" | sort -V | tail -n 1) != "$(c_library)" ]]; }

check_disk() {
    local free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    ((free_kb >= NEEDED_GB * 1024 * 1024)) ||
        fail "$PWD has $((free_kb / 1024 / 1024)) GB free, and $NEEDED_GB GB are needed; free some or clone elsewhere"
}

# --- Saying what happens ----------------------------------------------------------------------------------------------

say() { printf 'setup: %s\n' "$1"; }

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

# step DESCRIPTION COMMAND...: runs it with its output in the log; a failure becomes one line.
step() {
    say "$1"
    printf '\n--- %s\n' "$1" >>"$LOG"
    "${@:2}" </dev/null >>"$LOG" 2>&1 || fail "$1 failed: $(reason)"
}

# Why the last step in the log failed.
reason() {
    local output
    output=$(sed -n 'H; /^--- /h; ${g; p}' "$LOG")
    says() { grep -qiE "$1" <<<"$output"; }
    if says "no space left on device"; then
        echo "the disk is full; $NEEDED_GB GB are needed"
    elif says "do not match the hashes|hash mismatch"; then
        echo "a downloaded file is not the one that the lock file names; check your package mirror (all of it in $LOG)"
    elif says "invalid peer certificate|certificate_verify_failed"; then
        echo "the index's certificate is not trusted; name your proxy's own in SSL_CERT_FILE and PIP_CERT"
    elif says "failed to fetch|sending request|dns error|connection refused|timed out|from versions: none"; then
        echo "the package index cannot be reached; check network, PIP_INDEX_URL and UV_DEFAULT_INDEX, then try again"
    else
        echo "$(grep -v '^ *$' <<<"$output" | tail -n 1) (all of it in $LOG)"
    fi
}

main "$@"
