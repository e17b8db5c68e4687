"""What the benches of many servers reckon with: rates by the servers' clocks, and which limit comes first."""

import json

import pytest

from bench.mock import Mock, latency
from bench.plan import ASSUMED, MEASURED, Load, span_s
from bench.replicas import rates


def test_rates_count_start_and_end() -> None:
    """Two servers with two slots of a second, 20 replies each; one begins and ends a second after the other."""
    changes = [[0.0, 1], [0.0, 2]]
    for second in range(1, 11):
        changes += [[second, 1], [second, 0]]
        changes += [[second, 1], [second, 2]] if second < 10 else []
    stats = [{"first_s": begun, "changes": changes} for begun in (100.0, 101.0)]
    whole, middle = rates(stats)
    assert whole == pytest.approx(40 / 11)
    assert middle == pytest.approx(32 / 8)  # of the 40, four came until 102 s and the last four after 110 s


def test_the_mocks_clocks_are_read() -> None:
    """The counters that `rates` reads are there in the form it reads."""
    stats = json.loads(Mock(latency("0")).stats())
    assert {"first_s", "changes"} <= set(stats)


def test_what_runs_out_first() -> None:
    """A process before the network, the network where bodies are large, nothing where GPUs are few."""
    most = MEASURED["client"].value
    assert Load(8, 0.5 * most, body=120e3).first() == "the GPUs"
    assert Load(64, 2.5 * most, body=120e3).first() == "a client process (2.5 ×)"
    assert Load(64, 2.5 * most, body=120e3).processes == 3
    wide = 2.9e6 * ASSUMED["network"].value / most
    assert Load(64, most, body=wide).first() == "its machine's network (2.9 ×)"
    assert Load(64, most, body=wide).machines == 3


def test_shards_read_the_rows_of_all() -> None:
    """One machine reads nothing in vain; many are bound by it where GPUs are fast."""
    one, many = Load(8, 400, 120e3), Load(512, 25_600, 120e3)
    asking, sharded, _ = span_s(one, 100_000)
    assert sharded == asking == 250
    asking, sharded, _ = span_s(many, 100_000)
    assert asking < sharded == pytest.approx(100_000 * 63 / 64 / MEASURED["passed_over"].value)
