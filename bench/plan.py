"""What becomes of a run on 8, 64 and 512 GPUs: ``python -m bench.plan [--readme]``.

Arithmetic on constants, each with the bench that measured it or the reason it is assumed, for no machine here has more
than two cores; what a request and its records weigh is measured anew, on a run against a mock server. Work of
`bench.work`: a question on a picture of 90 kB, an answer of one letter.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import work
from bench.client import ours
from bench.measure import machine, mock_server, publish, run


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that the plan rests on."""

    value: float
    unit: str
    origin: str


MEASURED: Mapping[str, Constant] = {
    "client": Constant(1_126, "answers/s of one client process, the most", "bench.replicas, 64 replicas"),
    "client_ms": Constant(1.01, "ms of the client's CPU an answer, start and report included",
                          "bench.replicas, 64 replicas"),
    "own_ms": Constant(0.13, "ms of CPU of a run's own process an answer that others asked for", "bench.workers"),
    "judged": Constant(1_046, "judged answers/s of one client process", "bench.judge, servers that answer at once"),
    "base": Constant(178, "MB of memory of a client process", "bench.memory, 1,000 samples"),
    "sample": Constant(0.77, "kB of memory for each sample", "bench.memory, 100,000 samples against 1,000"),
    "in_flight": Constant(0.28, "MB of memory for each request in flight", "bench.replicas, 16 replicas against one"),
    "server_s": Constant(0.002, "s until a further server is known", "bench.replicas, 64 replicas against one"),
    "first_s": Constant(0.76, "s until the first request with one server", "bench.startup"),
    "merge_ms": Constant(0.071, "ms of CPU a sample in `merge`", "bench.merge, 64 shards of 100,000 samples in all"),
    "passed_over": Constant(19_500, "rows/s with pictures that a shard reads for nothing, from memory", "bench.merge"),
}  # fmt: skip
ASSUMED: Mapping[str, Constant] = {
    "slow": Constant(4, "answers/s of a GPU", "published times of LLaVA-1.5-7B on 4 × A100 (bench.gpu): 1.5 to 4.3"),
    "middle": Constant(14, "answers/s of a GPU", "vLLM issue 58266: pages/s of a 4B model on a B300, one API process"),
    "fast": Constant(50, "answers/s of a GPU", "the most we reckon with for a model that looks at pictures"),
    "batch": Constant(512, "requests in flight for a GPU", "twice the batch that we set on vLLM (server/tune.py)"),
    "network": Constant(1_250, "MB/s from a client's machine", "10 Gbit/s; no network was measured"),
    "cores": Constant(16, "cores of a client's machine", "a small node of a cluster"),
    "memory": Constant(128, "GB of memory of a client's machine", "the same"),
    "judge": Constant(50, "judgements/s of a judge's GPU", "as the fast model: text alone, a short verdict"),
    "node": Constant(8, "GPUs of a machine", "the usual one"),
}  # fmt: skip
GPUS = (8, 64, 512)
SAMPLES = 100_000
"""Of the run whose times are told."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of a sample, on the average."""

    picture: float
    body: float
    """Of a request."""
    journal: float
    samples: float
    """Of its line in the samples file."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one client has to do that keeps so many GPUs busy."""

    gpus: int
    rate: float
    """Answers a second, of all."""
    body: float

    @property
    def cores(self) -> float:
        """Of the client, all its processes."""
        return self.rate * MEASURED["client_ms"].value / 1000

    @property
    def memory(self) -> float:
        """GB in the client, all its processes."""
        in_flight = self.gpus * ASSUMED["batch"].value * MEASURED["in_flight"].value / 1e3
        samples = SAMPLES * MEASURED["sample"].value / 1e6
        return self.processes * MEASURED["base"].value / 1e3 + samples + in_flight

    @property
    def processes(self) -> int:
        """Client processes, whether on one machine or many."""
        return math.ceil(self.rate / MEASURED["client"].value)

    def needs(self) -> dict[str, float]:
        """How much of each thing that a single client has, as a share of it."""
        return {
            "a client process": self.rate / MEASURED["client"].value,
            "the run's own process": self.rate * MEASURED["own_ms"].value / 1000,
            "its machine's network": self.rate * self.body / 1e6 / ASSUMED["network"].value,
            "its machine's cores": self.cores / ASSUMED["cores"].value,
            "its machine's memory": self.memory / ASSUMED["memory"].value,
        }

    @property
    def machines(self) -> int:
        """Machines with a client on them, each with a part of the run: a client has one process that writes."""
        return math.ceil(max(need for name, need in self.needs().items() if name != "a client process"))

    def first(self) -> str:
        """What one client process runs out of first; the GPUs, where it does not."""
        name, need = max(self.needs().items(), key=lambda pair: pair[1])
        return f"{name} ({need:.1f} ×)" if need > 1 else "the GPUs"


