"""A finished run → one HTML file that opens from disk: no server, no network, nothing remote in it.

The numbers are in the page as it stands; a template escapes whatever it is given. The samples are blocks of data
(`browse`) that the page's script unpacks where they are looked at, and writes as text. The page's policy lets only that
script run, by its digest.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from lmms_fast import __version__
from lmms_fast.errors import StorageError, UsageError
from lmms_fast.report.browse import Blocks, write_block
from lmms_fast.report.figures import Measured, bars_of, histogram, interval_of, top_of
from lmms_fast.report.finished import FinishedRun
from lmms_fast.report.shown import label_of, line_of, shown
from lmms_fast.report.thumbs import Pictures, Thumbnails

PAGE = Path(__file__).parent / "page"
PICTURES = 20 << 20
"""Bytes of thumbnails, where nothing else is said."""
PER_BLOCK = 128
"""Thumbnails that are unpacked together; the script has the same number."""
_OUTCOMES = ("correct", "graded", "wrong", "no_answer", "not_measured", "not_judged", "withheld", "together")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a page."""

    path: Path
    size: int
    samples: int
    pictures: int
    thumbnails: int
    why: tuple[str, ...]
    """Why there are not all pictures."""


def write_page(
    run: FinishedRun, out: Path, *, pictures: int = PICTURES, data_dir: Path | None = None,
    include: Sequence[Path] = (),
) -> Written:  # fmt: skip
    """Make the page. `pictures` bytes of thumbnails at most; `data_dir` where the data are now, if elsewhere; hooks of
    task files run from `include` and our own folder only. Raises UsageError for a run that is damaged, StorageError."""
    temporary = out.with_name(out.name + ".tmp")
    try:
        with temporary.open("wb") as file, tempfile.TemporaryFile() as blocks:
            found = _page(run, file, blocks, pictures, data_dir, include)
        temporary.replace(out)
        return Written(out, out.stat().st_size, *found)
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror}).") from None
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        how = f"`lmms-fast score {run.path}` writes its results again"
        raise UsageError(f"{run.path}: not as a run leaves it ({type(error).__name__}: {error}); {how}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _page(
    run: FinishedRun, out: BinaryIO, blocks: IO[bytes], budget: int, data_dir: Path | None, include: Sequence[Path]
) -> tuple[int, int, int, tuple[str, ...]]:
    samples, known = Blocks(blocks), Pictures()  # type: ignore[arg-type]
    measured: dict[str, Measured] = {}
    for task in run.tasks:
        measured[task] = Measured()
        for line in run.samples(task):
            measured[task].add(line)
            samples.add(line, known.add(line))
    table = samples.table()
    small = known.thumbnails(run, budget, data_dir, include)
    size = samples.size + len(table) + small.size
    why = _why(small)
    facts = {**overview(run, measured), "samples": samples, "small": small, "why": why, "bytes": size, "budget": budget}
    out.write(rendered("report.html", "report.js", **facts).encode())
    write_block(out, "table", table)
    blocks.seek(0)
    shutil.copyfileobj(blocks, out)
    for first in range(0, small.pictures if small.texts else 0, PER_BLOCK):
        texts = [small.texts.get(number, "") for number in range(first, min(first + PER_BLOCK, small.pictures))]
        write_block(out, f"pictures-{first // PER_BLOCK}", "\n".join(texts).encode())
    out.write(b"</body>\n</html>\n")
    return samples.samples + samples.left_out, small.pictures, len(small.texts), tuple(why)


def _why(small: Thumbnails) -> list[str]:
    """What a reader is to know of pictures that are not there."""
    missing = small.pictures - len(small.texts)
    if not missing:
        return []
    said = [shown(one, 600) for one in small.why]
    if small.spent:
        said.append(f"Room for {len(small.texts):,} of {small.pictures:,} pictures; the others were left out.")
    if small.unreadable:
        said.append(f"{small.unreadable:,} pictures cannot be read.")
    if small.changed:
        said.append(f"{small.changed:,} pictures in the data are not those that were sent any more, and are left out.")
    return said or ["The pictures were left out."]


