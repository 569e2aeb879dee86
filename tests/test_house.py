"""The house: what lies where, and who may know of whom."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from importlinter import cli as linter

import sloth_bayes as sb

PACKAGE = Path(sb.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> list[ast.Import | ast.ImportFrom]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]


def test_imports_go_down_and_nothing_goes_round(monkeypatch):
    """Those inside functions and for types included: see [tool.importlinter]."""
    monkeypatch.chdir(PACKAGE.parent)
    assert linter.lint_imports() == 0, "run lint-imports to see which"


def test_underscore_names_stay_where_they_are():
    for path in SOURCES:
        for node in _imports(path):
            if isinstance(node, ast.ImportFrom):
                private = [a.name for a in node.names if a.name.startswith("_")]
                private += [p for p in (node.module or "").split(".") if p.startswith("_")]
                wrong = set(private) - {"__future__", "__version__"}
                assert not wrong, f"{path.relative_to(PACKAGE)}:{node.lineno} imports {wrong}"


def test_only_the_root_imports_by_name_and_nothing_imports_the_root():
    for path in SOURCES:
        if path.parent == PACKAGE and path.name in ("__init__.py", "__main__.py"):
            continue
        text = path.read_text(encoding="utf-8")
        assert "import_module" not in text, path
        assert "__import__" not in text, path
        up = len(path.relative_to(PACKAGE).parts)
        for node in _imports(path):
            root = isinstance(node, ast.ImportFrom) and node.level == up and not node.module
            assert not root, f"{path.relative_to(PACKAGE)}:{node.lineno} imports the root"


def test_nothing_imports_the_arviz_umbrella():
    for path in SOURCES:
        for node in _imports(path):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.split(".")[0] == "arviz" for n in names), path.name


def test_public_names_are_those_of_the_stub():
    for name in sb.__all__:
        assert getattr(sb, name) is not None
    typed = (PACKAGE.parent / "tests" / "typed_use.py").read_text(encoding="utf-8")
    assert [name for name in sb.__all__ if f"sb.{name}" not in typed] == []
    with pytest.raises(AttributeError, match="no attribute 'Slot'"):
        _ = sb.Slot


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("planning", "required_size"), ("allocation", "optimal_allocation"),
        ("choices", "compare"), ("forecast", "forecast"), ("conditioning", "condition"),
        ("inference", "fit"), ("downstream", "downstream"), ("passk", "pass_at_k"),
        ("tracking", "track"), ("diagnostics", "diagnose"), ("recipes", "load"),
        ("leaderboard", "load_dataset"), ("spec", "Priors"),
    ],
)  # fmt: skip
def test_module_paths_that_docs_named_work_with_a_warning(old, name):
    with pytest.warns(DeprecationWarning, match=rf"sloth_bayes\.{old} is now sloth_bayes\."):
        module = getattr(sb, old)
    assert callable(getattr(module, name))


def test_the_version_is_said_once_and_cited():
    about = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert about["project"]["dynamic"] == ["version"]
    cited = (PACKAGE.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sb.__version__}\n" in cited
    changes = (PACKAGE.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changes.split("\n## ")[1].startswith(sb.__version__)


def test_registries_are_where_docs_say():
    from sloth_bayes import law

    assert {"logistic", "richards"} <= set(law.LINKS)
    assert {"proportional", "constant"} <= set(law.NOISE)
