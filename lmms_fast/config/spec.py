"""`RunSpec`: one field per flag of `eval`; also the keys of a `--config` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lmms_fast.errors import UsageError

_LAUNCH_ONLY = frozenset({"mm_processor_kwargs", "media_io_kwargs"})


class RunSpec(BaseModel):
    """A whole run. Field names are the long flags with underscores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[str, ...]
    endpoint: tuple[str, ...] = ("local",)
    model: str | None = None
    api_key_env: str | None = None

    tp: int = Field(default=1, ge=1)
    pp: int = Field(default=1, ge=1)
    dp: int = Field(default=1, ge=1)
    max_model_len: int | None = Field(default=None, ge=1)
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    server_args: tuple[str, ...] = ()
    keep_server: bool = False
    ray_address: str | None = None

    include_path: tuple[Path, ...] = ()
    data_dir: Path | None = None
    allow_media_urls: bool = False
    image: str | None = None
    limit: str | None = None
    sample_ids: tuple[str, ...] = ()
    shard: str | None = None
    repeats: int = Field(default=1, ge=1)
    seed: int = 0
    system_prompt: str | None = None
    prompt_variant: str | None = None
    scoring: tuple[str, ...] = ()

    judge: str | None = None
    judge_endpoint: tuple[str, ...] = ()
    judge_concurrency: int | Literal["auto"] = "auto"
    judge_api_key_env: str | None = None
    judge_gen: dict[str, Any] = {}
    judge_tp: int = Field(default=1, ge=1)
    judge_cache: bool = True
    judge_audit: float | None = Field(default=None, gt=0, le=1)
    audit_judge: str | None = None
    audit_endpoint: tuple[str, ...] = ()

    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    gen: dict[str, Any] = {}
    extra_body: dict[str, Any] = {}

    concurrency: int | Literal["auto"] = "auto"
    client_workers: int | Literal["auto"] = "auto"
    rpm: float | None = Field(default=None, gt=0)
    tpm: float | None = Field(default=None, gt=0)
    max_time: str | None = None
    budget: str | None = None
    prices: Path | None = None
    patience: float = Field(default=300.0, ge=0)
    request_timeout: float = Field(default=600.0, gt=0)
    max_attempts: int = Field(default=5, ge=1)
    max_failures: float = Field(default=0.01, ge=0)
    retry_failed: Literal["transient", "all"] = "transient"
    retry_truncated: int | None = Field(default=None, ge=1)

    output_dir: Path | None = None
    fresh: bool = False
    profile: bool = False
    output_format: tuple[Literal["lmms-eval", "parquet", "csv"], ...] = ()

    wandb: str | None = None
    mlflow: str | None = None
    tensorboard: str | None = None

    @field_validator("tasks", "endpoint", "judge_endpoint", "audit_endpoint", "sample_ids", "scoring",
                     "output_format", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        items = [value] if isinstance(value, str) else value
        return tuple(part for item in items for part in str(item).split(",") if part)

    @field_validator("include_path", "server_args", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value

    @field_validator("limit", "max_time", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return f"{value:g}" if isinstance(value, int | float) else value

    @field_validator("judge_audit", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        try:
            return float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except AttributeError:
            return value
        except ValueError:
            raise ValueError("write a share of the judged samples, such as 5% or 0.05") from None

    @field_validator("concurrency", "judge_concurrency")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("give a number of requests of at least 1, or auto")
        return value

    @field_validator("client_workers")
    @classmethod
    def _some(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("give a number of processes of at least 1, or auto")
        return value

    @model_validator(mode="after")
    def _an_audit_is_whole(self) -> RunSpec:
        if (self.judge_audit is None) != (self.audit_judge is None):
            raise ValueError("--judge-audit (a share such as 5%) and --audit-judge (a model) go together")
        if self.audit_judge is not None and not (self.judge or self.judge_endpoint):
            raise ValueError("--judge-audit compares with a judge; name it with --judge")
        return self

    @model_validator(mode="after")
    def _a_cluster_is_for_what_we_launch(self) -> RunSpec:
        if self.ray_address is not None and self.keep_server:
            raise ValueError("--keep-server: a server on a Ray cluster ends with the run; leave out one of the two")
        if self.ray_address is not None and "local" not in (*self.endpoint, *self.judge_endpoint, *self.audit_endpoint):
            raise ValueError("--ray-address is where vLLM is launched, so it goes with --endpoint local")
        return self

    @model_validator(mode="after")
    def _media_settings_belong_to_the_launch(self) -> RunSpec:
        wrong = _LAUNCH_ONLY & {*self.gen, *self.extra_body}
        if "local" in self.endpoint and wrong:
            name = sorted(wrong)[0]
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"vLLM takes {name} at its launch, not per request; write `-- {flag} '{{…}}'` instead")
        return self


def make_spec(values: dict[str, Any]) -> RunSpec:
    """A checked spec. Raises UsageError naming the flag."""
    try:
        return RunSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise UsageError(f"{first['msg'].removeprefix('Value error, ')}.") from None
        name = str(first["loc"][0])
        flag = "--" + name.replace("_", "-")
        if first["type"] == "extra_forbidden":
            raise UsageError(f"unknown setting '{name}'; allowed: {', '.join(RunSpec.model_fields)}.") from None
        raise UsageError(f"{flag}: {first['msg'].removeprefix('Value error, ')} (got {first['input']!r}).") from None
