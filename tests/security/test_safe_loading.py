"""Nothing that is read can run code: no YAML loader but the safe ones, no pickle, no eval, no shell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import lmms_fast
from lmms_fast.errors import TaskError
from lmms_fast.tasks import spec
from lmms_fast.tasks.catalog import Catalog, may_run_hooks
from lmms_fast.tasks.spec import Task, load_file

ROOT = Path(lmms_fast.__file__).parents[1]
FILES = [path for folder in ("lmms_fast", "bench", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
SAFE_LOADERS = {"SafeLoader", "CSafeLoader", "_LOADER"}
RUNS_CODE = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.loads", "shelve.open",
             "joblib.load", "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all", "yaml.full_load_all",
             "yaml.load_all"}  # fmt: skip

BETWEEN_US = "lmms_fast/pipeline/link.py: pickle.loads"
"""What a run and the client processes that it started say to each other over a socket pair. Nothing of it comes from
files, servers or models as it is: an answer in it is a string of a record."""


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def _unsafe(path: Path) -> Iterator[str]:
    for name, call in _calls(path):
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        if name in ("yaml.load", "yaml.compose"):
            if options.get("Loader", "").removeprefix("yaml.") not in SAFE_LOADERS:
                yield f"{path.relative_to(ROOT)}:{call.lineno}: {name} without a safe loader"
        elif name in RUNS_CODE or options.get("shell") == "True" or options.get("weights_only") == "False":
            yield f"{path.relative_to(ROOT)}: {name}"


def test_no_file_of_ours_loads_code() -> None:
    """Package, benchmarks and tests alike, but for one place where both ends are this program."""
    assert [line for path in FILES for line in _unsafe(path)] == [BETWEEN_US]


def test_yaml_is_used_by_its_name() -> None:
    """Or the search above would not see it."""
    renamed = re.compile(r"^\s*(from yaml import|import yaml as)", re.MULTILINE)
    assert [path for path in FILES if renamed.search(path.read_text(encoding="utf-8"))] == []


def test_the_chosen_loader_is_a_safe_one() -> None:
    """The C loader, or the other where PyYAML was built without it."""
    assert spec._LOADER in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", None))


def test_a_task_file_cannot_run_code(tmp_path: Path) -> None:
    """YAML's way to make Python objects ends in a sentence, and nothing has happened."""
    (tmp_path / "t.yaml").write_text(f"task: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    with pytest.raises(TaskError, match="not valid YAML: could not determine a constructor"):
        load_file(tmp_path / "t.yaml")
    assert not (tmp_path / "made").exists()


TASK = """\
task: h
benchmark: b
about: a
source: s
licence: l
dataset: {files: h.jsonl}
prompt: {user: [{text: x}]}
target: x
score: {extract: text}
"""
GROUP = "group: g\nabout: Tasks of others.\ntasks: ['{}']\n"


def test_a_group_does_not_lead_out_of_the_named_folders(tmp_path: Path) -> None:
    """It holds names; a file elsewhere, whose hooks would run, is not for it to name."""
    (tmp_path / "g.yaml").write_text(GROUP.format("/somewhere/else.yaml"))
    with pytest.raises(TaskError, match="names of tasks, no files"):
        Catalog([tmp_path]).select(["g"])


def test_listing_and_reading_tasks_runs_no_hooks(tmp_path: Path) -> None:
    """Only rendering does: to look at what a folder holds is safe."""
    (tmp_path / "h.yaml").write_text(TASK + "hooks: hooks.py\n")
    (tmp_path / "hooks.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    catalog = Catalog([tmp_path])
    assert "h" in catalog.names()
    catalog.load("h")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["..", "", ".", "a/../hooks.py", "hooks\0.py"])
def test_no_other_spelling_of_a_folder(tmp_path: Path, name: str) -> None:
    """What is not the name of a file beside the YAML is refused when the file is read."""
    (tmp_path / "h.yaml").write_text(TASK + f"hooks: {yaml.safe_dump(name).splitlines()[0]}\n")
    with pytest.raises(TaskError, match="the YAML's own folder"):
        load_file(tmp_path / "h.yaml")


def test_a_link_to_a_trusted_task_file_is_not_trusted(tmp_path: Path) -> None:
    """The code lies beside the link, not beside what it leads to."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    (ours / "mine.yaml").write_text("")
    (theirs / "mine.yaml").symlink_to(ours / "mine.yaml")
    task = Task.model_construct(task="mine", hooks="hooks.py", file=theirs / "mine.yaml")
    assert not may_run_hooks(task, [ours])
    assert may_run_hooks(task, [theirs])
    assert may_run_hooks(task.model_copy(update={"hooks": None}), [])
