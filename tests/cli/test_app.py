"""The program as a whole: its words, exit statuses, and what it costs to ask it for help."""

import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from .processes import POINTSMAN, distribution, environment, pointsman

COMMAND = """
    def run(args, plugins):
        {body}


    from pointsman.core.hookspecs import hookimpl

    @hookimpl
    def pointsman_add_options(commands):
        parser = commands.add_parser("extra", help="one more")
        parser.add_argument("--count", type=int, default=1)
        parser.set_defaults(run=run)
"""


def extra(folder: Path, body: str) -> Path:
    """Install a plugin that adds the command ``extra``."""
    return distribution(folder / "site", "extra", COMMAND.format(body=body))


def test_version() -> None:
    done = pointsman("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"pointsman {version('pointsman')}\n", "")


def test_help_names_the_commands() -> None:
    done = pointsman("--help")
    assert done.returncode == 0
    assert {"run", "cleanup", "backends"} <= set(re.findall(r"^    (\w+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run", "--nonsense"], ["cleanup", "extra"]])
def test_what_cannot_be_understood_is_answered_with_the_usage(arguments: list[str]) -> None:
    done = pointsman(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: pointsman")


def test_flags_are_not_guessed() -> None:
    """Else a flag added later could change what an abbreviation means."""
    done = pointsman("run", "--hostname=x")
    assert done.returncode == 2
    assert done.stderr.endswith("error: unrecognized arguments: --hostname=x\n")


def test_help_loads_no_library_that_only_some_commands_need() -> None:
    program = (
        "import sys\nfrom pointsman.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in done.stderr.split()}
    assert "pointsman" in loaded
    assert not loaded & {"pyroute2", "rich", "structlog", "pytest", "asyncio"}


def test_a_plugin_can_add_a_command(tmp_path: Path) -> None:
    site = extra(tmp_path, "print(args.count, *(spec.name for spec in plugins.backends)); return 7")
    done = pointsman("extra", "--count=3", path=site)
    assert done.returncode == 7
    count, *backends = done.stdout.split()
    assert count == "3"
    assert {"memory", "nftables"} <= set(backends)
    assert "extra" in pointsman("--help", path=site).stdout


def test_a_command_that_does_nothing_is_the_plugins_fault(tmp_path: Path) -> None:
    source = """
        from pointsman.core.hookspecs import hookimpl

        @hookimpl
        def pointsman_add_options(commands):
            commands.add_parser("extra", help="one more")
    """
    done = pointsman("--version", path=distribution(tmp_path / "site", "extra", source))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "pointsman: the command 'extra' of a plugin does not say what to run: its default `run`\n"
    )


def test_a_plugin_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    site = distribution(tmp_path / "site", "broken", "raise OSError('no\\nluck')", name="broken-dist")
    done = pointsman("backends", path=site)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("pointsman: plugin broken of broken-dist can't be loaded: OSError(")


@pytest.mark.parametrize(
    ("error", "status"),
    [("ConfigError('not so')", 2), ("PluginError('not so')", 2), ("BackendUnavailable('x', 'no', 'y')", 1)],
)
def test_expected_trouble_is_a_line(tmp_path: Path, error: str, status: int) -> None:
    site = extra(tmp_path, f"import pointsman.core.errors as e; raise e.{error}")
    done = pointsman("extra", path=site)
    assert (done.returncode, done.stdout) == (status, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("pointsman: ")


def test_trouble_stays_a_line_whatever_it_quotes(tmp_path: Path) -> None:
    site = extra(
        tmp_path, r"from pointsman.core.errors import ConfigError; raise ConfigError('a\nb\x1b[2J\u2028c')"
    )
    done = pointsman("extra", path=site)
    assert done.stderr == "pointsman: a\\nb\\x1b[2J\\u2028c\n"


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    done = pointsman("extra", path=extra(tmp_path, "raise RuntimeError('oops')"))
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: oops\n")


def test_an_interrupted_command_ends_without_a_traceback(tmp_path: Path) -> None:
    site = extra(tmp_path, "print('here', flush=True); import time; time.sleep(60)")
    with subprocess.Popen(
        [*POINTSMAN, "extra"],
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "here\n"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, said) == (130, "")


def test_a_reader_that_has_seen_enough_is_no_trouble(tmp_path: Path) -> None:
    site = extra(tmp_path, "print('x' * 10**6)")
    with subprocess.Popen(
        [*POINTSMAN, "extra"], env=environment(site), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1
