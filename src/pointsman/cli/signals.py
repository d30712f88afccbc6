"""Signals that end the daemon."""

import signal
import socket
import threading

from pointsman.core.loop import EventLoop


def stop_on_signals(loop: EventLoop) -> list[signal.Signals]:
    """Have SIGTERM and SIGINT stop the loop; they are listed as they come.

    A thread waits for them. Python's own handlers run on the main thread between two steps of the program:
    one that comes as the loop is about to wait for news would be heard only when there is some.
    """
    received: list[signal.Signals] = []
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.detach())
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda _signum, _frame: None)

    def wait() -> None:
        with heard:
            received.append(signal.Signals(heard.recv(1)[0]))
        loop.stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return received
