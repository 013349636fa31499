# Makes .venv from requirements.lock (every package pinned by hash) and installs the three packages
# of this repository into it, editable. Installs nothing outside .venv but, as root on Debian,
# the package that `python3 -m venv` needs.
set -eu
exec >&2  # standard output belongs to the target: eval "$(make -s env)"
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: needs Python 3.11 or later; name one: make setup PYTHON=python3.12" >&2
    exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing Debian's python3-venv"
        apt-get -o DPkg::Lock::Timeout=300 update -qq
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
            --no-install-recommends python3-venv
    else
        echo "setup: Python's venv is missing; on Debian: sudo apt-get install python3-venv" >&2
        exit 1
    fi
fi

started=$(date +%s)
[ -x .venv/bin/pip ] || "$python" -m venv .venv
# uv installs the rest; its own pin is in the same lock.
awk '/^uv==/ {own = 1} own {print} own && !/\\$/ {exit}' requirements.lock > .venv/uv.txt
.venv/bin/pip install --quiet --no-deps --require-hashes -r .venv/uv.txt
.venv/bin/uv pip sync --quiet --require-hashes requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e server -e operator -e cluster
echo "setup: .venv is ready ($(($(date +%s) - started)) s)"
