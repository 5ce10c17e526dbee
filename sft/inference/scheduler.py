"""Many questions, one or more servers: who is asked what and when, and what happens when somebody falls over.

- Each server has a limit of its own (`sft.inference.concurrency`); a free place is given to the next question.
- A reply "no room" is tried again after the time that the server asks for (if that is more than MAX_WAIT: not at all),
  else after a
  back-off that doubles; the server is left alone for as long. A time-out is tried once more, a broken reply twice.
- An error (500) while others were in flight may mean "no room" as well: the first one of a question lowers the limit,
  and what still fails waits for the end and goes alone once. What fails alone is lost: it is the picture.
- A server that refuses or drops connections is down: it gets no questions until it answers again. A question whose
  connection was cut goes to the front; after SUSPECT cuts it waits for the end and goes alone, for it may be what kills
  the server; after CUTS cuts it is lost.
- When all servers have been down for `patience` seconds, or HOPELESS questions in a row failed and one that was
  answered before fails now too, or they go down time and again without one answer, the rest is not asked.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import httpx

from sft.errors import SftError
from sft.images import ImageProblem
from sft.inference.client import CONNECT_TIMEOUT, MAX_WAIT, Answer, LostError, http_client, post
from sft.inference.concurrency import AdaptiveConcurrency
from sft.inference.endpoints import Server, probe_server
from sft.inference.protocols import PROTOCOLS, Question

TRIES = {
    "answer.busy": 6,
    "answer.http": 3,
    "answer.cut": 3,
    "answer.json": 3,
    "answer.schema": 3,
    "answer.choices": 3,
    "answer.timeout": 2,
}  # all others: one
BACKOFF = 0.5  # seconds before the second try, doubled before each further one
LONGEST_BACKOFF = 30.0
SUSPECT, CUTS = 3, 7  # connections that ended under one question: from when on it goes alone, and when it is lost
HOPELESS = 64  # questions lost in a row to broken servers before the rest is not asked
DOWNS = 8  # times that a server is lost, per server, under as many questions and without one answer in between
PATIENCE = 30.0  # seconds without any server
PROBE_FIRST, PROBE_LONGEST = 0.05, 2.0  # seconds between two looks whether a server is back


@dataclass(frozen=True)
class SchedulerOptions:
    """timeout: seconds for one request; backoff: before the second try; patience: with all servers gone."""

    start: int
    most: int
    timeout: float
    backoff: float = BACKOFF
    patience: float = PATIENCE


@dataclass(frozen=True)
class Lost:
    """Why a question has no answer: a code of `client.LOST` and what was seen."""

    code: str
    message: str


@dataclass
class _Job:
    index: int
    question: Question
    tries: int = 0
    cuts: int = 0
    why: Lost | None = None  # of one that waits to be asked alone, for the last time


@dataclass
class _ServerState:
    """One server as the pool sees it; `rests_until`: by the clock, after it asked to be left alone."""

    server: Server
    client: httpx.AsyncClient
    limit: AdaptiveConcurrency
    flying: int = 0
    up: bool = True
    rests_until: float = 0.0

    def free(self, now: float) -> bool:
        """May it be asked now?"""
        return self.up and now >= self.rests_until and self.flying < self.limit.allowed


@dataclass
class RequestScheduler:
    """One pass. `tell(index, answer or loss, address)` is called once for each question, in any order."""

    servers: Sequence[Server]
    options: SchedulerOptions
    tell: Callable[[int, Answer | Lost, str], None]
    transport: httpx.AsyncBaseTransport | None = None
    retries: int = 0
    stopped: str = ""  # why the rest was not asked
    _ready: deque[_Job] = field(default_factory=deque)
    _later: list[tuple[float, int, _Job]] = field(default_factory=list)
    _suspects: deque[_Job] = field(default_factory=deque)
    _stations: list[_ServerState] = field(default_factory=list)
    _tasks: set[asyncio.Future[None]] = field(default_factory=set)
    _watchers: set[asyncio.Future[None]] = field(default_factory=set)
    _in_a_row: int = 0
    _downs: int = 0  # since the last answer
    _victims: set[int] = field(default_factory=set)
    _down_since: float | None = None
    _alone: bool = False
    _good: Question | None = None  # one that was answered
    _doubting: bool = False  # it is being asked again

    async def run(self, questions: Sequence[tuple[int, Question]]) -> None:
        """Ask everything that can be asked."""
        self._ready.extend(_Job(index, question) for index, question in questions)
        async with AsyncExitStack() as stack:
            for server in self.servers:
                client = await stack.enter_async_context(http_client(server.endpoint, self.transport))
                self._stations.append(
                    _ServerState(
                        server,
                        client,
                        AdaptiveConcurrency(self.options.start, self.options.most),
                    )
                )
            try:
                while self._tasks or (not self.stopped and (self._ready or self._later or self._suspects)):
                    if not self.stopped:
                        self._dispatch()
                    await self._wait()
                await self._same()
            finally:
                for task in self._tasks | self._watchers:
                    task.cancel()
                await asyncio.gather(
                    *self._tasks,
                    *self._watchers,
                    return_exceptions=True,
                )
        for job in (*self._ready, *(entry[2] for entry in self._later), *self._suspects):
            self.tell(
                job.index,
                job.why or Lost("answer.not_asked", f"not tried: {self.stopped}"),
                "",
            )

    def _dispatch(self) -> None:
        """Give every free place to a question."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        while not self._alone and (free := [station for station in self._stations if station.free(now)]):
            flying = sum(station.flying for station in self._stations)
            if self._ready:
                job = self._ready.popleft()
            elif self._suspects and not flying and not self._later:
                job = self._suspects.popleft()
                self._alone = True
            else:
                return
            station = min(
                free,
                key=lambda each: each.flying / each.limit.allowed,
            )
            station.flying += 1
            self._tasks.add(asyncio.ensure_future(self._ask(job, station)))

    async def _wait(self) -> None:
        """Until something ends, or something may begin."""
        now = time.monotonic()
        flying = bool(self._tasks)
        moments = [station.rests_until for station in self._stations if station.up and station.rests_until > now]
        moments += [self._later[0][0]] if self._later else []
        gone = None if self._down_since is None or flying else self._down_since + self.options.patience
        moments += [gone] if gone is not None else []
        left = max(0.0, min(moments) - now) if moments else None
        waiting = self._tasks | self._watchers
        if waiting:
            done, _ = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self._tasks -= done
            self._watchers -= done
            faults = [
                fault for task in done if (fault := task.exception()) is not None
            ]  # of all: one that nobody looks at is printed as a traceback
            if faults:
                raise faults[0]  # a full disk, or a fault of the program itself
        else:
            await asyncio.sleep(left or 0.0)
        if gone is not None and self._down_since is not None and time.monotonic() >= gone:
            self.stopped = f"no server has answered for {self.options.patience:g} s"

    async def _ask(self, job: _Job, station: _ServerState) -> None:
        """One request, and what follows from how it went."""
        sent = time.monotonic()
        full = station.flying >= station.limit.allowed
        try:
            answer = await self._request(job.question, station)
        except (ImageProblem, OSError) as error:
            self._done(job, Lost("answer.image", str(error)), station)
        except LostError as lost:
            self._failed(job, lost, station, sent)
            if self._in_a_row >= HOPELESS and not self._doubting:
                await self._doubt(lost, station)
        else:
            self._good = job.question
            self._in_a_row = self._downs = 0
            self._victims.clear()
            station.limit.answered(
                answer.seconds,
                full=full,
                length=len(answer.text),
            )
            self._done(job, answer, station)
        finally:
            station.flying -= 1
            self._alone = False

    async def _doubt(self, lost: LostError, station: _ServerState) -> None:
        """So many failures in a row: of the server, or of the pictures? What was answered before is asked again."""
        self._doubting = True
        try:
            if self._good is not None:
                await self._request(self._good, station)
                self._in_a_row = 0
                return
        except (LostError, ImageProblem, OSError):
            pass
        finally:
            self._doubting = False
        self.stopped = f"{self._in_a_row} questions in a row were lost, the last one because: {lost}"

    async def _request(self, question: Question, station: _ServerState) -> Answer:
        endpoint = station.server.endpoint
        wire = PROTOCOLS[endpoint.kind]
        body = await asyncio.to_thread(
            wire.body,
            question,
            endpoint.model or "",
        )
        sent = time.perf_counter()
        answer = wire.read(
            await post(
                station.client,
                wire.path,
                body,
                self.options.timeout,
            )
        )
        return Answer(
            answer.text,
            answer.finish_reason,
            time.perf_counter() - sent,
        )

    def _done(self, job: _Job, what: Answer | Lost, station: _ServerState) -> None:
        self.tell(
            job.index,
            what,
            station.server.endpoint.public,
        )

    def _failed(self, job: _Job, lost: LostError, station: _ServerState, sent: float) -> None:
        """Try again where that can help, else it is lost."""
        now = time.monotonic()
        if lost.gone:
            self._cut(job, lost, station)
            return
        job.tries += 1
        crowded = lost.code == "answer.http" and not _final(lost) and job.tries == 1 and station.flying > 1
        if crowded or lost.code in ("answer.busy", "answer.timeout"):
            station.limit.overloaded(sent=sent, now=now)
        pause = (
            min(
                self.options.backoff * 2 ** (job.tries - 1),
                LONGEST_BACKOFF,
            )
            if lost.wait is None
            else lost.wait
        )
        too_long = pause > MAX_WAIT
        if lost.wait and not too_long:
            station.rests_until = max(station.rests_until, now + lost.wait)
        if job.why is None and job.tries < TRIES.get(lost.code, 1) and not _final(lost) and not too_long:
            self.retries += 1
            heapq.heappush(
                self._later,
                (now + pause, job.index, job),
            )
            return
        why = Lost(lost.code, f"{lost} (to be asked again after {pause:g} s)" if too_long else str(lost))
        self._in_a_row = self._in_a_row + 1 if lost.code in TRIES and not _final(lost) else 0
        if job.why is None and lost.code == "answer.http" and not _final(lost) and not too_long:
            self.retries += 1
            job.why = why
            self._suspects.append(job)
            return
        self._done(job, why, station)

    def _cut(self, job: _Job, lost: LostError, station: _ServerState) -> None:
        """The connection is gone, and with it perhaps the server."""
        self._victims.add(job.index)
        if station.up:
            station.up = False
            self._downs += 1
            self._watchers.add(asyncio.ensure_future(self._watch(station)))
            if self._down_since is None and not any(other.up for other in self._stations):
                self._down_since = time.monotonic()
            if self._downs >= DOWNS * len(self._stations) and len(self._victims) >= DOWNS:
                self.stopped = (
                    f"{self._downs} times in a row a server was lost before it answered anything, the last time: {lost}"
                )
        job.cuts += lost.code == "answer.cut"
        if job.cuts >= CUTS:
            self._done(
                job,
                Lost(lost.code, f"{job.cuts} times: {lost}"),
                station,
            )
            return
        self.retries += 1
        if job.cuts >= SUSPECT:
            self._suspects.append(job)
        else:
            self._ready.appendleft(job)

    async def _same(self) -> None:
        """A server that came back between two questions, each on a connection of its own, may have done so with
        another model.
        """
        for station in self._stations if not self.stopped else ():
            with suppress(SftError, httpx.HTTPError, asyncio.TimeoutError):
                server = await asyncio.wait_for(
                    probe_server(station.client, station.server.endpoint),
                    CONNECT_TIMEOUT,
                )
                if server.record != station.server.record:
                    self.stopped = (
                        f"{server.endpoint.public} serves another model now than at the start, which may have given"
                        " some of the answers; ask again with --fresh"
                    )

    async def _watch(self, station: _ServerState) -> None:
        """Look whether a server is back, ever more rarely, until it is; with another model it must not go on."""
        pause = min(
            PROBE_FIRST * 2 ** min(self._downs, 3),
            PROBE_LONGEST,
            self.options.patience / 4,
        )
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, PROBE_LONGEST)
            with suppress(SftError, httpx.HTTPError, asyncio.TimeoutError):
                server = await asyncio.wait_for(
                    probe_server(station.client, station.server.endpoint),
                    CONNECT_TIMEOUT,
                )
                if server.record != station.server.record:
                    self.stopped = f"{server.endpoint.public} came back with another model"
                break
        station.up = True
        self._down_since = None


def _final(lost: LostError) -> bool:
    """A reply that says that this very request is bad; to send it again would be answered alike."""
    return lost.code == "answer.http" and str(lost)[:1] == "4" and not str(lost).startswith("408")
