"""`--wandb`, `--mlflow` and `--tensorboard`, read and checked before anything is asked."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lmms_fast.config.spec import RunSpec
from lmms_fast.errors import UsageError

Name = Literal["wandb", "mlflow", "tensorboard"]
SAMPLES = 200
"""Of each task that a tracker is shown, where nothing else is said; failures come first."""
PATIENCE_S = 120.0
"""How long a tracker may take to store the results, where nothing else is said."""
_LIBRARY: Mapping[Name, str] = {"wandb": "wandb", "mlflow": "mlflow", "tensorboard": "tensorboardX"}
_ALLOWED: Mapping[Name, tuple[str, ...]] = {
    "wandb": ("project", "entity", "name", "group", "tags", "mode", "dir", "samples", "timeout"),
    "mlflow": ("tracking_uri", "experiment", "name", "tags", "samples", "timeout"),
    "tensorboard": ("dir", "samples", "timeout"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """One tracker, as asked for."""

    tracker: Name
    options: Mapping[str, str] = field(default_factory=dict)
    samples: int = SAMPLES
    timeout_s: float = PATIENCE_S

    @property
    def tags(self) -> list[str]:
        """`tags=a+b`."""
        return [tag for tag in self.options.get("tags", "").split("+") if tag]


def settings_of(spec: RunSpec) -> list[Settings]:
    """Those a run asks for. Raises UsageError for options that are none, and for a library that is not installed."""
    asked: dict[Name, str | None] = {"wandb": spec.wandb, "mlflow": spec.mlflow, "tensorboard": spec.tensorboard}
    found = [_read(name, text) for name, text in asked.items() if text is not None]
    for one in found:
        library = importlib.util.find_spec(_LIBRARY[one.tracker])
        if library is None or library.origin is None:  # a folder of that name, such as wandb's own, is no library
            raise UsageError(f"--{one.tracker}: {_LIBRARY[one.tracker]} is not installed; "
                             f"`pip install 'lmms-fast[{one.tracker}]'`.")  # fmt: skip
    return found


def _read(name: Name, text: str) -> Settings:
    options: dict[str, str] = {}
    for item in text.split(","):
        key, sign, value = item.partition("=")
        if name == "tensorboard" and not sign and not options:
            key, value = "dir", item  # --tensorboard DIR
        if key.strip() not in _ALLOWED[name] or not value.strip():
            raise UsageError(f"--{name} {text}: '{item}' is not understood; write KEY=VALUE[,KEY=VALUE…] with "
                             f"{', '.join(_ALLOWED[name])}.")  # fmt: skip
        options[key.strip()] = value.strip()
    if name == "wandb" and "project" not in options:
        raise UsageError("--wandb: name the project: --wandb project=NAME.")
    if "@" in options.get("tracking_uri", ""):
        raise UsageError("--mlflow: names and passwords do not belong into an address that is kept; give them as "
                         "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole as MLFLOW_TRACKING_URI.")
    if options.get("mode", "online") not in ("online", "offline", "disabled"):
        raise UsageError(f"--wandb {text}: mode is online, offline or disabled.")
    return Settings(name, options, int(_number(name, options, "samples", SAMPLES)),
                    _number(name, options, "timeout", PATIENCE_S))  # fmt: skip


def _number(name: Name, options: dict[str, str], key: str, default: float) -> float:
    value = options.pop(key, str(int(default)))
    if not (value.isascii() and value.isdigit() and len(value) < 8):
        raise UsageError(f"--{name}: {key} is a whole number, and not '{value}'.")
    return float(value)
