"""What the documents name is there: files, tests, and in the architecture every module."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGES = [_ROOT / "README.md", _ROOT / "CONTRIBUTING.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\[([^]]*)\]\(([^)#\s]+)")
_PATH = re.compile(r"`([-\w]+(?:/[-\w.]+)*/[-\w.]+\.(?:py|md|yaml|toml|lock|txt))`")
# Where the paths in the documents begin, besides the root of the repository.
_PACKAGES = ("operator/llmservice_operator", "server/llmservice_server")
_FOLDERS = (_ROOT, _ROOT / "tests", *(_ROOT / package for package in _PACKAGES))


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    links = [(label, target) for label, target in _LINK.findall(text) if "://" not in target]
    broken = [target for _, target in links if not (page.parent / target).exists()]
    assert not broken
    lost = [
        label
        for label, target in links
        if label.startswith("test_")
        and not label.endswith(".py")
        and f"def {label}(" not in (page.parent / target).read_text()
    ]
    assert not lost
    named = _PATH.findall(text)
    assert not [path for path in named if not any((f / path).exists() for f in _FOLDERS)]


@pytest.mark.parametrize(
    ("page", "package"),
    [
        ("docs/architecture.md", "operator/llmservice_operator"),
        ("docs/server.md", "server/llmservice_server"),
    ],
)
def test_the_architecture_names_every_module(page: str, package: str) -> None:
    text = (_ROOT / page).read_text()
    modules = {f"{p.name}/" if p.is_dir() else p.name for p in (_ROOT / package).iterdir()}
    unnamed = {name for name in modules if f"`{name}`" not in text} - {
        "__init__.py",
        "__pycache__/",
        "py.typed",
    }
    assert not unnamed, "where is a reader to look for it? See its last table"
