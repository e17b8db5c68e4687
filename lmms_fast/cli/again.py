"""What `resume` takes from a run directory. Somebody else may have made it, so it names no code to run, no cluster to
run on and no key to send: those are for the command line."""

from __future__ import annotations

import ipaddress
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from lmms_fast.config.spec import RunSpec, make_spec
from lmms_fast.endpoints.presets import LOCAL, PRESETS, Profile, resolve
from lmms_fast.errors import UsageError
from lmms_fast.journal.rundir import read_json, recorded_spec
from lmms_fast.tasks.catalog import Catalog, may_run_hooks

_JUDGES_OWN = ("judge", "judge_endpoint", "judge_concurrency", "judge_api_key_env", "judge_gen", "judge_tp",
               "judge_cache", "judge_audit", "audit_judge", "audit_endpoint")  # fmt: skip
TRACKERS = ("wandb", "mlflow", "tensorboard")
"""A directory names nobody to send results to, and no folder to write."""


def spec_again(
    run: Path, include_path: Sequence[Path], api_key_env: str | None, server_args: Sequence[str],
    judge_api_key_env: str | None = None, trackers: Mapping[str, str | None] | None = None,
    ray_address: str | None = None,
) -> RunSpec:  # fmt: skip
    """The spec of the run's last session, with what was given now. Raises UsageError where more must be given."""
    recorded = make_spec(recorded_spec(run, read_json(run / "manifest.json")))
    if recorded.ray_address and ray_address is None:
        _refuse(f"{run}: vLLM ran on a Ray cluster; if you trust it, give its address again: --ray-address "
                f"{shlex.quote(recorded.ray_address)}")  # fmt: skip
    spec = make_spec({
        **recorded.model_dump(), "include_path": (*include_path, *recorded.include_path), "api_key_env": api_key_env,
        "judge_api_key_env": judge_api_key_env, "server_args": tuple(server_args), "output_dir": run, "fresh": False,
        "ray_address": ray_address, **dict.fromkeys(TRACKERS), **(trackers or {}),
    })  # fmt: skip
    _check_hooks(spec, include_path)
    if recorded.server_args and not server_args and LOCAL in spec.endpoint:
        _refuse(f"{run}: vLLM's flags can run code, so give them again: -- {shlex.join(recorded.server_args)}")
    if api_key_env is None:
        _check_keys(spec.endpoint, recorded.api_key_env, "--api-key-env")
    if judge_api_key_env is None:
        judges = (*spec.judge_endpoint, *spec.audit_endpoint)
        _check_keys(judges, recorded.judge_api_key_env, "--judge-api-key-env")
    return spec


def judge_spec(run: Path, recorded: Mapping[str, Any], flags: Mapping[str, Any]) -> RunSpec:
    """The spec of the run's last session with the judge that is named now, and no other. Raises UsageError."""
    own = (*_JUDGES_OWN, *TRACKERS, "output_format")
    fresh = {name: one.get_default() for name, one in RunSpec.model_fields.items() if name in own}
    spec = make_spec({**recorded, **fresh, "api_key_env": None, "budget": None, "max_time": None,
                      "ray_address": None, **flags, "output_dir": run, "fresh": False})  # fmt: skip
    if (spec.judge or spec.audit_judge) and not spec.judge_endpoint:
        raise UsageError("--judge: name the server, too: --judge-endpoint local, a URL or a preset.")
    return spec


def _check_hooks(spec: RunSpec, named: Sequence[Path]) -> None:
    for task in Catalog(spec.include_path).select(spec.tasks).tasks:
        if not may_run_hooks(task, named):
            _refuse(f"{task.file}: its hooks ({task.hooks}) would run; if you trust that folder, add --include-path "
                    f"{shlex.quote(str(task.file.parent))}")  # fmt: skip


def _check_keys(endpoints: Sequence[str], recorded: str | None, flag: str) -> None:
    """A preset's key goes to the preset. Whose a recorded address is, and what a recorded variable holds, is not known.
    """
    for profile in [resolve(name) for name in endpoints if name != LOCAL]:
        own = profile.name in PRESETS or _on_this_machine(profile)
        names = [name for name in ([] if own else profile.key_env) if os.environ.get(name, "").strip()]
        if recorded or names:
            name = shlex.quote(recorded or names[0])
            _refuse(f"{profile.base_url} would be sent the key in {name}; if it is to have it, add {flag} {name}"
                    f"{'' if recorded else f', else unset {name}'}")  # fmt: skip


def _on_this_machine(profile: Profile) -> bool:
    host = urlsplit(profile.base_url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse(sentence: str) -> NoReturn:
    """Names out of the directory are shown without what a terminal would take for a command."""
    raise UsageError("".join(letter if letter.isprintable() else "?" for letter in sentence) + ".")
