"""The layout of the repository itself."""

import ast
import graphlib
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_import_platform_from_the_root_is_the_standard_library():
    code = "import platform, favchat; print(platform.__file__); print(favchat.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    platform_file, favchat_file = done.stdout.split()
    assert Path(platform_file).parent == Path(sysconfig.get_path("stdlib"))
    assert Path(favchat_file) == ROOT / "platform" / "favchat" / "__init__.py"


def test_platform_folder_is_no_package():
    assert not (ROOT / "platform" / "__init__.py").exists()


PACKAGES = ["errors", "plugins", "io", "labels", "config", "runtime", "backbones", "tracking", "video"]
PACKAGES += ["face_scores", "data", "model", "hub", "training", "evaluation"]
"""The packages of favchat: each may import those before it."""
TOP = {"favchat": set(), "jobs": {"favchat", "serve", "tune", "ui"}, "tune": {"favchat"}, "serve": {"favchat"}}
TOP["ui"] = {"favchat", "serve"}
"""What the top folders may import; `jobs` is the front door, which nothing imports."""


def sources():
    """Module name -> its file, of everything that is installed."""
    folders = {"favchat": ROOT / "platform", "jobs": ROOT, "tune": ROOT, "serve": ROOT, "ui": ROOT}
    files = [(file, root) for name, root in folders.items() for file in (root / name).rglob("*.py")]
    names = {".".join(file.relative_to(root).with_suffix("").parts): file for file, root in files}
    return {name.removesuffix(".__init__"): file for name, file in names.items()}


def imported(name, file, modules):
    """The modules of the project that one imports anywhere, also inside functions, but not for type checks alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    skipped = {id(part) for node in typing_only for part in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in modules else node.module for one in whole}
    return found & modules.keys() - {name}


def imports():
    modules = sources()
    return {name: imported(name, file, modules) for name, file in modules.items()}


def test_no_module_imports_itself_over_others():
    # A package's own file imports what it offers, and its modules are reached through it: that is no circle.
    packages = {name for name, file in sources().items() if file.name == "__init__.py"}
    graph = {name: {one for one in them if one not in packages} for name, them in imports().items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_packages_import_only_what_lies_below_them():
    wrong = []
    for name, them in imports().items():
        top, _, rest = name.partition(".")
        for one in them:
            other, _, below = one.partition(".")
            if other != top and other not in TOP[top]:
                wrong.append(f"{name} imports {one}")
            if top == other == "favchat" and rest and below:
                mine, its = PACKAGES.index(rest.split(".")[0]), PACKAGES.index(below.split(".")[0])
                if its > mine:
                    wrong.append(f"{name} imports {one}")
    assert not wrong


def test_every_module_of_the_library_lies_in_a_package_of_the_list():
    rooms = {name.split(".")[1] for name in sources() if name.startswith("favchat.")}
    assert rooms == set(PACKAGES)


def test_links_between_the_docs_lead_somewhere():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))]
    local = [(page, link) for page, link in links if "://" not in link]
    assert local
    assert not [f"{page.name}: {link}" for page, link in local if not (page.parent / link).exists()]


def test_prose_of_the_docs_has_lines_of_at_most_120_characters():
    long, code = [], False
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            code ^= line.startswith("```")
            if len(line) > 120 and not code and not line.startswith(("|", "![", "    ")):
                long.append(f"{page.name}:{number}")
    assert not long


def test_tests_that_the_docs_name_exist():
    lost = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for file, name in re.findall(r"(?<![\w/.])(tests/[\w/]+\.py)(?:::(test_\w+))?", text):
            code = (ROOT / file).read_text() if (ROOT / file).is_file() else None
            if code is None or (name and f"def {name}(" not in code):
                lost.append(f"{page.name}: {file}::{name}")
    assert not lost
