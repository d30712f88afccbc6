"""The progress of a build, for people."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from .building import Report

# How much the archive of 6.12 holds; older ones, a little less. How much there is to compile nobody knows.
_LINES = {"unpack": 93_000}


@contextmanager
def shown(console: Console) -> Iterator[Report]:
    """Show each step of a build while it lasts: a bar on a terminal, a line elsewhere."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description:10}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[line]}", markup=False),
        console=console,
    )
    tasks: dict[str, TaskID] = {}

    def report(step: str, line: str) -> None:
        if step not in tasks:
            _finish(progress)
            tasks[step] = progress.add_task(step, total=_LINES.get(step), line="")
            if not console.is_terminal:
                console.print(f"kernel: {step}")
            return
        task = progress.tasks[tasks[step]]
        # The count is an estimate: the end must not seem to be reached before it is.
        total = None if task.total is None else max(task.total, task.completed + 2)
        shortened = Text(line)
        shortened.truncate(max(10, console.width - 70), overflow="ellipsis")
        progress.update(task.id, advance=1, total=total, line=shortened.plain)

    if console.is_terminal:
        with progress:
            yield report
            _finish(progress)
    else:
        yield report


def _finish(progress: Progress) -> None:
    for task in progress.tasks:
        progress.update(task.id, total=max(task.completed, 1), completed=max(task.completed, 1), line="")
