"""A demo's outcome, for people and for programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
from rich import box
from rich.bar import Bar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from .report import DemoReport
from .stage import Advance, Announce

# The seed's words for the steps, in the order in which a packet takes them.
TOPICS = {
    "match": "match the virtual IP",
    "policy": "who may come in",
    "pick": "pick a backend",
    "dnat": "DNAT to the pod",
    "masquerade": "whom the pod sees",
    "refuse": "refuse",
}

BAR_WIDTH = 24


class Listener(NamedTuple):
    """Where the play says how far it is."""

    announce: Announce
    advance: Advance


@contextmanager
def progress(connections: int) -> Iterator[Listener]:
    """Show progress on standard error while it is a terminal, and nothing otherwise."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=connections)
        yield Listener(
            lambda what: shown.update(task, description=what),
            lambda done: shown.update(task, completed=done),
        )


def as_json(report: DemoReport) -> str:
    """The whole report as JSON, in lines fit for reading."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def draw(report: DemoReport) -> None:
    """Print the report as a picture."""
    console = Console(highlight=False)
    console.print()
    console.print(
        Text(
            f" {report.client} connected {report.connections} times to {report.virtual_ip}:{report.port}",
            "bold",
        )
    )
    console.print(
        f" ({report.service}; {report.backend}; Linux {report.kernel}; {report.seconds:.2f} s)", style="dim"
    )
    console.print(_shares(report))
    console.print(_fairness(report))
    if report.other_outcomes:
        others = ", ".join(f"{count} {what}" for what, count in sorted(report.other_outcomes.items()))
        console.print(f" Not answered: {others}", style="bold red")
    console.print()
    console.print(Text(" The first packet's way, read back from the kernel", "bold"))
    console.print(_way(report))
    if report.answer is not None:
        answer = report.answer
        console.print(
            f" {answer.pod} answered, and said that it was asked by {answer.client}:{answer.client_port}"
            f"{': the client itself' if answer.client == report.client else ''}."
        )
        console.print()


def _shares(report: DemoReport) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=True)
    table.add_column("pod", no_wrap=True)
    table.add_column("endpoint", no_wrap=True)
    table.add_column("connections", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("", width=BAR_WIDTH)
    most = max(pod.share for pod in report.pods) or 1.0
    for pod in report.pods:
        bar = Bar(size=most, begin=0, end=pod.share, width=BAR_WIDTH, color="green")
        table.add_row(pod.pod, pod.endpoint, str(pod.connections), f"{pod.share:.1%}", bar)
    return table


def _fairness(report: DemoReport) -> str:
    return (
        f" chi-squared {report.chi_squared:.2f}, {report.degrees_of_freedom} degrees of freedom:"
        f" {report.p_value:.0%} of fair runs are less even"
    )


def _way(report: DemoReport) -> Table:
    """The steps in the seed's words; of alternatives to one step, each with its chance."""
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right", style="green", no_wrap=True)
    table.add_column()
    places: dict[str, str] = {}
    for step in report.way:
        topic = "" if step.topic in places else TOPICS.get(step.topic, step.topic)
        chance = "" if step.probability == 1 else f"{step.probability:.1%}"
        words = Text(step.text)
        if step.where and places.get(step.topic) != step.where:
            words.append(f"\n{step.where}", style="dim")
        table.add_row(topic or "  or" if step.topic == "pick" else topic, chance, words)
        places[step.topic] = step.where
    return table
