"""`--tensorboard DIR`: an event file with numbers by answers, scores, the score table, and what went wrong as text."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import orjson
from PIL import Image
from tensorboardX import SummaryWriter

from lmms_fast.loggers.choice import COLUMNS, Shown, scores
from lmms_fast.loggers.settings import Settings
from lmms_fast.report.finished import FinishedRun
from lmms_fast.report.plain import one_line
from lmms_fast.report.tables import in_markdown, markdown

_CELL = 300  # characters
_PICTURES = 24  # of each task: TensorBoard keeps few of a tag, and all are in one file


class TensorBoard:
    """One run there: the folder DIR/NAME OF THE RUN."""

    def __init__(self, settings: Settings) -> None:
        self._folder = Path(settings.options["dir"])
        self._writer: Any = None

    def begin(self, run: Path, config: Mapping[str, Any], known: str | None) -> tuple[str, str | None]:
        """See `child.Tracker`."""
        place = self._folder / run.name
        self._writer = SummaryWriter(str(place))
        self._writer.add_text("settings", in_markdown(orjson.dumps(config).decode()))
        return f"{place} (`tensorboard --logdir {self._folder}` shows it)", None

    def progress(self, numbers: Mapping[str, float], step: int) -> None:
        """See `child.Tracker`."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self, run: FinishedRun, samples: Mapping[str, list[Shown]], step: int) -> None:
        """See `child.Tracker`."""
        for name, value in scores(run).items():
            self._writer.add_scalar(f"score/{name}", value, step)
        self._writer.add_text("scores", markdown([run]), step)
        for task, some in samples.items():
            head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
            rows = (" | ".join(_cell(one.cells[name]) for name in COLUMNS) for one in some)
            self._writer.add_text(f"samples/{task}", head + "".join(f"| {row} |\n" for row in rows), step)
            shown = [one for one in some if one.picture is not None][:_PICTURES]
            for number, one in enumerate(shown):
                pixels = numpy.asarray(Image.open(io.BytesIO(one.picture or b"")).convert("RGB"))
                self._writer.add_image(f"{task}/{number:02d} {one.cells['outcome']}", pixels, step, dataformats="HWC")

    def end(self, *, complete: bool) -> None:
        """See `child.Tracker`."""
        self._writer.close()


def _cell(value: Any) -> str:
    return "" if value is None else in_markdown(one_line(str(value), _CELL))
