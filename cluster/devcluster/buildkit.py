"""Builds Dockerfiles with BuildKit, without a Docker daemon and without a registry.

Promises: the daemon runs while a `BuildKit` is open and not longer, not even when the process is
killed, and so do its mounts and what it runs; its state and all that it makes lie below the cache.
Never listens on a network.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devcluster import base, buildsecrets, cgroups, debian, imagestore, oci, tools
from devcluster.build import Build
from devcluster.layout import Layout
from devcluster.waiting import ClusterError, wait_until

_BUILD_SECONDS = 3600.0
_PROGRESS_SECONDS = 30.0
# MB of layers: kept whatever happens, left free on the disk, kept at most
_KEPT = "8000,2000,12000"
# zstd's fastest level halves what is written and is quicker than writing it uncompressed
_COMPRESSION = "compression=zstd,compression-level=1,force-compression=true"


@dataclass(frozen=True)
class BuildKit:
    """An open BuildKit; several threads may build with one."""

    buildctl: Path
    address: str

    def image(self, build: Build, repository: str) -> str:
        """Build it as `repository` and return its tag, which names its content.

        The repository's older image is forgotten. ClusterError with the log's end on failure.
        """
        place = imagestore.layout_of(repository)
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=imagestore.scratch()) as private:
            said = Path(private) / "metadata.json"
            output = f"type=oci,dest={place},tar=false,{_COMPRESSION}"
            self._run(build, repository, ["--output", output, "--metadata-file", str(said)])
            descriptor = json.loads(said.read_bytes())["containerimage.descriptor"]
        image = oci.adopt(place, descriptor)
        oci.prune(image)
        return imagestore.tag_of(repository, image)

    def files(self, build: Build, name: str, destination: Path) -> None:
        """Build it and write its last stage's files into the folder `destination`."""
        self._run(build, name, ["--output", f"type=local,dest={destination}"])

    def base(self) -> str:
        """See Builder. Made here from Debian's packages where no registry is reached."""
        return base.reference(self, self._reaches)

    def _reaches(self, image: str, seconds: float) -> bool:
        """Whether this image of a registry can be had."""
        with tempfile.TemporaryDirectory(dir=imagestore.scratch()) as empty:
            (Path(empty) / "Dockerfile").write_text(f"FROM {image}\n")
            command = self.command(Build(Path(empty), Path(empty) / "Dockerfile"))
            try:
                done = subprocess.run(command, capture_output=True, check=False, timeout=seconds)
            except subprocess.TimeoutExpired:
                return False
        return done.returncode == 0

    def command(self, build: Build) -> list[str]:
        """The words of a build that writes its result nowhere."""
        options = {"filename": build.dockerfile.name, "target": build.target}
        options |= {f"build-arg:{name}": value for name, value in build.args.items()}
        layouts: list[str] = []
        for name, value in build.args.items():
            if image := imagestore.find(value):
                options[f"context:{value}"] = f"oci-layout://{name.lower()}@{image.manifest}"
                layouts.append(f"--oci-layout={name.lower()}={image.layout}")
        return [
            *(str(self.buildctl), "--addr", self.address, "build", "--progress=plain"),
            *("--frontend=dockerfile.v0", f"--local=context={build.context}"),
            *(f"--local=dockerfile={build.dockerfile.parent}", *layouts),
            *(f"--opt={name}={value}" for name, value in options.items() if value),
        ]

    def _run(self, build: Build, name: str, output: Sequence[str]) -> None:
        log = imagestore.folder() / "logs" / f"{name.replace('/', '-')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with buildsecrets.files() as given, log.open("w") as sink:
            command = [*self.command(build), *output]
            command += [f"--secret=id={id_},src={path}" for id_, path in given.items()]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
            try:
                _follow(process, name, log)
            finally:
                process.kill()
                process.wait()
        if process.returncode:
            raise ClusterError(f"building {name} failed; the end of {log}:\n{_tail(log, 30)}")


@contextmanager
def daemon() -> Generator[BuildKit]:
    """BuildKit, started for the time of the block. Open one at a time: it locks its state."""
    programs = tools.ensure("buildkitd", "buildctl")
    debian.ensure_program("runc", "runc")
    scratch, log = imagestore.scratch(), imagestore.folder() / "buildkitd.log"
    with _control_group() as group, log.open("w") as sink:
        config = scratch / "buildkitd.toml"
        config.write_text(f'[worker.oci]\ndefaultCgroupParent = "{group}"\n')
        builder = BuildKit(programs["buildctl"], f"unix://{scratch}/buildkit.sock")
        process = subprocess.Popen(
            [
                # killed with this process, and with it the namespaces and all that is in them
                *("setpriv", "--pdeathsig=KILL", "--", "unshare", "--mount", "--pid"),
                *("--fork", "--kill-child", "--mount-proc", "--", str(programs["buildkitd"])),
                *(f"--config={config}", f"--addr={builder.address}"),
                f"--root={imagestore.folder() / 'buildkit'}",
                *("--oci-worker=true", "--containerd-worker=false", "--oci-worker-net=host"),
                f"--oci-worker-gc-keepstorage={_KEPT}",
            ],
            env={**os.environ, "PATH": debian.path(), "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
        try:
            wait_until("starting buildkitd", lambda: _answers(builder, process, log), 60)
            yield builder
        finally:
            _end(process)


@contextmanager
def _control_group() -> Generator[str]:
    """The name of buildkitd's control group; it does not stay, of a killed one neither."""
    identity = Layout(imagestore.folder()).id
    cgroups.remove(identity)
    try:
        yield cgroups.name(identity)
    finally:
        cgroups.remove(identity)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the daemon in its namespace; `unshare`, its parent, ends with it and takes no TERM."""
    with suppress(OSError):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        for pid in map(int, children.split()):
            os.kill(pid, signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(builder: BuildKit, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise ClusterError(f"buildkitd ended; the end of {log}:\n{_tail(log, 10)}")
    command = [builder.buildctl, "--addr", builder.address, "debug", "workers"]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def _follow(process: subprocess.Popen[bytes], name: str, log: Path) -> None:
    """Wait for a build, with a line now and then; ClusterError when it takes too long."""
    begun = time.monotonic()
    while time.monotonic() - begun < _BUILD_SECONDS:
        try:
            process.wait(timeout=_PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            seconds = time.monotonic() - begun
            print(f"  still building {name} … {seconds:.0f} s: {_tail(log, 1)[:100]}", flush=True)
        else:
            return
    raise ClusterError(f"building {name}: not within {_BUILD_SECONDS:.0f} s, see {log}")


def _tail(log: Path, lines: int) -> str:
    text = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(text[-lines:])
