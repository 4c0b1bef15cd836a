"""Auditing a model: asking the same thing many times, one at a time and several at once, within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from tenuto.core.artifacts import Artifact
from tenuto.core.audits import AUDITS, Audit, Series, audit_cost, series_of, usual_answer
from tenuto.core.budget import DIMENSIONS, NOTHING, Amount, add, shortfall, subtract
from tenuto.core.canonical import digest
from tenuto.core.ids import Digest, Position, RunId
from tenuto.core.models import Message, ModelConfig, ModelProfile, ModelReply, ModelRequest, Usage
from tenuto.core.pinning import dropped_by
from tenuto.core.seeds import call_seed
from tenuto.errors import ArtifactConflictError, MissingArtifactError, ModelCallError, UsageError
from tenuto.ports.artifacts import ArtifactStore
from tenuto.ports.clock import Clock
from tenuto.ports.model import ModelProvider

__all__ = ["PROMPT", "Auditor", "audits_told", "keep_audit", "newest_audit"]

DEADLINE_US = 600_000_000
TRIES = 3
BACKOFF_US = 1_000_000
BACKOFF_US_MAX = 60_000_000
TOKENS = 64
PROMPT = """\
A repository holds a plan, its agents and their tools. The plan has steps; a step has inputs, a role, limits \
and a prompt. An engine reads the plan, asks a model for each step, runs the tools that the model wants, and \
writes every decision into a journal before it acts. When the engine is killed, it reads the journal again and \
goes on where it was; what was recorded is never executed again. Two engines never write one journal, because \
each append is checked against the epoch of its writer. Money is reserved before a call and settled after it, \
so nobody can spend more than the limit. Files are kept as trees, and parallel branches are merged in the \
order of the plan.

