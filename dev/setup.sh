# sh dev/setup.sh STAMP SOURCE...
#
# Makes .venv from requirements.lock (every package pinned by hash) and installs the three packages
# of this repository into it, editable; STAMP is then newer than every SOURCE. Installs nothing
# outside .venv but, as root on Debian, the packages that this and `go build` need.
set -eu
exec >&2  # standard output belongs to the target: eval "$(make -s env)"
python=${PYTHON:-python3}
stamp=$1
shift

# one at a time; the other one may have done it all
exec 9<dev/setup.sh
if command -v flock >/dev/null; then flock 9; fi
if [ -e "$stamp" ] && [ -z "$(find "$@" -newer "$stamp")" ]; then exit; fi

missing=
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="python3 python3-venv"
[ -e "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" ] || missing="$missing ca-certificates"
if [ -n "$missing" ] && command -v apt-get >/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "setup: packages are missing: sudo apt-get install $missing"
        exit 1
    fi
    echo "setup: installing Debian's $missing"
    apt-get -o DPkg::Lock::Timeout=300 update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
        --no-install-recommends $missing
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: needs Python 3.11 or later; name one: make setup PYTHON=python3.12"
    exit 1
}

started=$(date +%s)
[ -x .venv/bin/pip ] || "$python" -m venv .venv
# uv installs the rest; its own pin is in the same lock.
awk '/^uv==/ {own = 1} own {print} own && !/\\$/ {exit}' requirements.lock > .venv/uv.txt
.venv/bin/pip install --quiet --no-deps --require-hashes -r .venv/uv.txt
# Compiled once: the operator, as the tests start it, would spend half of its start with it each time.
.venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e server -e operator -e cluster
touch "$stamp"
echo "setup: .venv is ready ($(($(date +%s) - started)) s)"
