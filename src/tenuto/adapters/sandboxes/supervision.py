"""Following one process to its end: bounded output, a deadline, and no return before it is gone.

Output is read by callbacks of the event loop, not through asyncio's streams: those stop reading a flooding child,
and then its end is never seen.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import IO, Any, NamedTuple

__all__ = ["Supervised", "ended", "supervise"]

CHUNK = 1 << 16
FLOOD_PAUSE_S = 0.001
"""Beyond the cap one chunk is taken in this time: a flood must not take the event loop from everyone else."""
GRACE_S = 10.0
"""Seconds that a killed process may take to disappear before its pipes are closed all the same."""


class Supervised(NamedTuple):
    """How it ended: the process's own return code, and what it wrote."""

    returncode: int
    timed_out: bool
    stdout: bytes
    stderr: bytes
    dropped_bytes: int
    duration_us: int


async def supervise(
    process: subprocess.Popen[bytes],
    attend: Coroutine[Any, Any, None],
    *,
    stop: Callable[[], None],
    timeout_us: int,
    output_bytes_max: int,
    gone: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Supervised:
    """Wait until `process` and all holders of its pipes are gone, while `attend` speaks with it.

    `gone` waits for what may outlive both; it is awaited in every case, a cancellation included.

    `stop` kills whatever runs; it is called when the time is over and when this is cancelled, and the wait goes on
    until the process is gone. An exception of `attend` stops the process too, and is raised then.
    """
    work = asyncio.ensure_future(_all_of(_follow(process, attend, stop, timeout_us, output_bytes_max), gone))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop()
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({work})
        if not work.cancelled():
            work.exception()
        raise


async def _all_of(
    follow: Coroutine[Any, Any, Supervised], gone: Callable[[], Coroutine[Any, Any, None]] | None
) -> Supervised:
    try:
        return await follow
    finally:
        if gone is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await gone()


async def _follow(
    process: subprocess.Popen[bytes],
    attend: Coroutine[Any, Any, None],
    stop: Callable[[], None],
    timeout_us: int,
    output_bytes_max: int,
) -> Supervised:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert process.stdout is not None
    assert process.stderr is not None
    streams = [Stream(process.stdout, output_bytes_max), Stream(process.stderr, output_bytes_max)]
    attendant = asyncio.ensure_future(attend)
    attendant.add_done_callback(lambda task: stop() if not task.cancelled() and task.exception() else None)
    over = asyncio.gather(exited(process.pid), *(stream.ended for stream in streams))
    try:
        done, _ = await asyncio.wait({over}, timeout=timeout_us / 1e6)
        timed_out = not done
        if timed_out:
            stop()
            await asyncio.wait({over}, timeout=GRACE_S)
        duration_us = round((loop.time() - begun) * 1e6)
    finally:
        over.cancel()
        attendant.cancel()
        await asyncio.gather(over, attendant, return_exceptions=True)
        for stream in streams:
            stream.close()
        if process.poll() is None:
            process.kill()
        returncode = process.wait()
    if not attendant.cancelled():
        attendant.result()
    return Supervised(
        returncode=returncode,
        timed_out=timed_out,
        stdout=bytes(streams[0].kept),
        stderr=bytes(streams[1].kept),
        dropped_bytes=streams[0].dropped + streams[1].dropped,
        duration_us=duration_us,
    )


async def exited(pid: int) -> None:
    """Return when a process of that pid has ended; it is not reaped here."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await ended(descriptor)
    finally:
        os.close(descriptor)


async def ended(descriptor: int) -> None:
    """Return when the process of a pidfd has ended (it need not be a child)."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def report() -> None:
        if not over.done():
            over.set_result(None)

    loop.add_reader(descriptor, report)
    try:
        await over
    finally:
        loop.remove_reader(descriptor)


class Stream:
    """One pipe: the first `limit` bytes are kept, the rest is counted; `ended` is done at its end."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        self.kept = bytearray()
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._pipe = pipe
        self._limit = limit
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(pipe.fileno(), False)
        self._listen()

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._pipe.fileno(), self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._pipe.fileno(), CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._pipe.fileno())
            if not self.ended.done():
                self.ended.set_result(None)
            return
        room = self._limit - len(self.kept)
        self.kept += data[:room]
        over = len(data) - max(room, 0)
        if over > 0:
            self.dropped += over
            self._loop.remove_reader(self._pipe.fileno())
            self._pause = self._loop.call_later(FLOOD_PAUSE_S, self._listen)

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()
