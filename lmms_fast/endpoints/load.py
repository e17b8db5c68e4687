"""What a server says about its own load: the text of ``/metrics`` → numbers. Pure.

vLLM's names: https://docs.vllm.ai/en/latest/usage/metrics.html,
SGLang's: https://docs.sglang.ai/references/production_metrics.html.
"""

from __future__ import annotations

from collections import defaultdict

from lmms_fast.types import Load

_SERVERS = ("vllm:", "sglang:")
_NAMES = {
    "running": ("vllm:num_requests_running", "sglang:num_running_reqs"),
    "waiting": ("vllm:num_requests_waiting", "sglang:num_queue_reqs"),
    "kv_cache": ("vllm:kv_cache_usage_perc", "sglang:token_usage"),
    "preemptions": ("vllm:num_preemptions_total",),
    "prefix_queries": ("vllm:prefix_cache_queries_total",),
    "prefix_hits": ("vllm:prefix_cache_hits_total",),
    "media_queries": ("vllm:mm_cache_queries_total",),
    "media_hits": ("vllm:mm_cache_hits_total",),
    "front_end_cpu_s": ("process_cpu_seconds_total",),
}


def parse_load(text: str) -> Load | None:
    """A reading; None when this is not the metrics page of a known server."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    known = False
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, _, value = line.rpartition(" ")
        name = name.partition("{")[0]
        known = known or name.startswith(_SERVERS)
        try:
            found[name].append(float(value))
        except ValueError:
            continue
    if not known:
        return None
    values = {field: [0.0, *(one for name in names for one in found.get(name, ()))] for field, names in _NAMES.items()}
    return Load(**{field: max(ones) if field == "kv_cache" else sum(ones) for field, ones in values.items()})
