"""What a run has to say: in JSON with a schema, in Markdown, compared with others and side by side.

`model` has the types, everything else is functions over them: `verdict` says what results come to, `files`
reads and writes, `compare` and `matrix` look at several reports, `markdown` is for people.
"""

from .files import ReportUnreadable, read, schema, write
from .model import BackendReport, Environment, Outcome, Report, Result, SuiteInfo, Unavailable, Verdict

__all__ = [
    "BackendReport",
    "Environment",
    "Outcome",
    "Report",
    "ReportUnreadable",
    "Result",
    "SuiteInfo",
    "Unavailable",
    "Verdict",
    "read",
    "schema",
    "write",
]
