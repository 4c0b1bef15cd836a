"""The ledger of a run as a fold: holds, charges, what was lost, and who pays a call that its account cannot.

For every account and limited dimension `free = granted - spent - held`, and never negative except after an overrun
that a provider caused. The sum of everything granted is the run's limit at all times.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenuto.core.agenda import Order
from tenuto.core.agent_work import AgentWork
from tenuto.core.budget import DIMENSIONS, NOTHING, Account, Amount, add, shortfall, subtract
from tenuto.core.events.budget import BudgetMoved, Moved
from tenuto.core.events.program import AskAgent
from tenuto.core.ids import StepPath, child_path
from tenuto.core.models import Price, Usage
from tenuto.core.shares import PLENTY
from tenuto.core.state import Call, ExecutionState, PlanFrame, StepState

__all__ = [
    "RUN",
    "charge",
    "given",
    "hold",
    "keep",
    "missing",
    "model_hold",
    "model_usage",
    "payment",
    "release",
    "rest_of",
    "returned",
    "split",
]

RUN = "(run)"
"""The account of what belongs to no step; its name is none that a step can have."""


def rest_of(state: ExecutionState) -> dict[str, int]:
    """What a run that has ended left over of its limits, by limited dimension. What is in doubt counts as spent."""
    rest: dict[str, int] = {}
    for dimension in state.spec.plan.budget.limited:
        limit: int = getattr(state.spec.plan.budget, dimension) + getattr(state.limits_added, dimension)
        rest[dimension] = max(0, limit - getattr(state.spent, dimension))
    return rest


def model_hold(agent: AgentWork, input_bytes: int) -> Amount:
    """The worst case of a model call: one token for each UTF-8 byte of input, and all of its max tokens."""
    input_tokens = input_bytes + agent.overhead_tokens
    return Amount(
        input_tokens=input_tokens,
        iterations=1,
        model_calls=1,
        output_tokens=agent.max_tokens,
        tokens=input_tokens + agent.max_tokens,
        usd_micros=_price(agent.profile.price, input_tokens, agent.max_tokens),
    )


def model_usage(agent: AgentWork, usage: Usage) -> Amount:
    """What a model call really cost."""
    return Amount(
        input_tokens=usage.input_tokens,
        iterations=1,
        model_calls=1,
        output_tokens=usage.output_tokens,
        tokens=usage.input_tokens + usage.output_tokens,
        usd_micros=_price(agent.profile.price, usage.input_tokens, usage.output_tokens),
    )


def _price(price: Price | None, input_tokens: int, output_tokens: int) -> int:
    """Rounded up, so that the ledger is never below the bill."""
    if price is None:
        return 0
    return -(-(input_tokens * price.input_micros + output_tokens * price.output_micros) // 1_000_000)


def hold(account: Account, amount: Amount) -> Account:
    return Account(
        granted=account.granted, held=add(account.held, amount), in_doubt=account.in_doubt, spent=account.spent
    )


def charge(account: Account, held: Amount, spent: Amount) -> Account:
    """Turn a hold into what the call really cost."""
    return Account(
        granted=account.granted,
        held=subtract(account.held, held),
        in_doubt=account.in_doubt,
        spent=add(account.spent, spent),
    )


def release(account: Account, held: Amount) -> Account:
    return charge(account, held, NOTHING)


def keep(account: Account, held: Amount) -> Account:
    """The outcome will never be known: the whole hold counts as spent, listed as in doubt."""
    return Account(
        granted=account.granted,
        held=subtract(account.held, held),
        in_doubt=add(account.in_doubt, held),
        spent=add(account.spent, held),
    )


def missing(state: ExecutionState, account: str, need: Amount) -> Amount:
    """What the account lacks to pay `need`; nothing where the run has no limits."""
    limited = state.spec.limited
    return shortfall(need, state.account(account).free, limited) if limited else NOTHING


def split(amount: Amount, parts: int) -> Amount:
    """An equal share; what cannot be divided stays behind. `PLENTY` stays plenty."""
    return Amount(**{d: n if (n := getattr(amount, d)) > PLENTY // 2 else max(0, n) // parts for d in DIMENSIONS})


def given(granted: Amount, part: Amount) -> Amount:
    """What stays granted to an account that gives a part of it away. `PLENTY` stays plenty."""
    return Amount(**{d: n if (n := getattr(granted, d)) > PLENTY // 2 else n - getattr(part, d) for d in DIMENSIONS})


def returned(granted: Amount, rest: Amount) -> Amount:
    """What is granted to an account that gets a rest back. `PLENTY` stays plenty."""
    return Amount(**{d: n if (n := getattr(granted, d)) > PLENTY // 2 else n + getattr(rest, d) for d in DIMENSIONS})


def payment(state: ExecutionState, call: Call) -> BudgetMoved | None:
    """How what a parked call lacks can be taken from others, or None where it cannot.

    From the run's own rest, then finished steps, steps that have not started, parked steps; in each class the last
    in plan order first. A declared budget or an agent's limit is a cap: it is never topped up.
    """
    lack = missing(state, call.account, subtract(call.need, call.hold))
    step = state.steps[call.path]
    account = state.account(call.account)
    taken: dict[str, dict[str, int]] = {}
    for dimension in state.spec.limited:
        needed = getattr(lack, dimension)
        if needed <= 0:
            continue
        cap = state.spec.ask_cap(step.asked, dimension) if isinstance(step.asked, AskAgent) else PLENTY
        if getattr(account.granted, dimension) + needed > cap:
            return None
        headroom = _headroom(state, step, dimension)
        for name, free in _sources(state, call):
            if needed == 0:
                break
            available = getattr(free, dimension)
            if available <= 0 or available > PLENTY // 2:
                continue
            entered = [path for path in headroom if not _within(name, path)]
            part = min([available, needed, *(headroom[path] for path in entered)])
            for path in entered:
                headroom[path] -= part
            if part:
                taken.setdefault(name, {})[dimension] = part
                needed -= part
        if needed:
            return None
    sources = tuple(Moved(account=name, amount=Amount(**amounts)) for name, amounts in taken.items())
    return BudgetMoved(call=call.position, sources=sources, to=call.account)


def _headroom(state: ExecutionState, step: StepState, dimension: str) -> dict[StepPath, int]:
    """What each plan's step and each item around a call, with all below them, may still be given by others."""
    found: dict[StepPath, int] = {}
    around: StepState | None = step
    while around is not None:
        cap = _cap(state, around, dimension)
        if cap < PLENTY:
            names = (name for name in state.accounts if _within(name, around.path))
            granted = sum(getattr(state.accounts[name].granted, dimension) for name in names)
            found[around.path] = max(0, cap - int(granted))
        around = None if around.parent is None else state.steps[around.parent]
    return found


