"""A system gives a process few files until it asks for more; requests in flight are files."""

import subprocess
import sys

FEW = """
import resource
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (128, most))
from lmms_fast.cli.app import main
try:
    main(["--help"])
except SystemExit:
    pass
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == most > 128
"""


def test_as_many_files_as_allowed() -> None:
    """The command has all that its user may have."""
    done = subprocess.run([sys.executable, "-c", FEW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