Explain in five sentences, to somebody who has never seen such an engine, why it writes before it acts, and \
what could go wrong if it did not."""
"""Long enough that batches and caches show: with short prompts answers are often equal by luck."""


@dataclass(kw_only=True)
class Auditor:
    """One audit. `limits` holds what may be spent, by dimension; what is not in it is not limited."""

    models: ModelProvider
    clock: Clock
    model: str
    profile: ModelProfile
    prompt: str = PROMPT
    max_tokens: int = 0
    limits: Mapping[str, int] = field(default_factory=dict)
    spent: Amount = NOTHING
    held: Amount = NOTHING
    stopped: str = ""

    def __post_init__(self) -> None:
        """UsageError where a limit in money cannot be kept."""
        if "usd_micros" in self.limits and self.profile.price is None and self.profile.grade != "exact":
            raise UsageError(
                f"the audit limits money, but the price of {self.model} is not known",
                where=f"model {self.model}",
                fix=f'declare it in tenuto.toml ([prices."{self.model}"]), or limit tokens instead',
            )
        # What a reasoning model thinks counts too: without room for it every answer would be empty.
        pinned = "temperature" in self.profile.accepts
        self.max_tokens = self.max_tokens or (TOKENS if pinned else self.profile.default_max_tokens)

    @property
    def hold(self) -> Amount:
        """What one call may cost at most."""
        bound = len(self.prompt.encode()) + self.profile.input_overhead_tokens
        return audit_cost(self.profile.price, Usage(input_tokens=bound, output_tokens=self.max_tokens))

    def estimate(self, calls: int) -> Amount:
        """What so many calls may cost at most, if none is tried again."""
        return Amount(**{d: calls * getattr(self.hold, d) for d in DIMENSIONS})

    async def measure(
        self, number: int, concurrency: int, tell: Callable[[Series], object] = lambda _: None
    ) -> Audit:
        """Ask `number` times one at a time, then as often with `concurrency` at once. `tell` hears of each series."""
        series: list[Series] = []
        usual = ""
        for at_once in sorted({1, concurrency}):
            replies, failed = await self._ask_all(number, at_once)
            usual = usual if series else usual_answer(replies)
            series.append(series_of(replies, usual, at_once=at_once, failed=failed))
            tell(series[-1])
            if self.stopped:
                break
        return Audit(
            at_us=self.clock.now_us(),
            dropped=dropped_by(self.profile),
            grade=self.profile.grade,
            max_tokens=self.max_tokens,
            model=self.model,
            profile=self.profile.entry,
            prompt=digest(self.prompt.encode()),
            seed=self._request().config.seed,
            series=tuple(series),
            spent=self.spent,
            stopped=self.stopped,
            usual=usual,
        )

    async def _ask_all(self, number: int, at_once: int) -> tuple[list[ModelReply], int]:
        left = iter(range(number))
        replies: list[ModelReply] = []
        failed = 0

        async def work() -> None:
            nonlocal failed
            for _ in left:
                try:
                    reply = await self._ask()
                except ModelCallError as error:
                    failed += 1
                    if error.kind in ("unauthorized", "bad_request", "context_length"):
                        self.stopped = self.stopped or str(error)
                else:
                    if reply is not None:
                        replies.append(reply)
                if self.stopped:
                    return

        await asyncio.gather(*(work() for _ in range(min(at_once, number))))
        return replies, failed

    async def _ask(self) -> ModelReply | None:
        """One answer; None where the budget has no room for the call. ModelCallError after the last try."""
        for number in range(1, TRIES + 1):
            if not self._reserve():
                return None
            try:
                reply = await self.models.complete(self._request(), deadline_us=DEADLINE_US)
            except ModelCallError as error:
                self.held = subtract(self.held, self.hold)
                self.spent = add(self.spent, self.hold if error.sent else NOTHING)
                if number == TRIES or not error.retryable:
                    raise
                wait = error.retry_after_ms * 1_000 if error.retry_after_ms is not None else BACKOFF_US * number
                await self.clock.sleep(min(wait, BACKOFF_US_MAX))
            else:
                self.held = subtract(self.held, self.hold)
                self.spent = add(self.spent, audit_cost(self.profile.price, reply.usage))
                return reply
        raise AssertionError("every way through the tries ends before")

    def _reserve(self) -> bool:
        """Hold what the call may cost; False where the budget does not cover it."""
        free = Amount(**self.limits)
        need = add(add(self.spent, self.held), self.hold)
        if not shortfall(need, free, tuple(self.limits)).nothing:
            self.stopped = self.stopped or "budget"
            return False
        self.held = add(self.held, self.hold)
        return True

    def _request(self) -> ModelRequest:
        """Always the same one, seed and all."""
        seed = call_seed("audit", Position("audit/1/0"))
        config = ModelConfig(max_tokens=self.max_tokens, model=self.model, seed=seed)
        identity = digest(msgspec.json.encode((config, self.prompt), order="sorted"))
        return ModelRequest(
            call="audit",
            config=config,
            fingerprint=identity,
            key=identity,
            messages=(Message(role="user", text=self.prompt),),
        )


async def keep_audit(store: ArtifactStore, audit: Audit) -> Artifact:
    """Add it to what is known of the model: `MODEL` of `~audits`, in a new version."""
    entry = Artifact(
        digest=Digest(""), media_type="application/json", name=audit.model, run=RunId(AUDITS), size=0, version=0
    )
    while True:
        try:
            newest = (await store.get(RunId(AUDITS), audit.model))[0].version
        except MissingArtifactError:
            newest = 0
        try:
            return await store.put(entry, msgspec.json.encode(audit, order="sorted"), expected_version=newest)
        except ArtifactConflictError:
            continue  # another audit of the model came between


async def newest_audit(store: ArtifactStore, model: str) -> Audit | None:
    """The last audit of a model in this store; None where there is none."""
    try:
        _, body = await store.get(RunId(AUDITS), model)
    except MissingArtifactError:
        return None
    return msgspec.json.decode(body, type=Audit)


async def audits_told(store: ArtifactStore, models: Sequence[str]) -> list[str]:
    """A line for each of these models that was audited here."""
    from datetime import UTC, datetime

    lines = []
    for model in models:
        audit = await newest_audit(store, model)
        if audit is not None:
            day = datetime.fromtimestamp(audit.at_us / 1_000_000, UTC).date().isoformat()
            lines.append(f"{model} audited {day}: {audit.told()}")
    return lines
