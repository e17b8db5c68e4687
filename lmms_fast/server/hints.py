"""The end of a server's log → how far it is, or the cause of its end and what to do about it. Pure."""

from __future__ import annotations

import re

_NOISE = re.compile(r"nanobind: |resource_tracker|leaked (shared_memory|semaphore)|Found ulimit of|^\s*$")
_HINTS: tuple[tuple[str, str], ...] = (
    (r"out of memory|OutOfMemoryError|Cannot allocate memory",
     "out of memory: lower --max-model-len or --gpu-memory-utilization, or raise --tp"),
    (r"less than desired .*memory utilization|Available memory on node",
     "too little free memory at start: lower --gpu-memory-utilization or end other programs"),
    (r"max_model_len .*(greater|larger) than|derived max_model_len|larger than the maximum number of tokens",
     "the context asked for does not fit: lower --max-model-len"),
    (r"No available memory for the cache blocks|KV cache is needed|needed to serve at least one request",
     "the KV cache is too small: lower --max-model-len or raise --gpu-memory-utilization"),
    (r"gated repo|401 Client Error|403 Client Error", "the model is gated: accept its terms and run `hf auth login`"),
    (r"Repository Not Found|is not a local folder|is not a valid model identifier|Can't load the configuration"
     r"|Invalid repository ID or local directory",
     "no such model: check the name or path, and the network if it is on the hub"),
    (r"LocalEntryNotFound|offline mode|Max retries exceeded|Temporary failure in name resolution",
     "the model could not be downloaded: check the network, or give a local path"),
    (r"unrecognized arguments|invalid choice|expected one argument",
     "vLLM refused a flag: see what stands after `--`"),
    (r"limit-mm-per-prompt|At most \d+ image", "too many pictures per request: pass `-- --limit-mm-per-prompt`"),
    (r"address already in use", "the port was taken in between: run the command again"),
    (r"num_heads % tp_size|must be divisible by tensor parallel",
     "--tp must divide the number of attention heads of the model and of its vision part"),
    (r"architectures .* are not supported|does not support .*multimodal", "this vLLM does not serve that architecture"),
    (r"torchvision::nms", "torchvision does not match torch: uninstall it, or set up with lmms_fast.bootstrap"),
)  # fmt: skip
_PHASES = (
    ("Application startup complete", "ready"),
    ("Starting vLLM server", "warming"),
    ("Loading weights took", "warming"),
    ("Starting to load model", "loading"),
    ("Initializing a V1 LLM engine", "loading"),
    ("non-default args", "importing"),
)
_ROOT = re.compile(r"\b(\w+(?:Error|Exception)): (.+)")


def phase(log: str) -> str:
    """How far a server is that starts."""
    return next((phase for mark, phase in _PHASES if mark in log), "starting")


def tail(log: str, lines: int = 12) -> str:
    """The last lines that say something."""
    return "\n".join([line for line in log.splitlines() if not _NOISE.search(line)][-lines:])


def explain(log: str) -> str:
    """The cause, with a hint where it is a well-known one."""
    causes = [match for line in log.splitlines() if not _NOISE.search(line) and (match := _ROOT.search(line))]
    # "Engine core initialization failed" only repeats that a child died; the child's own error stands before it.
    first = next((match for match in causes if "initialization failed" not in match.group(2)), None)
    cause = f" {first.group(0)[:300]}." if first else ""
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, log, re.IGNORECASE)), None)
    return cause + (f" Hint: {hint}." if hint else "")
