"""What a build needs to reach package indexes from this machine and no image may keep.

Promises: it goes to builds as secret files, which exist for the time of a build step only and count
for no layer; this module's own files are readable by their owner alone and gone after the block,
or, where the process was killed in it, before the next build.
"""

import os
import shlex
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devcluster import imagestore

# the paths where Dockerfiles see the secrets `ca` and `env`
_CA = "/run/secrets/ca"
_CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")
_PASSED = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "NPM_CONFIG_REGISTRY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


@contextmanager
def files(environment: Mapping[str, str] = os.environ) -> Generator[dict[str, Path]]:
    """The secrets by id: `ca`, a bundle of authorities, and `env`, a shell file of exports.

    Empty on a machine that needs neither.
    """
    bundle = next((environment[name] for name in _CA_VARIABLES if environment.get(name)), None)
    text = exports(environment, has_ca=bundle is not None)
    with tempfile.TemporaryDirectory(dir=imagestore.scratch()) as private:
        given: dict[str, Path] = {}
        if bundle is not None:
            given["ca"] = Path(bundle)
        if text:
            given["env"] = Path(private) / "env"
            given["env"].write_text(text)
        yield given


def exports(environment: Mapping[str, str], *, has_ca: bool) -> str:
    """A shell file for pip, uv and npm inside a build; uv gets pip's index unless it has one."""
    passed = {name: environment[name] for name in _PASSED if environment.get(name)}
    if "PIP_INDEX_URL" in passed:
        passed.setdefault("UV_DEFAULT_INDEX", passed["PIP_INDEX_URL"])
    if has_ca:
        passed |= dict.fromkeys(_CA_VARIABLES, _CA)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in passed.items())
