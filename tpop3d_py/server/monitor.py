"""The monitor: one small process that answers operators and Prometheus, and serves no client.

It listens on the control socket (``pypop3d status`` and ``kick``) and on the address of metrics and health.
It keeps nothing: the master starts it anew whenever a worker is, so that it knows them all.

On the control socket a client sends one line of JSON and gets lines of JSON, the last of which has ``"last":
true``; only root and the user that the daemon runs as are answered, as the kernel tells who they are
(SO_PEERCRED in unix(7)).

When things fail: a client that says what makes no sense is told so; see `desk` for the rest.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from tpop3d_py.log import Log, quoted
from tpop3d_py.server.census import Census
from tpop3d_py.server.desk import Desk, hear_out
from tpop3d_py.server.hearing import hear
from tpop3d_py.server.live import Message, row_of
from tpop3d_py.server.pages import answer, pages
from tpop3d_py.server.status import Inquiry

_LONGEST_LINE = 4096
#: Seconds that answers under way get when the monitor is told to end.
_GRACE = 2.0


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """What the monitor works with.

    Args:
        control: the bound control socket; None: there is none.
        http: the bound socket of metrics and health; None: there is none.
        census: of the processes.
        exposition: makes the text of metrics in the format that an Accept header asks for, and names it.
        totals: what ``status`` says beside the sessions.
        permitted: user ids that may use the control socket.
        log: the log.
    """

    control: socket.socket | None
    http: socket.socket | None
    census: Census
    exposition: Callable[[str], tuple[bytes, str]]
    totals: Callable[[], Message]
    permitted: Collection[int]
    log: Log


def serve(plan: MonitorPlan) -> None:
    """Answer until SIGTERM."""
    stop = threading.Event()
    hear({signal.SIGTERM: lambda *_: stop.set(), signal.SIGUSR1: lambda *_: plan.log.reopen()})
    desks = []
    if plan.control is not None:
        desks.append(Desk(plan.control, Controller(plan).answer, plan.log))
    if plan.http is not None:
        known = pages(plan.exposition, plan.census.ailment, plan.census.obstacle)
        desks.append(Desk(plan.http, lambda client: answer(client, known), plan.log))
    while not stop.wait(60.0):
        pass  # a signal is obeyed when the main thread wakes up, which it does at once
    for desk in desks:
        desk.close(_GRACE)


class Controller:
    """Answers on the control socket."""

    def __init__(self, plan: MonitorPlan) -> None:
        self._plan = plan
        self._inquiry = Inquiry()

    def answer(self, client: socket.socket) -> None:
        """Answer one client."""
        question = _question(client)  # read in any case: closing before that would take our answer with it
        if _user_of(client) not in self._plan.permitted:
            client.sendall(_line({"last": True, "error": "only root and the daemon's own user may ask"}))
            return
        for message in self._answers(question):
            client.sendall(_line(message))

    def _answers(self, question: Message) -> Iterator[Message]:
        wanted = question.get("ask")
        if wanted == "status":
            yield from self._status()
        elif wanted in ("kick", "forget", "forgive"):
            yield from self._order({key: question.get(key) for key in ("ask", "id", "user")})
        else:
            yield {"last": True, "error": "not understood"}

    def _status(self) -> Iterator[Message]:
        """Pass on the sessions of all workers as they come, then who kept silent, and totals."""
        census = self._plan.census
        workers = census.workers()
        known = {slot.number: one for slot, one in workers}
        silent = []
        with closing(self._inquiry.ask([slot for slot, _ in workers], {"ask": "sessions"})) as answers:
            for slot, message in answers:
                one = known[slot.number]
                if message is None or "rows" not in message:
                    silent.append({"pid": one.pid, "slot": slot.number})
                    continue
                rows = [row_of(row) for row in message["rows"]]
                marks = {"slot": slot.number, "draining": census.draining(one)}
                yield {"rows": [{**row._asdict(), **marks} for row in rows]}
        yield {"last": True, "silent": silent, "processes": self._processes(), **self._plan.totals()}

    def _processes(self) -> list[Message]:
        count = self._plan.census.count()
        return [{"role": role, "draining": old, "count": n} for (role, old), n in sorted(count.items())]

    def _order(self, order: Message) -> Iterator[Message]:
        done, silent = 0, 0
        slots = [slot for slot, _ in self._plan.census.workers()]
        with closing(self._inquiry.ask(slots, order)) as answers:
            for _, message in answers:
                if message is None or "count" not in message:
                    silent += 1
                else:
                    done += int(message["count"])
        if done or order["ask"] != "kick":
            what, whom = order["ask"], quoted(str(order["id"] or order["user"]))
            text = f"control: {what} {whom}: {done} done"
            self._plan.log.notice(text, "control", {**order, "count": done})
        yield {"last": True, "count": done, "silent": silent}


def _user_of(client: socket.socket) -> int:
    _pid, uid, _gid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def _question(client: socket.socket) -> Message:
    line, _, _ = hear_out(client, lambda octets: b"\n" in octets, _LONGEST_LINE).partition(b"\n")
    with contextlib.suppress(ValueError, RecursionError):
        question = json.loads(line)
        if isinstance(question, dict):
            return cast("Message", question)
    return {}


def _line(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
