"""Which files of a dataset's repository hold a split of a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from lmms_fast.tasks.spec import FORMATS

# Names that the `datasets` library takes for each other.
_ALIASES = (("train", "training"), ("validation", "valid", "val", "dev"), ("test", "testing", "eval", "evaluation"))


def by_name(files: Sequence[str], config: str | None, split: str) -> list[str]:
    """Data files (paths in the repository) whose name begins with the split's, or that are in a folder called so; of
    the configuration's folder, where there is one.
    """
    data = [file for file in files if file.endswith(FORMATS)]
    # The dataset DocVQA has a configuration DocVQA, and another one.
    data = [file for file in data if config in PurePosixPath(file).parts] or data
    aliases = next((names for names in _ALIASES if split in names), ())
    for name in (split, *aliases):
        named = re.compile(rf"{re.escape(name)}([-_.]|$)")
        found = [file for file in data if named.match(PurePosixPath(file).name)]
        found = found or [file for file in data if name in PurePosixPath(file).parts[:-1]]
        if found:
            return sorted(found)
    # A file for each configuration, as GPQA has it.
    return [file for file in data if PurePosixPath(file).with_suffix("").as_posix() == config]


def by_card(files: Sequence[str], card: str, config: str | None, split: str) -> list[str] | None:
    """As the dataset card (README.md) says; None where it says nothing of that configuration."""
    chosen = _entry(_configs(card), config)
    if chosen is None:
        return None
    below = str(chosen.get("data_dir") or "").strip("/")
    patterns = _patterns(chosen.get("data_files"), split)
    if patterns is None:
        inside = [file for file in files if not below or file.startswith(f"{below}/")]
        return by_name(inside, None, split) if below else None
    wanted = [_regex(f"{below}/{pattern}" if below else pattern) for pattern in patterns]
    return sorted(file for file in files if any(one.fullmatch(file) for one in wanted))


def _configs(card: str) -> Sequence[Mapping[str, Any]]:
    if not card.startswith("---"):
        return ()
    try:
        front = yaml.safe_load(card[3:].partition("\n---")[0])
    except yaml.YAMLError:
        return ()
    configs = front.get("configs") if isinstance(front, dict) else None
    return [one for one in configs if isinstance(one, dict)] if isinstance(configs, list) else ()


def _entry(configs: Sequence[Mapping[str, Any]], config: str | None) -> Mapping[str, Any] | None:
    if config is None and len(configs) == 1:
        return configs[0]
    for one in configs:
        if str(one.get("config_name")) == (config or "default") or (config is None and one.get("default") is True):
            return one
    return None


def _patterns(data_files: Any, split: str) -> list[str] | None:
    """Those of the split; None where the card leaves it to names."""
    if data_files is None:
        return None
    if isinstance(data_files, dict):
        data_files = [{"split": name, "path": path} for name, path in data_files.items()]
    entries = data_files if isinstance(data_files, list) else [data_files]
    found: list[str] = []
    for one in entries:
        named = one if isinstance(one, dict) else {"split": "train", "path": one}
        if named.get("split") == split:
            path = named.get("path")
            found += [str(item) for item in path] if isinstance(path, list) else [str(path)]
    return found


def _regex(pattern: str) -> re.Pattern[str]:
    """`*` within a folder, `**` across folders."""
    pieces = re.split(r"(\*\*/?|\*|\?)", pattern.removeprefix("./"))
    meant = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meant.get(piece, re.escape(piece)) for piece in pieces))
