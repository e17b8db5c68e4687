"""A room imports only rooms below it; heavy packages are imported only where they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import lmms_fast

ROOT = Path(lmms_fast.__file__).parent
LEVEL = {
    "types": 0, "errors": 0, "limits": 0, "tiny": 0,
    "events": 1,
    "config": 1, "media": 1,
    "tasks": 2, "journal": 2, "metrics": 2,
    "data": 3, "endpoints": 3, "server": 3,
    "report": 4, "bridge": 4,
    "pipeline": 5, "parity": 5,
    "loggers": 6,
    "api": 7,
    "cli": 8, "testing": 8,
}  # fmt: skip


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lmms_fast."):
            found.add(node.module.split(".")[1])
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lmms_fast.")}
    return found


def test_rooms_import_only_lower_rooms() -> None:
    """The order of the rooms holds in every module."""
    wrong = []
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        # The tiny model's scripts stand outside the evaluator; the bootstrap knows nothing of it.
        if room in ("__init__", "bootstrap", "tiny"):
            continue
        wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in _imports(path) - {room}
                  if LEVEL[other] >= LEVEL[room]]  # fmt: skip
    assert wrong == []


def test_help_imports_nothing_heavy() -> None:
    """`--help` must not pay for torch, datasets, the SDK or the HTTP stack of a run."""
    code = "import sys, lmms_fast.cli.app; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["torch", "transformers", "datasets", "openai", "aiohttp", "pyarrow", "vllm", "ray"]
    said = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
