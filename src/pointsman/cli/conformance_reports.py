"""What there is to do with the suite's reports, and to know of its cases, without playing any."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pointsman.core.errors import ConfigError


def run(args: argparse.Namespace) -> int:
    """Do what the first word says. Raises `ConfigError` where it says nothing that can be done."""
    word, *files = args.words or [""]
    if word not in _WORDS:
        there_are = f"say with --backend NAME whom to hold to the suite, or one of {', '.join(_WORDS)}"
        raise ConfigError(f"conformance {word}: there is no such command; {there_are}" if word else there_are)
    return _WORDS[word](args, [Path(file) for file in files])


def _diff(_: argparse.Namespace, files: Sequence[Path]) -> int:
    from pointsman.conformance.report import read
    from pointsman.conformance.report.compare import compare

    if len(files) != 2:
        raise ConfigError("conformance diff takes two reports: the old one and the new one")
    comparison = compare(*map(read, files))
    print(*comparison.lines(), sep="\n")
    return int(comparison.worse)


def _matrix(args: argparse.Namespace, files: Sequence[Path]) -> int:
    from pointsman.conformance.report import read
    from pointsman.conformance.report.matrix import rendered

    if not files:
        raise ConfigError("conformance matrix takes reports, at least one")
    text = rendered([read(file) for file in files])
    for target in args.report:
        target.write_text(f"# What each dataplane makes of each rule\n\n{text}", encoding="utf-8")
    if not args.report:
        print(text, end="")
    return 0


def _cases(args: argparse.Namespace, files: Sequence[Path]) -> int:
    from pointsman.conformance.version import SUITE_VERSION, digest

    from .conformance_runs import collected

    if files:
        raise ConfigError("conformance cases takes no files")
    cases = collected(args)
    print(*cases, sep="\n")
    print(f"suite {SUITE_VERSION}: {len(cases)} cases, digest {digest(cases)}")
    return 0


def _schema(_: argparse.Namespace, files: Sequence[Path]) -> int:
    from pointsman.conformance.report import schema

    if files:
        raise ConfigError("conformance schema takes no files")
    print(json.dumps(schema(), indent=1))
    return 0


_WORDS: Mapping[str, Callable[[argparse.Namespace, Sequence[Path]], int]] = {
    "diff": _diff,
    "matrix": _matrix,
    "cases": _cases,
    "schema": _schema,
}
