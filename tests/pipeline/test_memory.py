"""Memory does not grow with the number of samples: measured on a whole process."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.servers.stand_in import StandIn

PICTURE_BYTES = 100_000
TASK = """\
task: big
benchmark: test
about: Pictures of 100 kB.
source: this test
licence: none
dataset: {files: big.parquet}
prompt:
  user:
    - image: image
    - text: Yes or no?
target: "yes"
score: {extract: yes_no}
"""
PEAK = """\
import resource, sys
from lmms_fast import evaluate
result = evaluate(sys.argv[1], sys.argv[2], output_dir=sys.argv[3], limit=int(sys.argv[4]))
assert result.samples == int(sys.argv[4]) and result.failed == 0, result
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def _write_pictures(path: Path, count: int) -> None:
    """Distinct pictures whose size no compression takes away, in row groups as large as the hub's."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "JPEG")
    head = out.getvalue()
    noise = np.random.default_rng(1)
    schema = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()})})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 100):
            rows = [{"image": {"bytes": head + noise.bytes(PICTURE_BYTES), "path": f"{start + number}.jpg"}}
                    for number in range(100)]  # fmt: skip
            writer.write_table(pa.Table.from_pylist(rows, schema))


def test_memory_stays_within_the_budget(stand_in: StandIn, tmp_path: Path) -> None:
    """2,400 pictures weigh 320 MB as bodies; the peak may be above that of 800 by a fraction of the difference."""
    stand_in.record = False
    _write_pictures(tmp_path / "big.parquet", 2400)
    (tmp_path / "big.yaml").write_text(TASK)
    peaks = {}
    for count in (800, 2400):
        words = [str(tmp_path / "big.yaml"), stand_in.url, str(tmp_path / f"r{count}"), str(count)]
        done = subprocess.run([sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True)
        peaks[count] = int(done.stdout)
    assert peaks[2400] - peaks[800] < 40, peaks
