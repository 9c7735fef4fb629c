"""Who runs next: one thread of a worker leads, takes what is ready and runs it; the others are spare.

Threads of one Python process take turns holding the interpreter, and each hand-over between processors costs
more than a command.  So there is one leader at a time, who polls the epoll and works off what came, many
descriptors to one system call.  A step that takes long, because a disk makes it wait, must not stop
the others: the main thread looks at the leader again and again, and if it finds it in the same step
as before, a spare thread leads from then on, beginning with what the late one had not come to.  The late one
finishes its step and is spare.  A disk that has been slow lately is looked after more often.

While nothing happens nobody looks: the leader wakes the main thread when something does.

Rules: a descriptor that is registered one-shot is attended by one thread, and `attend` puts it back into the
epoll.  Any other may come again while it is attended.

When things fail: an exception out of `attend` is logged, and the thread goes on.  A thread that dies all the
same is replaced by the main thread.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable

from tpop3d_py.log import Log, one_line

#: Seconds that a leader may be in one step before it is replaced, at least; twice as long at most.
_PATIENCE = 0.02
#: The same while steps have been slow, and for how many seconds after the last one.
_IMPATIENCE = 0.005
_SLOW_FOR = 1.0
#: Looks without any step in between after which nobody looks until something happens.
_IDLE_LOOKS = 5
#: Descriptors taken from the epoll at once.
_BATCH = 64


class _Term:
    """The time that one thread leads; only that thread writes, but for `over`."""

    __slots__ = ("busy", "over", "steps")

    def __init__(self) -> None:
        self.steps = 0
        self.busy = True  # it may begin with what another one has fetched
        self.over = False


class Reactor:
    """The epoll of a worker and the threads that serve it.

    Args:
        attend: called with each descriptor that is ready, by the leading thread.
        threads: how many there are, all together.
        log: for what `attend` raises.
    """

    def __init__(self, attend: Callable[[int], None], threads: int, log: Log) -> None:
        #: Descriptors are registered here; by any thread.
        self.epoll = select.epoll()
        self._attend = attend
        self._log = log
        self._ready: deque[int] = deque()
        self._term = _Term()
        self._term.over = True  # nobody's: the first look may come before the first leader
        self._seat = threading.Lock()  # whoever holds it leads; nobody does before `start`
        self._seat.acquire()
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._dozing = False
        self._seen = self._term, 0
        self._idle_looks = 0
        self._impatient_until = 0.0
        self._stopping = False
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        self.epoll.register(self._bell, select.EPOLLIN)
        self._crew = [self._hire() for _ in range(threads)]

    @property
    def backlog(self) -> int:
        """How many descriptors are ready and wait for their step."""
        return len(self._ready)

    def start(self) -> None:
        """Begin to serve."""
        for thread in self._crew:
            thread.start()
        self._seat.release()

    def watch(self, seconds: float) -> None:
        """Look after the leader for this long; for one thread, the main one, which also calls `stop`."""
        end = time.monotonic() + seconds
        self._replace_dead()
        while (left := end - time.monotonic()) > 0 and not self._stopping:
            self._look()
            if self._idle_looks >= _IDLE_LOOKS:
                self._doze(left)
            else:
                self._alarm.acquire(timeout=min(left, self._patience()))

    def stop(self, seconds: float) -> None:
        """Have all threads finish their steps; wait for them this long at most."""
        self._stopping = True
        os.write(self._ring, b"\0")
        end = time.monotonic() + seconds
        for thread in self._crew:
            thread.join(max(0.0, end - time.monotonic()))

    # --- the main thread ---------------------------------------------------

    def _look(self) -> None:
        """Compare what the leader does with what it did at the last look."""
        term = self._term
        now = term, term.steps
        if now != self._seen:
            self._seen, self._idle_looks = now, 0
        elif not term.busy:
            self._idle_looks += 1
        elif not term.over:
            term.over = True
            self._impatient_until = time.monotonic() + _SLOW_FOR
            self._seat.release()

    def _replace_dead(self) -> None:
        """Replace threads that ended although they should not: memory ran out, or a fault of ours."""
        for place, thread in enumerate(self._crew):
            if not (thread.is_alive() or self._stopping):
                self._log.error(f"{thread.name} has died; starting another")
                self._crew[place] = self._hire()
                self._crew[place].start()

    def _hire(self) -> threading.Thread:
        return threading.Thread(target=self._serve, daemon=True)

    def _patience(self) -> float:
        return _IMPATIENCE if time.monotonic() < self._impatient_until else _PATIENCE

    def _doze(self, seconds: float) -> None:
        """Sleep until the leader has something to do."""
        self._dozing = True
        # What came just now may not have seen that we doze.
        if not self._term.busy and (self._term, self._term.steps) == self._seen:
            self._alarm.acquire(timeout=seconds)
        self._dozing = False

    # --- the crew ----------------------------------------------------------

    def _serve(self) -> None:
        while True:
            self._seat.acquire()
            term = self._term = _Term()
            try:
                self._lead(term)
            finally:  # whatever killed this thread, the next one shall lead
                if not term.over:
                    term.over = True
                    self._seat.release()
            if self._stopping:
                return  # whoever sits down next will see that too
            if self._ready:  # fetched, and then replaced: the new leader may be waiting in the epoll
                os.write(self._ring, b"\0")

    def _lead(self, term: _Term) -> None:
        ready, attend = self._ready, self._attend
        while not (term.over or self._stopping):
            if not ready:
                self._fetch(term)
                continue
            try:
                fd = ready.popleft()
            except IndexError:  # the thread that was replaced took it
                continue
            term.steps += 1
            try:
                attend(fd)
            except Exception:
                self._log.error(f"internal error: {one_line(traceback.format_exc())}")

    def _fetch(self, term: _Term) -> None:
        """Wait for what is ready."""
        term.busy = False
        fetched = [fd for fd, _ in self.epoll.poll(-1, _BATCH)]
        term.busy = True
        if self._bell in fetched and not self._stopping:
            fetched.remove(self._bell)
            with contextlib.suppress(BlockingIOError):
                os.read(self._bell, 512)
        self._ready.extend(fetched)
        if self._dozing:
            self._wake()

    def _wake(self) -> None:
        self._dozing = False
        with contextlib.suppress(RuntimeError):  # two threads may both have seen it doze
            self._alarm.release()
