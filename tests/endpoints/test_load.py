"""What servers say of their load."""

from __future__ import annotations

from lmms_fast.endpoints.load import parse_load

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b"} 3.0
vllm:num_requests_running{engine="1",model_name="a b"} 4.0
vllm:num_requests_waiting{engine="0",model_name="a b"} 5.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 5.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.5
vllm:num_preemptions_total{engine="0"} 2.0
vllm:mm_cache_queries_total{engine="0"} 1.2e+01
vllm:mm_cache_hits_total{engine="0"} 6.0
process_cpu_seconds_total 7.5
"""


def test_vllm_with_two_engines() -> None:
    """Sums over the engines, but the fullest cache; like-named series are not mixed in."""
    load = parse_load(VLLM)
    assert load is not None
    assert (load.running, load.waiting, load.kv_cache) == (7.0, 5.0, 0.5)
    assert (load.preemptions, load.media_queries, load.media_hits, load.front_end_cpu_s) == (2.0, 12.0, 6.0, 7.5)


def test_sglang() -> None:
    """Its own names."""
    load = parse_load('sglang:num_running_reqs{tp_rank="0"} 9\nsglang:num_queue_reqs 1\nsglang:token_usage 0.1\n')
    assert load is not None
    assert (load.running, load.waiting, load.kv_cache) == (9.0, 1.0, 0.1)


def test_another_page_is_no_load() -> None:
    """Any program may export its CPU time; a page of HTML is no metrics page."""
    assert parse_load("process_cpu_seconds_total 7.5\n") is None
    assert parse_load("<html><body>It works</body></html>") is None
    assert parse_load("") is None