def rendered(template: str, *script: str, connect: str = "'none'", **content: Any) -> str:
    """A page of ours with its style and scripts inside, and the policy that lets nothing else run. `connect`: what the
    script may ask."""
    style, *scripts = ((PAGE / name).read_text(encoding="utf-8") for name in ("style.css", "common.js", *script))
    code = "".join(scripts)
    policy = (f"default-src 'none'; script-src {_digest(code)}; style-src {_digest(style)}; img-src data:; "
              f"connect-src {connect}; base-uri 'none'; form-action 'none'")  # fmt: skip
    facts = {"style": Markup(style), "script": Markup(code), "policy": policy, "version": __version__}
    text: str = _templates().get_template(template).render(**facts, **content)
    return text


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _templates() -> jinja2.Environment:
    # What is `str` and not Markup came out of the run, or may have.
    found = jinja2.Environment(loader=jinja2.FileSystemLoader(PAGE), autoescape=True, trim_blocks=True,
                               lstrip_blocks=True, finalize=lambda one: shown(one, 4_000) if type(one) is str else one)
    found.filters |= {
        "score": score_text, "count": lambda value: f"{value:,}", "share": lambda value: f"{100 * value:.3g} %",
        "seconds": seconds_text, "short": lambda value: f"{value:.3g}", "words": lambda name: name.replace("_", " "),
        "line": line_of, "label": label_of, "shown": shown, "megabytes": lambda size: f"{size / 1e6:.1f} MB",
        "query": urlencode, "when": when_text, "clamp": lambda value: round(min(100.0, max(0.0, value)), 2),
    }  # fmt: skip
    return found


def score_text(value: float | None) -> str:
    """A score as tables have it."""
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:,.2f}"


def seconds_text(value: float | None) -> str:
    """A time for people."""
    if value is None:
        return "–"
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 100:
        return f"{value:.3g} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 100 else f"{minutes} min {seconds:02} s"


def when_text(stamp: str | None) -> str:
    """A manifest's time for people."""
    return line_of(str(stamp or ""), 40).replace("T", " ", 1)[:16]


def overview(run: FinishedRun, measured: Mapping[str, Measured]) -> dict[str, Any]:
    """What the page says of a run apart from its samples."""
    results, manifest = run.results, run.manifest
    sessions = manifest.get("sessions") or [{}]
    together = [array("d"), array("d")]
    for one in measured.values():
        together[0].extend(one.latencies)
        together[1].extend(one.lengths)
    return {
        "model": line_of(run.model, 120),
        "complete": bool(manifest.get("complete")),
        "started": sessions[0].get("started", ""),
        "stopped": sessions[-1].get("stopped"),
        "tasks": [_task(name, content, measured[name]) for name, content in results["tasks"].items()],
        "means": [(label_of(name), one, _bar(one)) for name, one in results.get("groups", {}).items()],
        "results": results,
        "latency": histogram(together[0]),
        "length": histogram(together[1], whole=True),
        "sessions": [_session(one) for one in sessions],
        "judge": manifest.get("judge"),
        "setting": _setting(manifest, sessions[-1]),
        "spent": _spent(sessions),
        "methods": _methods(results),
        "rubrics": {label_of(name): sorted(one.rubrics) for name, one in measured.items()},
    }


def _task(name: str, content: Mapping[str, Any], measured: Measured) -> dict[str, Any]:
    aggregates = content["aggregates"]
    numbers = [one for one in aggregates if one["group"] is None]
    asked = sum(content["outcomes"].values())
    outcomes = [(outcome, count, count / asked, {"task": label_of(name), "outcome": outcome})
                for outcome in _OUTCOMES if (count := content["outcomes"].get(outcome))]  # fmt: skip
    return {
        "name": label_of(name), "link": {"task": label_of(name)}, "content": content, "asked": asked,
        "numbers": [(one, _bar(one)) for one in numbers],
        "bars": bars_of(name, aggregates), "outcomes": outcomes,
        "rules": [(label_of(rule), count) for rule, count in measured.rules.most_common(12)],
        "latency": histogram(measured.latencies), "length": histogram(measured.lengths, whole=True),
        "prompt": histogram(measured.prompts, whole=True),
    }  # fmt: skip


