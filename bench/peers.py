"""Other evaluators as HTTP clients on our own client's work: ``python -m bench.peers [--runs 3] [--only NAME ...]``.

Each is installed in a virtual environment of its own (below ``--envs``; one that is complete is used again) and asks
the mock server the standard work's questions, 64 at a time, as a whole process with the settings it comes with. Our
client runs in the same rounds, so that every ratio is of neighbours. A peer that cannot be installed or does not do
the work gets a row with the reason.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from bench import work
from bench.client import Result, measure, ours, remove
from bench.measure import MockServer, machine, mock_server, publish, run
from bench.mock import MODEL
from lmms_fast import __version__

CONCURRENCY = 64
FEW = 200
PICTURE_BYTES = 80_000  # a request that is shorter had no picture in it
ASK = "Answer with the option's letter from the given choices directly."
TEXT = f'''\
def text(row):
    choices = "\\n".join(f"{{letter}}. {{option}}" for letter, option in zip("ABCD", row["options"]))
    return f"{{row['question']}}\\n{{choices}}\\n{ASK}"


def pictures(row):
    return [row["image"]]
'''
HARNESS_TASK = """\
task: bench_peer
dataset_path: parquet
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
PICTURES: !function utils.pictures
doc_to_text: !function utils.text
doc_to_target: answer
generation_kwargs: GENERATION
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1}
"""
LMMS_EVAL_TASK = HARNESS_TASK.replace("PICTURES", "doc_to_visual").replace(
    "GENERATION", "{max_new_tokens: 16, temperature: 0, do_sample: false}")  # fmt: skip
LM_EVAL_TASK = HARNESS_TASK.replace("PICTURES", "doc_to_image").replace(
    "GENERATION", "{max_gen_toks: 16, temperature: 0, do_sample: false, until: []}")  # fmt: skip
INSPECT_TASK = """\
import base64

import pyarrow.parquet as pq
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText
from inspect_ai.scorer import match
from inspect_ai.solver import generate
from utils import text


def sample(row):
    uri = "data:image/jpeg;base64," + base64.b64encode(row["image"]["bytes"]).decode()
    content = [ContentImage(image=uri), ContentText(text=text(row))]
    return Sample(id=row["id"], input=[ChatMessageUser(content=content)], target=row["answer"])


@task
def bench_peer():
    rows = pq.read_table(DATA).to_pylist()
    return Task(dataset=MemoryDataset([sample(row) for row in rows]), solver=generate(), scorer=match())
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """An evaluator with one set of settings."""

    label: str
    install: tuple[str, ...]
    """What pip is given at once; the first names the environment."""
    prepare: Callable[[Path, Path], None]
    """Write its task for this parquet file into this folder."""
    command: str
    """As in a shell, in the folder that holds `task`; URL is the server's and `results` is removed afterwards."""
    remove: str | None = None
    """A package that must not stay."""
    environment: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False
    """Gets FEW questions at most, of which the server's clock misses a good part: what is encoded before the first."""


def with_utils(name: str, task: str) -> Callable[[Path, Path], None]:
    """A task file with the functions it refers to beside it."""

    def prepare(data: Path, folder: Path) -> None:
        (folder / "utils.py").write_text(TEXT)
        (folder / name).write_text(task.replace("DATA", json.dumps(str(data))))

    return prepare


def evalscope_data(data: Path, folder: Path) -> None:
    """The same rows under the column name it looks for, with the pictures as bytes."""
    table = pq.read_table(data).replace_schema_metadata(None)
    names = ["image_1" if name == "image" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), folder / "default.parquet", compression="none", row_group_size=100)


# torch stands beside lmms-eval because its newest torchvision would bring a newer torch, with gigabytes of CUDA where
# the pinned one is a CPU build; beside such a build that torchvision does not load, and nothing here needs it.
LMMS_EVAL = ("lmms-eval==0.7.3", "torch==2.13.0")
LMMS_EVAL_COMMAND = (  # what it calls num_cpus is the number of requests in flight
    f"lmms-eval --model async_openai --model_args model={MODEL},num_cpus={CONCURRENCY} --tasks bench_peer "
    "--include_path task --batch_size 1 --output_path results"
)
EVALSCOPE_SETTINGS = {"general_vmcq": {"local_path": "task", "subset_list": ["default"],
                                       "prompt_template": f"<image 1>{{question}}\n{{choices}}\n{ASK}"}}  # fmt: skip
