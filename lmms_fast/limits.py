"""What the system lets a process of ours do."""

from __future__ import annotations

import resource


def set_limits() -> None:
    """No core files, and as many open files as it may have; children have the same."""
    # A core file, of vLLM too, holds the environment, and so the keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # A request in flight has a socket, a GPU some 500 of them, and systems give a process 1,024 until it asks for more.
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
