"""The lines of the README's API table, run with curl against a server."""

import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

_README = Path(__file__).parents[1] / "README.md"
_CURL = "curl --silent --show-error --fail-with-body --max-time 120 --noproxy '*'"


@dataclass(frozen=True)
class Line:
    """A command, and words that stand in its answer."""

    command: str
    words: tuple[str, ...]

    @property
    def path(self) -> str:
        return re.findall(r"\$URL(/[^\s?\"]*)", self.command)[0]

    def naming(self, model: str) -> "Line":
        """The same, with a model in what is sent."""
        return replace(self, command=self.command.replace("{", f'{{"model": "{model}", ', 1))

    def run(self, url: str) -> str:
        """The answer, which must be one; the URL is the server's, without a slash at its end."""
        done = subprocess.run(
            ["sh", "-c", _CURL + self.command.removeprefix("curl")],
            env={"URL": url, "PATH": "/usr/local/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, f"{self.command}\n{done.stderr}{done.stdout}"
        return done.stdout


def lines() -> list[Line]:
    """All of them; where a row has several, the words are of the last one."""
    table = _README.read_text().partition("## The API\n")[2].partition("\n## ")[0]
    found = list[Line]()
    for row in re.findall(r"^\|(.+)\|$", table, re.MULTILINE):
        *_, commands, words = row.split("|")
        *others, last = re.findall(r"`(curl [^`]+)`", commands) or [None]
        found += [Line(command, ()) for command in others]
        if last:
            found.append(Line(last, tuple(re.findall(r"`([^`]+)`", words))))
    return found
