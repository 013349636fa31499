import subprocess
from pathlib import Path

import pytest
from devcluster import debian
from devcluster.waiting import ClusterError

from tests.unit.devcluster import programs

# asks, as a package's own scripts do, whether services may start; keeps the policy, as a kill would
_APT = """sh "{policy}"; echo $? > "{answer}"
cp "{policy}" "{kept}"
printf '#!/bin/sh\n' > "{bin}/some-program"; chmod +x "{bin}/some-program" """


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(debian, "_POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return tmp_path / "policy-rc.d"


def test_no_service_starts_during_an_installation_and_any_may_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Path
) -> None:
    answer, kept, folder = tmp_path / "answer", tmp_path / "kept", tmp_path / "bin"
    apt = _APT.format(policy=policy, answer=answer, kept=kept, bin=folder)
    programs.put(folder, monkeypatch, "apt-get", apt)

    debian.ensure_program("some-program", "some-package")

    assert answer.read_text() == "101\n"
    assert not policy.exists()
    assert subprocess.run(["sh", kept], check=False).returncode == 0

    kept.rename(policy)
    debian.forget()
    assert not policy.exists()


def test_the_machines_own_policy_is_left_alone(policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 101\n")
    debian.forget()
    assert policy.exists()


def test_without_apt_the_package_is_named_but_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"install what Debian calls some-package$"):
        debian.ensure_program("some-program", "some-package")