# No --log_samples, which neither harness has on by itself: lm-eval would encode each picture twice more to hash it.
PEERS = {
    "lmms-eval-png": Peer(
        "lmms-eval 0.7.3, as installed (PNG)", LMMS_EVAL, with_utils("bench.yaml", LMMS_EVAL_TASK), LMMS_EVAL_COMMAND,
        "torchvision", slow=True),
    "lmms-eval-jpeg": Peer(
        "lmms-eval 0.7.3, set to JPEG", LMMS_EVAL, with_utils("bench.yaml", LMMS_EVAL_TASK), LMMS_EVAL_COMMAND,
        "torchvision", {"LMMS_IMAGE_ENCODE_FORMAT": "JPEG"}),
    "evalscope": Peer(
        "evalscope 1.14.1", ("evalscope==1.14.1",), evalscope_data,
        f"evalscope eval --model {MODEL} --api-url URL --api-key none --eval-type openai_api --datasets general_vmcq "
        f"--dataset-args {shlex.quote(json.dumps(EVALSCOPE_SETTINGS))} --generation-config max_tokens=16,temperature=0 "
        f"--eval-batch-size {CONCURRENCY} --work-dir results"),
    "inspect": Peer(
        "inspect_ai 0.3.285", ("inspect_ai==0.3.285", "openai", "pyarrow"), with_utils("task.py", INSPECT_TASK),
        f"inspect eval task/task.py --model openai-api/bench/{MODEL} --model-base-url URL --max-tokens 16 "
        f"--temperature 0 --max-connections {CONCURRENCY} --display plain --log-dir results", slow=True),
    "lm-eval": Peer(
        "lm-eval 0.4.13", ("lm-eval[api]==0.4.13", "pillow"), with_utils("bench.yaml", LM_EVAL_TASK),
        "lm_eval run --model local-chat-completions --model_args "
        f"model={MODEL},base_url=URL/chat/completions,num_concurrent={CONCURRENCY} --tasks bench_peer "
        "--include_path task --apply_chat_template --output_path results", slow=True),
}  # fmt: skip


def installed(peer: Peer, envs: Path) -> Path:
    """The programs of its environment, which is made unless a complete one is there. Raises SystemExit."""
    home = envs / peer.install[0].partition("==")[0].partition("[")[0]
    complete = home / "complete.txt"
    wanted = " ".join((*peer.install, f"without {peer.remove}"))
    if not (complete.exists() and complete.read_text() == wanted):
        print(f"installing {peer.install[0]} in {home}", file=sys.stderr, flush=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "--quiet"]
        run([sys.executable, "-m", "venv", "--clear", str(home)])
        (envs / ".gitignore").write_text("*\n")
        run([*pip, "install", *peer.install])
        if peer.remove:
            run([*pip, "uninstall", "--yes", peer.remove])
        complete.write_text(wanted)
    return home / "bin"


