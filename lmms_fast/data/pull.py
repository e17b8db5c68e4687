"""Fetching ahead what `--data-dir` needs, for machines without a network.

Of each dataset only the files of the splits that the tasks read, from the first of its sources that has them, into
``DIR/OWNER/NAME``. A transfer that breaks off is continued; a further command fetches the files that are missing.
Pictures that rows name by address are not fetched.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmms_fast.data.copies import Copies, Part, Repository, Stored, hashed, read_record, write_record
from lmms_fast.data.layout import by_card, by_name
from lmms_fast.data.source import reason
from lmms_fast.errors import DataError
from lmms_fast.tasks.spec import HubSource, PagesPart, Task

_CARD = "README.md"


@dataclass(slots=True)
class _Wanted:
    """What is to be fetched of a repository."""

    hub: HubSource
    revision: str
    listed: dict[str, str | None]
    """Every file there, with its SHA-256 where the hub tells it (of large ones)."""
    card: str
    parts: dict[tuple[str | None, str], tuple[str, ...]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    """Files that no part names: documents that rows refer to."""

    def files(self) -> list[str]:
        return sorted({*self.others, *(file for files in self.parts.values() for file in files)})


def pull(tasks: Sequence[Task], data_dir: Path, tell: Callable[[str], None]) -> None:
    """Fetch what the tasks need. Raises DataError, StorageError; what was fetched until then is kept and recorded.

    `tell` is given a line for each step.
    """
    recorded = read_record(data_dir) or Copies()
    wanted: dict[str, _Wanted] = {}
    for task in tasks:
        if task.dataset.hub:
            _plan(task, wanted, recorded)
        else:
            tell(f"{task.task}: its data are no dataset of the hub; nothing to fetch")
    for path, one in wanted.items():
        files = one.files()
        tell(f"{path} at {one.revision[:12]}: {len(files)} files")
        last = recorded.repositories.get(path)
        stored = _fetch(one, files, data_dir / path, last.files if last and last.revision == one.revision else {})
        parts = tuple(Part(config=config, split=split, files=names) for (config, split), names in one.parts.items())
        repository = Repository(revision=one.revision, asked=one.hub.revision or "main", parts=parts, files=stored)
        recorded = Copies(repositories={**recorded.repositories, path: repository})
        write_record(data_dir, recorded)
        tell(f"{path}: {sum(file.size for file in stored.values()) / 1e6:,.1f} MB, checksums recorded")


def _plan(task: Task, wanted: dict[str, _Wanted], recorded: Copies) -> None:
    """Add what the task needs of the first of its sources that has it."""
    problems: list[str] = []
    for hub in task.dataset.hub:
        if hub.path in wanted and wanted[hub.path].hub.revision != hub.revision:
            raise DataError(f"task {task.task}: {hub.path} is wanted at two revisions; fetch them into two folders.")
        try:
            one = wanted.get(hub.path) or _listed(hub)
            parts = {key: _files_of(one, *key) for key in _needs(task, hub)}
        except Exception as error:  # the library raises a dozen kinds, from OSError to its own
            problems.append(f"{hub.path}: {error if isinstance(error, _Missing) else reason(error)}")
            continue
        if hub.path not in wanted and hub.path in recorded.repositories:
            # What earlier tasks needed moves to the same revision.
            earlier = recorded.repositories[hub.path]
            one.parts |= {(part.config, part.split): part.files for part in earlier.parts
                          if {*part.files} <= one.listed.keys()}  # fmt: skip
            one.others |= {file for file in earlier.files if file.endswith(".pdf")} & one.listed.keys()
        one.parts |= parts
        if any(isinstance(part, PagesPart) for part in task.prompt.user):
            one.others |= {file for file in one.listed if file.endswith(".pdf")}
        wanted[hub.path] = one
        return
    raise DataError(
        f"task {task.task}: dataset not available ({'; '.join(problems)}). Check the connection and, for a gated "
        f"dataset, run `hf auth login` and accept its terms at https://huggingface.co/datasets/{hub.path}."
    )


class _Missing(Exception):
    """A repository does not have what is needed."""


def _needs(task: Task, hub: HubSource) -> list[tuple[str | None, str]]:
    """Configuration and split of each part of the dataset that the task reads."""
    dataset = task.dataset
    found = [(hub.config, dataset.split)]
    if dataset.join:
        found.append((dataset.join.config, dataset.join.split))
    if dataset.shots:
        found.append((hub.config, dataset.shots.split))
    return found


def _listed(hub: HubSource) -> _Wanted:
    from huggingface_hub import HfApi, hf_hub_download  # noqa: PLC0415  (slow to import, needed only here)

    info = HfApi().dataset_info(hub.path, revision=hub.revision, files_metadata=True)
    listed = {file.rfilename: _sha256(file) for file in info.siblings or ()}
    revision = info.sha or hub.revision or "main"
    card = ""
    if _CARD in listed:
        card = Path(hf_hub_download(hub.path, _CARD, repo_type="dataset", revision=revision)).read_text("utf-8")
    return _Wanted(hub, revision, listed, card)


def _sha256(file: Any) -> str | None:
    return None if file.lfs is None else str(file.lfs["sha256"])


def _files_of(one: _Wanted, config: str | None, split: str) -> tuple[str, ...]:
    found = by_card([*one.listed], one.card, config, split)
    found = by_name([*one.listed], config, split) if found is None else found
    if not found:
        what = f"split '{split}'" if config is None else f"split '{split}' of '{config}'"
        raise _Missing(f"has no data file of {what}")
    return tuple(found)


def _fetch(one: _Wanted, files: Sequence[str], folder: Path, earlier: Mapping[str, Stored]) -> dict[str, Stored]:
    """Size and checksum of each file, once all are there. `earlier` are those of the same revision."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    right = {file: its.sha256 for file, its in earlier.items()} | {
        file: known for file in files if (known := one.listed[file]) is not None
    }
    again = "the same command goes on with the files that are missing"
    for _ in range(2):  # once more for what lay there and is not what was fetched
        try:
            snapshot_download(one.hub.path, repo_type="dataset", revision=one.revision, local_dir=folder,
                              allow_patterns=[glob.escape(file) for file in files])  # fmt: skip
            stored = {file: hashed(folder / file) for file in files}
        except Exception as error:  # as above
            raise DataError(f"{one.hub.path}: was not fetched whole ({reason(error)}); {again}.") from None
        wrong = [file for file, its in stored.items() if right.get(file, its.sha256) != its.sha256]
        if not wrong:
            return stored
        for file in wrong:
            (folder / file).unlink()
    raise DataError(f"{one.hub.path}: {wrong[0]} came with another content than the hub tells; {again}.")
