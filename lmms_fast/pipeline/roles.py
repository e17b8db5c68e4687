"""Who is asked in which role: the model that is evaluated, its judge, and a second judge that looks over the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lmms_fast.config.spec import RunSpec
from lmms_fast.endpoints.presets import LOCAL, Profile, resolve
from lmms_fast.endpoints.probe import connect_all
from lmms_fast.errors import EndpointError
from lmms_fast.pipeline.servers import local_profile
from lmms_fast.server.fleet import Fleet
from lmms_fast.server.spec import ServerSpec
from lmms_fast.tiny import MODEL_DIR

Role = Literal["model", "judge", "audit"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which model is asked, and at which servers."""

    role: Role
    model: str
    """What people call it."""
    named: str | None
    """What endpoints other than ours are asked for; None: the only one that each serves."""
    profiles: Sequence[Profile]
    key_env: str | None
    concurrency: int | Literal["auto"]
    served: tuple[ServerSpec, ...] = ()
    """What vLLMs of ours are to serve; empty: no endpoint is ours."""

    @property
    def servers(self) -> int:
        """How many there are to be."""
        return sum(profile.name != LOCAL for profile in self.profiles) + len(self.served)

    def same_as(self, other: Asked) -> bool:
        """Whether the same servers are asked for the same model."""
        return self.model == other.model and _names(self) == _names(other)


def _names(asked: Asked) -> set[str]:
    return {profile.name for profile in asked.profiles}


async def candidate(spec: RunSpec, fleet: Fleet) -> Asked:
    """The model that is evaluated. Raises UsageError, EndpointError, ServerError."""
    profiles = _profiles(spec.endpoint)
    ours = LOCAL in spec.endpoint
    model = spec.model or (str(MODEL_DIR) if ours else await _only_model(profiles, spec.api_key_env, "--model"))
    served: tuple[ServerSpec, ...] = ()
    if ours:
        one = ServerSpec(model, spec.tp, spec.pp, spec.max_model_len, spec.gpu_memory_utilization, spec.server_args)
        served = fleet.replicas(one, spec.dp)
    return Asked("model", _called(model), spec.model if ours else model, profiles, spec.api_key_env, spec.concurrency,
                 served)  # fmt: skip


async def judges(spec: RunSpec, model: Asked, fleet: Fleet) -> list[Asked]:
    """The judge, and the second one, as far as they are named. Raises UsageError, EndpointError."""
    if spec.judge is None and not spec.judge_endpoint:
        return []
    first = await _judge("judge", spec.judge, spec.judge_endpoint, spec, model, fleet)
    if spec.audit_judge is None:
        return [first]
    at = spec.audit_endpoint or spec.judge_endpoint
    return [first, await _judge("audit", spec.audit_judge, at, spec, model, fleet)]


async def _judge(
    role: Role, named: str | None, endpoints: Sequence[str], spec: RunSpec, model: Asked, fleet: Fleet
) -> Asked:
    """At the endpoints of the model that is evaluated where none are named; that model itself where it has no name."""
    profiles = _profiles(endpoints) if endpoints else model.profiles
    ours = any(profile.name == LOCAL for profile in profiles)
    at_the_models = {profile.name for profile in profiles} <= _names(model)
    key_env = spec.judge_api_key_env or (spec.api_key_env if at_the_models else None)
    if not ours:
        named = await _only_model(profiles, key_env, f"--{_FLAG[role]}", named)
    path = named or (model.served[0].model if model.served else str(MODEL_DIR))
    asked = Asked(role, _called(path), named, profiles, key_env, spec.judge_concurrency)
    if asked.same_as(model):
        return replace(asked, served=model.served)
    return replace(asked, served=fleet.replicas(ServerSpec(path, spec.judge_tp), 1)) if ours else asked


def _profiles(endpoints: Sequence[str]) -> list[Profile]:
    return [local_profile() if name == LOCAL else resolve(name) for name in endpoints]


def _called(model: str) -> str:
    return "lmms-fast-tiny" if Path(model) == MODEL_DIR else model


_FLAG: dict[Role, str] = {"model": "model", "judge": "judge", "audit": "audit-judge"}


async def _only_model(profiles: Sequence[Profile], key_env: str | None, flag: str, named: str | None = None) -> str:
    """The model that all endpoints that answer serve, or which is named and they serve. Raises EndpointError when there
    is none, or more than one."""
    reached, missing = await connect_all(profiles, named, key_env)
    if not reached:
        raise missing[0][1]
    found = {one.name: one.model for one in reached}
    if len(set(found.values())) > 1:
        served = ", ".join(f"{name} serves {model}" for name, model in found.items())
        raise EndpointError(f"The endpoints of a run must serve one model, but {served}; choose with {flag}.")
    return next(iter(found.values()))