def settings(peer: Peer, home: Path, url: str) -> dict[str, str]:
    """Its environment variables: no hub, nothing of the user's own settings and caches, this server."""
    return {"HOME": str(home), "HF_HOME": str(home / "huggingface"), "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_DATA_HOME": str(home / "data"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
            "OPENAI_API_BASE": url, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none", "BENCH_API_KEY": "none",
            **peer.environment}  # fmt: skip


@dataclass(slots=True)
class Entry:
    """A peer in this measurement."""

    peer: Peer
    count: int
    base: Path
    """The folder it is run in."""
    programs: Path = Path()
    results: list[Result] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    """Requests a second by the server's clock, where the results' are another's."""
    reason: str = ""
    """Why it is not measured."""

    def set_up(self, server: MockServer, envs: Path, data: Path) -> None:
        """Install it, write its task and ask one question, which fills its caches as an earlier use would have."""
        self.programs = installed(self.peer, envs)
        (self.base / "task").mkdir(parents=True)
        self.peer.prepare(data, self.base / "task")
        self.ask(server, 1)

    def ask(self, server: MockServer, first: int | None = None) -> Result:
        """Run it once. Raises SystemExit when it fails or asked another number of questions, or no pictures."""
        program, *words = shlex.split(self.peer.command.replace("URL", server.url))
        command = [str(self.programs / program), *words, *(["--limit", str(first)] if first else [])]
        count = first or self.count
        server.reset()
        usage = run(command, settings(self.peer, self.base / "home", server.url), self.base)
        stats = server.stats()
        if stats["requests"] != count or stats["received_bytes"] < count * PICTURE_BYTES:
            raise SystemExit(f"{stats['requests']} requests of {stats['received_bytes']} bytes instead of {count}")
        remove(self.base / "results")
        return Result(usage, count / stats["span_s"])

    def measure(self, server: MockServer) -> None:
        """One more result."""
        start_s = self.ask(server, 1).usage.wall_s if self.peer.slow else 0.0
        found = self.ask(server)
        if self.peer.slow:
            self.seen.append(found.rate)
            found = Result(found.usage, (self.count - 1) / max(found.usage.wall_s - start_s, 1e-9))
        self.results.append(found)

    def attempt(self, step: Callable[..., None], *arguments: object) -> None:
        """Do it unless something failed before, or note why it cannot be done."""
        try:
            if not self.reason:
                step(*arguments)
        except SystemExit as error:
            print(f"{self.peer.label}: {error}", file=sys.stderr, flush=True)
            self.reason = str(error).strip().splitlines()[-1][:200].replace("|", "/")


def row(entry: Entry, mine: Sequence[Result], full: int) -> str:
    """One line of the table; the ratio is the median of the rounds'."""
    label = entry.peer.label if entry.count == full else f"{entry.peer.label}; {entry.count:,} questions"
    if entry.reason:
        return f"| {label} | not measured: {entry.reason} | | | | |"
    pairs = list(zip(mine, entry.results, strict=True))
    if entry.count == full:
        ratio = f"{median(other.usage.wall_s / one.usage.wall_s for one, other in pairs):,.1f} ×"
    else:
        ratio = f"{median(one.rate / other.rate for one, other in pairs):,.0f} × by rate"
    return f"| {label}{' †' if entry.peer.slow else ''} | {figures(entry.results)} | {ratio} |"


def figures(results: Sequence[Result]) -> str:
    """The middle columns: medians, but the largest peak."""
    rate = median(one.rate for one in results)
    return (f"{rate:,.{0 if rate >= 20 else 1}f} | {median(one.usage.wall_s for one in results):,.1f} | "
            f"{median(one.usage.cpu_s for one in results):,.1f} | "
            f"{max(one.usage.peak_bytes for one in results) / 1e6:,.0f}")  # fmt: skip


def notes(entries: Sequence[Entry], options: argparse.Namespace) -> list[str]:
    """What the table means."""
    said = (
        f"{options.count:,} questions where a row says nothing else, a picture of 90 kB each, {CONCURRENCY} requests "
        "in flight, a server that answers at once. Requests/s are the server's, from the first request to the last "
        "answer; a row of fewer questions is compared by them, the others by the whole process from start to exit. "
        f"{machine()}, median of {options.runs} interleaved runs, each peer once before with one question."
    )
    slow = [f"{one.peer.label}: {median(one.seen):,.0f}" for one in entries if one.seen and not one.reason]
    if not slow:
        return [said]
    return [said, "", "† Encodes pictures before the first request (lm-eval all of them, the others as many as are in "
            "flight), where the server does not see it. So its requests/s are of the whole process less one of a "
            f"single question; by the server's clock they would be {'; '.join(slow)}."]  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Other evaluators on our client's work.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--count", type=int, default=1000, help=f"questions; the slow ones get {FEW} at most")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME", help=", ".join(PEERS))
    parser.add_argument("--envs", type=Path, default=Path(__file__).parent / ".envs", help="where they are installed")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md or docs/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, mock_server() as server:
        base = Path(name)
        mine: list[Result] = []
        entries = [Entry(PEERS[one], min(options.count, FEW if PEERS[one].slow else options.count), base / one)
                   for one in dict.fromkeys(options.only)]  # fmt: skip
        for count in {options.count, *(entry.count for entry in entries)}:
            work.write(base / str(count), count)
        for entry in entries:
            entry.attempt(entry.set_up, server, options.envs.resolve(), base / str(entry.count) / "test.parquet")
        for _ in range(options.runs):
            scratch = base / "scratch"
            command = ours(server, base / str(options.count), CONCURRENCY, scratch)
            mine.append(measure(server, command, options.count))
            remove(scratch)
            for entry in entries:
                entry.attempt(entry.measure, server)
                print(f"{entry.peer.label}: {entry.reason or figures(entry.results[-1:])}", file=sys.stderr, flush=True)
    publish("peers", [
        "| evaluator | requests/s | whole process, s | CPU, s | peak, MB | lmms-fast is faster by |",
        "|---|---|---|---|---|---|",
        f"| lmms-fast {__version__} | {figures(mine)} | 1 |",
        *(row(entry, mine, options.count) for entry in entries), "", *notes(entries, options),
    ], options.readme)  # fmt: skip


if __name__ == "__main__":
    main()