def _bar(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": one["value"], "interval": interval_of(one), "top": top_of([one["value"], one.get("high")])}


def _session(session: Mapping[str, Any]) -> dict[str, Any]:
    timing = session.get("timing") or {}
    return {
        "started": session.get("started"), "ended": session.get("ended"), "stopped": session.get("stopped"),
        "timing": timing, "cost": session.get("cost") or {}, "load": _course(timing.get("load") or ()),
    }  # fmt: skip


def _spent(sessions: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Tokens and dollars of each role over all sessions; dollars None where one of them does not know its price."""
    found: dict[str, dict[str, Any]] = {}
    for role, cost in (pair for session in sessions for pair in (session.get("cost") or {}).items()):
        sums = found.setdefault(line_of(role, 20), {"prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0})
        for name in ("prompt_tokens", "completion_tokens"):
            sums[name] += cost[name]
        sums["usd"] = None if None in (sums["usd"], cost["usd"]) else sums["usd"] + cost["usd"]
    return found


def _methods(results: Mapping[str, Any]) -> str:
    """How the intervals were found, where the results say so."""
    aggregates = [one for task in results["tasks"].values() for one in task["aggregates"]]
    named = sorted({str(one["method"]) for one in aggregates if one.get("method")})
    if named:
        return "Intervals: " + ", ".join(line_of(one, 120) for one in named) + "."
    return "Intervals: 1.96 standard errors." if any(one.get("stderr") is not None for one in aggregates) else ""


def _course(moments: Sequence[Mapping[str, float]]) -> dict[str, Any] | None:
    """Lines over time, as points of a drawing of 1000 by 100."""
    if len(moments) < 2:
        return None
    first, span = moments[0]["at_s"], (moments[-1]["at_s"] - moments[0]["at_s"]) or 1.0
    most = max(1.0, *(one[name] for one in moments for name in ("in_flight", "running", "waiting")))

    def line(name: str, top: float) -> str:
        return " ".join(f"{1000 * (one['at_s'] - first) / span:.1f},{100 - 100 * one[name] / top:.1f}"
                        for one in moments)  # fmt: skip

    return {
        "most": most, "span": span, "fullest": max(one["kv_cache"] for one in moments), "cache": line("kv_cache", 1.0),
        "lines": [(name, line(name, most)) for name in ("in_flight", "running", "waiting")],
    }  # fmt: skip


def _setting(manifest: Mapping[str, Any], session: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How the run was made, as a list of names and values."""
    identity, spec = manifest.get("identity") or {}, session.get("spec") or {}
    names = ("seed", "repeats", "limit", "temperature", "top_p", "max_tokens", "system_prompt", "gen", "image")
    asked = {name: identity.get(name) for name in names if identity.get(name) not in (None, {}, [])}
    found = {
        "Command": " ".join(map(str, session.get("command") or ())),
        "Endpoints": ", ".join(map(str, spec.get("endpoint") or ())),
        "Settings": ", ".join(f"{name} {value}" for name, value in asked.items()),
        "Weights": str(identity.get("weights") or ""),
        "Data": ", ".join(f"{name}: {origin}" for name, origin in (session.get("data") or {}).items()),
        "Machine": str(session.get("machine") or ""),
        "Versions": ", ".join(f"{name} {version}" for name, version in (session.get("versions") or {}).items()),
        "Commit": str(session.get("git") or ""),
        "Directory": str(spec.get("output_dir") or ""),
    }  # fmt: skip
    return [(name, shown(value, 1_500)) for name, value in found.items() if value]


