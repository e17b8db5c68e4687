"""The set-up's decisions: which Python, which machine, which packages, what a failure means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lmms_fast import bootstrap
from lmms_fast.bootstrap import Request, SetupError

ROOT = Path(bootstrap.__file__).parents[1]


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["smoke"], Request("smoke", (), False)),
        (["-v", "smoke", "--limit", "3"], Request("smoke", ("--limit", "3"), True)),
        (["test", "--", "-k", "guard"], Request("test", ("-k", "guard"), False)),
        (["install", "-v"], Request("install", (), True)),
        (["audit"], Request("audit", (), False)),
        (["--help"], None),
        ([], None),
    ],
)
def test_arguments_after_the_command_belong_to_the_program(words: list[str], request_: Request | None) -> None:
    """Only what stands before the command is the set-up's."""
    assert bootstrap.parse(words) == request_


@pytest.mark.parametrize("words", [["smok"], ["lint", "x"], ["audit", "x"]])
def test_unknown_words_are_refused(words: list[str]) -> None:
    """Rather than set something up that was not asked for."""
    with pytest.raises(SetupError):
        bootstrap.parse(words)


def test_python_versions() -> None:
    """Too old and too new are refused, and one that fits is named."""
    assert bootstrap.refuse_python((3, 11, 0)) is None
    assert bootstrap.refuse_python((3, 14, 2)) is None
    assert "3.10.4 does not fit" in (bootstrap.refuse_python((3, 10, 4)) or "")
    assert "python3.12 -m lmms_fast.bootstrap" in (bootstrap.refuse_python((3, 15, 0), "python3.12") or "")


@pytest.mark.parametrize(
    ("system", "machine", "glibc", "fits"),
    [
        ("Linux", "x86_64", (2, 36), True),
        ("Linux", "aarch64", (2, 28), True),
        ("Linux", "x86_64", (2, 17), False),
        ("Linux", "x86_64", None, False),
        ("Linux", "riscv64", (2, 36), False),
        ("Darwin", "arm64", None, False),
    ],
)
def test_machines(system: str, machine: str, glibc: tuple[int, ...] | None, fits: bool) -> None:
    """vLLM's CPU build exists for glibc Linux on two processors; elsewhere the sentence says what does work."""
    refusal = bootstrap.refuse_platform(system, machine, glibc)
    assert (refusal is None) == fits
    if refusal:
        assert "pip install ." in refusal


def test_a_finished_set_up_is_not_repeated(tmp_path: Path) -> None:
    """Same project, same place: nothing to do. A changed project or a moved one: everything, old extras kept."""
    mark = bootstrap.stamp(b"[project]", tmp_path)
    record = {"stamp": mark, "extras": ["cpu"]}
    assert bootstrap.missing_extras(record, mark, ("cpu",)) == ()
    assert bootstrap.missing_extras(record, mark, ("cpu", "dev")) == ("cpu", "dev")
    assert bootstrap.missing_extras({"stamp": mark, "extras": ["cpu", "dev"]}, mark, ("cpu",)) == ()
    assert bootstrap.missing_extras({"stamp": None, "extras": []}, mark, ("cpu",)) == ("cpu",)
    assert bootstrap.stamp(b"[project] ", tmp_path) != mark
    assert bootstrap.stamp(b"[project]", tmp_path / "moved") != mark


def test_torch_is_the_cpu_build_and_its_companions_stay_out() -> None:
    """pip's own sources first, PyTorch's CPU index second; uv leaves the three out, pip takes them away again."""
    (_, first), (_, second) = bootstrap.torch_commands(Path("/v/bin/python"))
    assert first[-1] == second[-1] == "torch==2.13.0+cpu"
    assert "--index-url" not in first
    assert second[second.index("--index-url") + 1] == "https://download.pytorch.org/whl/cpu"
    install, uninstall = bootstrap.pip_commands(Path("/v/bin/python"), ("cpu",))
    assert "torch==2.13.0+cpu" in install
    assert uninstall[-3:] == ["torchvision", "torchaudio", "torchcodec"]
    assert "--override" in bootstrap.uv_command(Path("/v/bin/python"), Path("/v/overrides.txt"), ("cpu",))


def test_uv_gets_pips_sources() -> None:
    """A variable comes over `install`, that over `global`; a user's own settings for uv are left alone."""
    settings = "\n".join([
        "global.index-url='https://mirror/simple'", "install.index-url='https://other/simple'",
        "global.extra-index-url='https://more/simple\\n/a/folder'", "global.find-links='/wheels'",
    ])  # fmt: skip
    assert bootstrap.uv_environment(settings, {}) == {
        "UV_DEFAULT_INDEX": "https://other/simple",
        "UV_INDEX": "https://more/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels",
    }
    assert bootstrap.uv_environment(settings, {"UV_DEFAULT_INDEX": "https://mine"}) == {}


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("ERROR: [Errno 28] No space left on device", "disk is full"),
        ("Failed to establish a new connection: [Errno 111]", "cannot be reached"),
        ("SSLError(SSLCertVerificationError(1, 'certificate verify failed'))", "not trusted"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "no fitting build"),
    ],
)
def test_common_causes_are_named(output: str, cause: str) -> None:
    """A failed pip ends in a sentence that says what to do."""
    assert cause in (bootstrap.diagnose(output) or "")
    assert bootstrap.diagnose("something else") is None


