"""Settings of logging (CFG-36)."""

from collections.abc import Sequence

from . import rules
from .settings import Setting, Verdict

NO_BUFFER = "logs are written at once, and to standard error"
NO_KLOG = "logs go to standard error, for the container runtime to keep"
LOG_FORMATS = ("text", "json")


LOGGING: Sequence[Setting] = (
    Setting(
        "logging.format",
        ("--logging-format", "--log-format"),
        "text, or json for one object a line",
        rules.one_of(*LOG_FORMATS),
        zero_is_default=True,
        verdict=Verdict.BETTER,
        note="events have names and fields, and no name in an object can forge a line",
    ),
    Setting(
        "logging.verbosity",
        ("-v", "--v"),
        "how much is logged: 4 and more, or -v alone, adds what helps to find faults",
        alone="4",
    ),
    Setting(
        "logging.vmodule",
        ("--vmodule",),
        "PATTERN=LEVEL, verbosity by source file",
        verdict=Verdict.NONE,
        note="there are no files of kube-proxy's; -v holds for all",
    ),
    Setting(
        "logging.flushFrequency",
        ("--log-flush-frequency",),
        "how often logs are flushed",
        zero_is_default=True,
        verdict=Verdict.NONE,
        note=NO_BUFFER,
    ),
    Setting(
        "logging.options.text.splitStream",
        ("--log-text-split-stream",),
        "information to standard output",
        verdict=Verdict.NONE,
        note=NO_BUFFER,
        alone="true",
    ),
    Setting(
        "logging.options.text.infoBufferSize",
        ("--log-text-info-buffer-size",),
        "a buffer for information",
        verdict=Verdict.NONE,
        note=NO_BUFFER,
    ),
    Setting(
        "logging.options.json.splitStream",
        ("--log-json-split-stream",),
        "information to standard output",
        verdict=Verdict.NONE,
        note=NO_BUFFER,
        alone="true",
    ),
    Setting(
        "logging.options.json.infoBufferSize",
        ("--log-json-info-buffer-size",),
        "a buffer for information",
        verdict=Verdict.NONE,
        note=NO_BUFFER,
    ),
    *(
        Setting("", (flag,), what, kind=str, default="", alone=alone, verdict=Verdict.NONE, note=NO_KLOG)
        for flag, what, alone in (
            ("--add-dir-header", "the source file's folder in the log's headers", "true"),
            ("--alsologtostderr", "standard error beside files", "true"),
            ("--log-backtrace-at", "a stack trace at a line", None),
            ("--log-dir", "a folder for log files", None),
            ("--log-file", "a log file", None),
            ("--log-file-max-size", "its size", None),
            ("--logtostderr", "standard error instead of files", "true"),
            ("--one-output", "each severity to its own log file alone", "true"),
            ("--skip-headers", "no headers in the log", "true"),
            ("--skip-log-headers", "no headers in log files", "true"),
            ("--stderrthreshold", "the severity that goes to standard error", None),
        )
    ),
)