def _cap(state: ExecutionState, step: StepState, dimension: str) -> int:
    """What a step may have at most. An iteration and an asked step have part of what the one above them may."""
    spec = state.spec_of(step)
    index = spec.index[step.name]
    if step.parent is None or step.parent == step.block:
        cap = spec.cap(index, dimension)
    elif step.child_index >= 0 and state.steps[step.parent].expansion is not None:
        cap = spec.item_cap(index, dimension)
        if spec.logic < 2:  # Only the step of the plan itself was looked at for what its produced plan may spend.
            return cap
    else:
        return PLENTY
    if step.produced is None:
        return cap
    own = getattr(spec.inner(step.name, step.produced).plan.budget, dimension)
    return cap if own is None else min(cap, own)


def _within(account: str, step: str) -> bool:
    """Whether an account is that of a step, or of a child or lane below it."""
    return account == step or account.startswith((f"{step}[", f"{step}/", f"{step}#"))


def _sources(state: ExecutionState, call: Call) -> Iterator[tuple[str, Amount]]:
    yield RUN, state.account(RUN).free
    ranked: list[tuple[int, Order, str]] = []
    parked = {c.path for c in state.calls.values() if c.status == "parked"}
    for step in state.steps.values():
        if _beyond(state, step) or not _holds_account(state, step):
            continue
        expansion = step.expansion
        if expansion is not None and expansion.failing is None:
            unstarted = range(expansion.next_child, len(expansion.keys))
            ranked.extend((1, (*step.order, i), child_path(step.path, expansion.keys[i])) for i in unstarted)
        if step.account == call.account or step.path == call.path:
            continue
        idle = step.ended or step.status == "expanded" or isinstance(step.frame, PlanFrame)
        rank = 0 if idle else 1 if step.attempt == 0 else 2
        if rank < 2 or step.path in parked:
            ranked.append((rank, step.order, step.account))
    ranked.sort(key=lambda r: (r[0], tuple(-part for part in r[1])))
    for _, _, name in ranked:
        yield name, state.account(name).free


def _holds_account(state: ExecutionState, step: StepState) -> bool:
    """Iterations share one account: it is the newest one's while the `repeat` runs, then that of the whole."""
    if step.loop is not None:
        return step.ended
    parent = None if step.parent is None else state.steps[step.parent]
    if parent is None or parent.loop is None or step.child_index < 0:
        return True
    return not parent.ended and step.child_index == parent.loop.begun


def _beyond(state: ExecutionState, step: StepState) -> bool:
    """Steps after a failing one gave what they spent by timing; taking from them would show it."""
    while True:
        block = state.blocks[step.block]
        if block.failing is not None and step.order > block.failing:
            return True
        if step.parent is None:
            return False
        parent = state.steps[step.parent]
        failing = None if parent.expansion is None else parent.expansion.failing
        if failing is not None and step.child_index > failing:
            return True
        step = parent
