"""The wheel holds what an installed lmms-fast needs, and nothing that belongs to a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built file."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [path] = out.glob("*.whl")
    return path


def test_tasks_and_model_are_inside(wheel: Path) -> None:
    """Every task file, its data, the bundled model's weights, the parts of pages; no tests, no benchmarks."""
    names = set(zipfile.ZipFile(wheel).namelist())
    tasks = {f"lmms_fast/_tasks/{path.relative_to(ROOT / 'tasks')}" for path in (ROOT / "tasks").rglob("*.*")
             if "__pycache__" not in path.parts}  # fmt: skip
    pages = {f"lmms_fast/report/page/{path.name}" for path in (ROOT / "lmms_fast" / "report" / "page").iterdir()}
    assert tasks | pages <= names
    assert {"lmms_fast/report/page/report.html", "lmms_fast/report/page/style.css"} <= pages
    assert {"lmms_fast/tiny/model/model.safetensors", "lmms_fast/py.typed"} <= names
    assert {"lmms_fast/report/compare_page.html", "lmms_fast/report/compare_page.css"} <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "tasks/"))]


def test_the_core_needs_neither_torch_nor_vllm(wheel: Path) -> None:
    """`pip install lmms-fast` is for API endpoints; the heavy packages are extras."""
    with zipfile.ZipFile(wheel) as content:
        name = next(name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(content.read(name).decode())
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert core
    assert not [line for line in core if line.startswith(("torch", "vllm", "transformers"))]
    assert {"vllm", "cpu", "dev"} <= set(metadata.get_all("Provides-Extra", []))


def test_it_works_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, without the checkout, it finds its tasks."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    done = subprocess.run([sys.executable, "-m", "lmms_fast.cli.app", "tasks", "check", "smoke", "--limit", "1"],
                          cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(tmp_path)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "lmms_fast" / "_tasks") in done.stdout