def test_each_command_has_its_checks() -> None:
    """`audit` is apart: it needs the network, and its fuzz takes minutes."""
    checks = {name: list(bootstrap.checks_of(Request(name, ("-x",), False))) for name in ("lint", "test", "audit")}
    assert checks == {"lint": ["ruff", "mypy"], "test": ["ruff", "mypy", "pytest"],
                      "audit": ["pip-audit", "fuzz", "long"]}  # fmt: skip
    words = bootstrap.checks_of(Request("test", ("-x",), False))["pytest"]
    assert (words[:2], words[-1]) == (["pytest", "-n"], "-x")
    assert 1 <= int(words[2]) <= 2
    assert set(bootstrap.EXTRAS["audit"]) > set(bootstrap.EXTRAS["test"])


def test_a_browser_is_installed_where_that_is_possible() -> None:
    """With apt-get, by root, where there is none."""
    update, fetch, install = bootstrap.browser_commands(["apt-get"], True)
    assert update == ["apt-get", "update"]
    assert fetch == [*install, "--download-only"]
    assert install[-1] == "chromium"
    for found, is_root in ((["apt-get"], False), ([], True), (["apt-get", "chromium"], True)):
        assert bootstrap.browser_commands(found, is_root) == []


def test_a_command_that_does_not_end_is_ended() -> None:
    """And what went wrong is said in a line."""
    said = bootstrap._ends_in_time
    assert said([sys.executable, "-c", "pass"], 20) is None
    assert said([sys.executable, "-c", "print('a'); print('b'); raise SystemExit(3)"], 20) == "b"
    assert said([sys.executable, "-c", "import time; time.sleep(60)"], 0.1) == "took too long"
    assert "No such file" in (said(["/nowhere/apt-get"], 20) or "")


def test_what_an_audit_says() -> None:
    """Weaknesses a line each; a registry that knows nothing, and none, are no clean bill."""
    sound = '{"name": "a", "version": "1", "vulns": []}'
    weak = '{"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3"], "aliases": []}]}'
    gone = '{"name": "torch", "skip_reason": "Dependency not found on PyPI"}'
    found = bootstrap.read_audit(f'Found 1 in 1 package\n{{"dependencies": [{sound}, {weak}, {gone}], "fixes": []}}\n')
    assert found == bootstrap.Audit(("b 2: PYSEC-1, fixed in 2.1, 3",), ("torch",))
    assert "no list of vulnerabilities" in (bootstrap.read_audit(f'{{"dependencies": [{gone}]}}').silent or "")
    offline = "Traceback (most recent call last):\n…\nProxyError: Failed to establish a new connection: [Errno 111]"
    assert "the package registry cannot be reached" in (bootstrap.read_audit(offline).silent or "")
    assert bootstrap.read_audit("").silent == "no output"


def test_a_check_that_fails_fails_them_all(tmp_path: Path) -> None:
    """After the others have run, with the environment that was asked for."""
    code = "import os, sys; open(sys.argv[1], 'w').close(); sys.exit(int(os.environ['CODE']))"
    (tmp_path / "one.py").write_text(code)
    checks = {name: ["one", str(tmp_path / name)] for name in ("a", "b")}
    python = Path(sys.executable)
    assert bootstrap.check(tmp_path, python, checks, {"CODE": "3"}) == 1
    assert {path.name for path in tmp_path.iterdir()} >= {"a", "b"}
    assert bootstrap.check(tmp_path, python, checks, {"CODE": "0"}) == 0


@pytest.mark.parametrize(
    ("output", "fuzz", "code", "says"),
    [
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0, 0, "pip-audit ok"),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X", "fix_versions": []}]}]}', 0, 1,
         "a 1: X, fixed in none yet"),
        ("Traceback (most recent call last):\n…\nConnectTimeout: connect timeout=15", 0, 3,
         "pip-audit cannot tell: the package registry cannot be reached"),
        ("…\nServiceError: 403 Forbidden", 0, 3, "pip-audit cannot tell: ServiceError: 403 Forbidden"),
        ("…\nServiceError: 403 Forbidden", 4, 1, "fuzz FAILED (exit code 4)"),
    ],
)  # fmt: skip
def test_an_audits_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, fuzz: int, code: int, says: str
) -> None:
    """3 when nothing is known, in one sentence and without a traceback; a check that failed comes first."""
    (tmp_path / "pip_audit.py").write_text(f"print({output!r})")
    (tmp_path / "fuzz.py").write_text(f"raise SystemExit({fuzz})")
    checks = {"pip-audit": ["pip_audit"], "fuzz": ["fuzz"]}
    assert bootstrap.check(tmp_path, Path(sys.executable), checks, {}) == code
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_it_runs_with_nothing_installed() -> None:
    """The set-up imports the standard library only: it works with `-S`, where no installed package can be found."""
    done = subprocess.run([sys.executable, "-S", "-m", "lmms_fast.bootstrap", "--help"], cwd=ROOT, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "smoke" in done.stdout