def span_s(load: Load, samples: int) -> tuple[float, float, float]:
    """Seconds of a run on servers that are ready: the requests by enough processes of one client; the same as shards,
    one a machine, which are bound by reading the rows of all where that takes longer; and what comes before and after
    (looking for all servers, merging)."""
    asking = samples / load.rate
    merging = MEASURED["merge_ms"].value / 1000 * samples
    around = MEASURED["first_s"].value + MEASURED["server_s"].value * load.gpus + merging
    shards = load.gpus / ASSUMED["node"].value
    return asking, max(asking, samples * (1 - 1 / shards) / MEASURED["passed_over"].value), around


def weigh(count: int = 1_000) -> Weight:
    """By a run against a mock server."""
    with tempfile.TemporaryDirectory() as name, mock_server() as server:
        folder, out = Path(name), Path(name) / "run"
        work.write(folder, count)
        run(ours(server, folder, 64, out))
        stats = server.stats()
        files = ((out / one).stat().st_size / count for one in ("journal.jsonl", "samples_bench_mc.jsonl"))
        body: float = stats["received_bytes"] / stats["requests"]
        return Weight(sum(map(len, work.jpegs(work.BASES))) / work.BASES, body, *files)


def load_row(load: Load, weight: Weight) -> str:
    """What goes where, every second."""
    records = weight.journal + weight.samples
    sent, read, written = (load.rate * size / 1e6 for size in (weight.body, weight.picture, records))
    return (f"| {load.gpus} | {load.rate / load.gpus:.0f} | {load.rate:,.0f} | {sent:,.0f} MB/s | {read:,.0f} MB/s "
            f"| {written:.2f} MB/s | {load.cores:.1f} | {load.processes} | {load.memory:.1f} GB | {load.first()} "
            f"| {load.machines} |")  # fmt: skip


def run_row(load: Load) -> str:
    """Times of a run, and what its judge has to do."""
    asking, sharded, around = span_s(load, SAMPLES)
    judged = math.ceil(load.rate / MEASURED["judged"].value)
    return (f"| {load.gpus} | {load.rate / load.gpus:.0f} | {asking:,.0f} s | {sharded:,.0f} s | {around:.0f} s "
            f"| {asking / (asking + around):.0%} | {60 * load.rate:,.0f} "
            f"| {math.ceil(load.rate / ASSUMED['judge'].value)} | {judged} |")  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="write the tables into docs/")
    options = parser.parse_args()
    weight = weigh()
    print(weight, file=sys.stderr)
    loads = [Load(gpus, gpus * ASSUMED[speed].value, weight.body) for gpus in GPUS
             for speed in ("slow", "middle", "fast")]  # fmt: skip
    size = SAMPLES * (weight.journal + weight.samples) / 1e6
    publish("plan", [
        "| GPUs | answers/s each | in all | to the servers | from the data | journal and samples | client's cores "
        "| its processes | its memory | what one process lacks first | its machines |", f"|{'---|' * 11}",
        *(load_row(load, weight) for load in loads), "",
        f"A run of {SAMPLES:,} samples on servers that are ready; its journal and samples file have {size:,.0f} MB:",
        "",
        "| GPUs | answers/s each | asking, one client of enough processes | a shard for each machine "
        "| before and after, one client | share spent asking | judge: requests a minute | its GPUs "
        "| client processes then |",
        f"|{'---|' * 9}", *map(run_row, loads), "",
        "Measured:", "", *map(line, MEASURED.values()),
        f"- {weight.picture / 1e3:.1f} kB a picture, {weight.body / 1e3:.1f} kB a request, {weight.journal:.0f} B of "
        f"journal and {weight.samples:.0f} B of samples file each (`bench.plan`)", "",
        "Assumed:", "", *map(line, ASSUMED.values()), "", f"Weighed on {machine()}.",
    ], options.readme)  # fmt: skip


def line(constant: Constant) -> str:
    """For the list below the tables."""
    return f"- {constant.value:,} {constant.unit} ({constant.origin})"


if __name__ == "__main__":
    main()
