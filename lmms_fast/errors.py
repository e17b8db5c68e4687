"""What can go wrong, one sentence each.

LmmsFastError
├── UsageError            the user can put it right: a flag, a file, a task name, a key      exit 1
│   ├── TaskError         a task YAML is wrong; says file, key and what is allowed
│   ├── DataError         a dataset cannot be read: offline, gated, truncated, missing
│   └── EndpointError     an endpoint cannot serve this run: key, unknown model
│       └── Unreachable   no connection, or it does not answer: another try may help
├── ServerError           the vLLM we launched did not start, or died                         exit 5
└── StorageError          the run directory cannot be written: disk full, permissions         exit 1

A request that fails is not an exception: it is a `types.Failure`, counted and shown. Nor is a gate that does not hold:
`gate` ends with 3 then, and with 4 where nobody can tell whether it holds.
"""

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_NOT_MEASURED = 2
EXIT_GATE_FAILED = 3
EXIT_INCONCLUSIVE = 4
EXIT_SERVER = 5
EXIT_SIGINT = 130
EXIT_SIGTERM = 143


class LmmsFastError(Exception):
    """Base class; its text is one sentence for the user: what, where, what to do."""

    exit_code = EXIT_ERROR
    quiet = False
    """Nobody is there who would read it."""


class UsageError(LmmsFastError):
    """A flag, file or name that the user can put right."""


class TaskError(UsageError):
    """A task definition is wrong."""


class DataError(UsageError):
    """A dataset cannot be read."""


class EndpointError(UsageError):
    """An endpoint cannot serve this run."""


class Unreachable(EndpointError):
    """An endpoint does not answer."""


class ServerError(LmmsFastError):
    """The vLLM server we launched did not start, or died."""

    exit_code = EXIT_SERVER


class StorageError(LmmsFastError):
    """The run directory cannot be written."""
