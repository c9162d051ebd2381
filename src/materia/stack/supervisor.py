"""Starts processes in order, restarts those that die, and stops all of them, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from materia.errors import StateError
from materia.stack.child import Child, ProcessSpec, ProcessState, describe_exit
from materia.stack.logs import ProcessLog

POLL_S = 0.05
LOG_CHECK_S = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait and how often to try; times in seconds."""

    ready_s: float = 120.0
    first_pause_s: float = 0.2
    longest_pause_s: float = 5.0
    # A process that was ready for so long starts again without the pauses of earlier crashes.
    settled_s: float = 30.0
    # Starts of one process that may fail before the stack has ever been ready.
    first_attempts: int = 3


@dataclass(slots=True)
class Supervised:
    """What is known of one process at present."""

    spec: ProcessSpec
    state: ProcessState = ProcessState.WAITING
    pid: int | None = None
    restarts: int = 0
    # Why it ended the last time, and the last lines that it wrote then.
    reason: str = ""
    last_lines: list[str] = field(default_factory=list)
    child: Child | None = None
    log: ProcessLog = field(default_factory=lambda: ProcessLog(Path()))
    reached: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Keeps a table of processes running.

    Args:
        specs: The table. `after` must name earlier entries only.
        logs: Folder of the logs.
        folder: Working folder of the processes.
        on_change: Called whenever anything about a process changed.
        patience: Time limits.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        logs: Path,
        folder: Path,
        on_change: Callable[[Supervisor], None],
        patience: Patience | None = None,
    ) -> None:
        self.processes = {
            spec.name: Supervised(spec, log=ProcessLog(logs / f"{spec.name}.log")) for spec in specs
        }
        self._folder = folder
        self._on_change = on_change
        self._patience = patience or Patience()
        self._was_ready = False
        self.is_stopping = False

    @property
    def is_ready(self) -> bool:
        """Whether every process does its work at this moment."""
        good = (ProcessState.READY, ProcessState.DONE)
        return all(process.state in good for process in self.processes.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Keep everything running until `stop` is set; everything has ended when this returns.

        Raises:
            StateError: When a process does not come up at the start, with its last words.
        """
        for process in self.processes.values():
            process.log.rotate()
        try:
            async with asyncio.TaskGroup() as tasks:
                keepers = [tasks.create_task(self._keep(p)) for p in self.processes.values()]
                keepers.append(tasks.create_task(self._limit_logs()))
                await stop.wait()
                for keeper in keepers:
                    keeper.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            await self._stop_all()

    async def _keep(self, process: Supervised) -> None:
        """Start one process again and again; returns when a one-shot process is done."""
        for name in process.spec.after:
            await self.processes[name].reached.wait()
        pause_s = self._patience.first_pause_s
        while True:
            if await self._start(process):
                if process.spec.is_one_shot:
                    return
                since = time.monotonic()
                await self._outlive(process)
                if time.monotonic() - since > self._patience.settled_s:
                    pause_s = self._patience.first_pause_s
            process.restarts += 1
            if not self._was_ready and process.restarts >= self._patience.first_attempts:
                self._give_up(process)
            self._change(process, ProcessState.RESTARTING)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._patience.longest_pause_s)

    def _give_up(self, process: Supervised) -> NoReturn:
        self._change(process, ProcessState.FAILED)
        raise StateError(
            f"{process.spec.name} does not start: it {process.reason}",
            f"its log is {process.log.path}",
        )

    async def _start(self, process: Supervised) -> bool:
        """Start a process and wait until it is ready; False when it never was."""
        try:
            process.child = await Child.start(process.spec, process.log, self._folder)
        except OSError as error:
            process.reason = f"could not be started: {error}"
            return False
        process.pid = process.child.pid
        self._change(process, ProcessState.STARTING)
        if not await self._becomes_ready(process):
            await self._bury(process)
            return False
        state = ProcessState.READY
        if process.spec.is_one_shot:
            await self._bury(process)
            state = ProcessState.DONE
        process.reached.set()
        self._change(process, state)
        return True

    async def _becomes_ready(self, process: Supervised) -> bool:
        assert process.child is not None
        ended = asyncio.ensure_future(process.child.wait())
        try:
            async with asyncio.timeout(self._patience.ready_s):
                while not ended.done():
                    # A probe that raises would end the whole stack; all of them answer yes or no.
                    if not process.spec.is_one_shot and await process.spec.ready(process.child.pid):
                        return not ended.done()
                    await asyncio.wait({ended}, timeout=POLL_S)
        except TimeoutError:
            process.reason = f"was not ready after {self._patience.ready_s:.0f} s"
            return False
        finally:
            ended.cancel()
        process.reason = describe_exit(ended.result())
        return process.spec.is_one_shot and ended.result() == 0

    async def _outlive(self, process: Supervised) -> None:
        """Wait until a ready process ends and clear away what it leaves."""
        assert process.child is not None
        process.reason = describe_exit(await process.child.wait())
        await self._bury(process)

    async def _bury(self, process: Supervised) -> None:
        """End what is left of a process; its pid may belong to somebody else afterwards."""
        if process.child is not None:
            await process.child.kill()
        process.child = None
        process.pid = None
        process.last_lines = process.log.tail()

    def hurry(self) -> None:
        """Kill everything instead of waiting for it to stop; for a stop under way."""
        for process in self.processes.values():
            if process.child is not None:
                process.child.kill_group()

    async def _stop_all(self) -> None:
        """Stop dependents before what they depend on; those of one level at the same time."""
        self.is_stopping = True
        self._on_change(self)
        left = dict(self.processes)
        while left:
            needed = {name for p in left.values() for name in p.spec.after}
            level = [left.pop(name) for name in list(left) if name not in needed]
            await asyncio.gather(*(self._stop(process) for process in level))

    async def _stop(self, process: Supervised) -> None:
        if process.child is not None:
            await process.child.stop(process.spec.stop_s)
            await self._bury(process)
        if process.state not in (ProcessState.DONE, ProcessState.FAILED):
            self._change(process, ProcessState.STOPPED)

    async def _limit_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for process in self.processes.values():
                process.log.limit()

    def _change(self, process: Supervised, state: ProcessState) -> None:
        process.state = state
        self._was_ready = self._was_ready or self.is_ready
        self._on_change(self)
