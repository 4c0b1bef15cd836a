"""The templates of a plan: which there are, and what each of them may read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tenuto.core.canonical import parse
from tenuto.core.expressions import ExpressionError, Reference, Template, parse_condition, parse_text, parse_value
from tenuto.core.plan import ApprovalWork, InputSpec, Plan, PlanWork, PromptWork, RunWork, Step, WaitWork
from tenuto.core.plan_graph import PlanGraph
from tenuto.core.problems import Problem, did_you_mean, shorten

__all__ = ["output_templates", "step_templates"]

_MISPLACED = {
    "item": "item is known only inside the children of a foreach step",
    "key": "key is known only inside the children of a foreach step",
    "with": "the values of with: stand in a step's prompt, command and output only",
    "last": "last is known only inside a repeat",
    "iteration": "iteration is known only inside a repeat",
}


def step_templates(step: Step, inputs: Mapping[str, InputSpec], graph: PlanGraph) -> Iterator[Problem]:
    """The problems of a step's templates, in the order of what they are needed for."""
    path = f"steps.{shorten(step.name)}"
    of_items = ("item", "key") if step.foreach is not None else ()
    of_loops = ("last", "iteration") if step.repeat is not None else ()
    before = _Rules(inputs, graph, step, frozenset(("inputs", "steps")))
    early = _Rules(inputs, graph, step, before.roots | {*of_items, *of_loops})
    late = _Rules(inputs, graph, step, early.roots | {"with"})
    if step.condition is not None:
        yield from before.check(f"{path}.if", partial(parse_condition, step.condition))
        yield from _fixed_condition(f"{path}.if", step.condition)
    if step.foreach is not None:
        items = parse(step.foreach)
        yield from _foreach(f"{path}.foreach", items)
        yield from before.check(f"{path}.foreach", partial(parse_value, items))
        if step.key is not None:
            of_item = _Rules(inputs, graph, step, before.roots | {"item"})
            yield from of_item.check(f"{path}.key", partial(parse_text, step.key))
    for name, raw in step.values.items():
        yield from early.check(f"{path}.with.{shorten(name)}", partial(parse_value, parse(raw)))
    yield from _work_templates(step, path, late)
    if step.output is not None:
        yield from late.check(f"{path}.output", partial(parse_value, parse(step.output)))
    if step.repeat is not None and step.repeat.until is not None:
        yield from early.check(f"{path}.repeat.until", partial(parse_condition, step.repeat.until))
        yield from _fixed_condition(f"{path}.repeat.until", step.repeat.until)


def _fixed_condition(path: str, text: str) -> Iterator[Problem]:
    """A condition that looks at nothing says the same in every run: whether that is a condition can be told now."""
    try:
        template = parse_condition(text)
    except ExpressionError:
        return  # reported with the template
    if template.references:
        return
    try:
        template.evaluate({})
    except ExpressionError as error:
        what, _, fix = str(error).rpartition("; ")
        yield Problem(path, what, fix)


def _work_templates(step: Step, path: str, rules: _Rules) -> Iterator[Problem]:
    match step.work:
        case PromptWork(text=text, source=source):
            yield from rules.check(f"{path}.prompt", partial(parse_text, text), source=source, text=text)
        case RunWork(command=command):
            yield from rules.check(f"{path}.run", partial(parse_text, command))
        case PlanWork(text=text) if text:
            yield from rules.check(f"{path}.plan", partial(parse_value, text))
        case ApprovalWork(ask=ask):
            yield from rules.check(f"{path}.approval.ask", partial(parse_text, ask))
        case WaitWork(duration=duration):
            yield from rules.check(f"{path}.wait", partial(parse_text, duration))
        case _:
            return


def output_templates(plan: Plan, graph: PlanGraph) -> Iterator[Problem]:
    """The problems of a plan's outputs: they may read every step and input."""
    rules = _Rules(plan.inputs, graph, None, frozenset(("inputs", "steps")))
    for name, raw in plan.outputs.items():
        yield from rules.check(f"outputs.{shorten(name)}", partial(parse_value, parse(raw)))


def _foreach(path: str, value: Any) -> Iterator[Problem]:
    fix = "write a list, or one expression that yields a list"
    if isinstance(value, list):
        if not value:
            yield Problem(path, "foreach has nothing to go through", fix)
    elif not isinstance(value, str) or not (value.startswith("${{") and value.endswith("}}")):
        yield Problem(path, "foreach is neither a list nor an expression", fix)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the templates at one place may read. `step` is None for the plan's outputs."""

    inputs: Mapping[str, InputSpec]
    graph: PlanGraph
    step: Step | None
    roots: frozenset[str]

    def check(
        self, path: str, compiled: Callable[[], Template], *, source: str = "", text: str = ""
    ) -> Iterator[Problem]:
        """The problems of one template. With `source`, `text` is that file's and places are within it."""
        try:
            template = compiled()
        except ExpressionError as error:
            what, _, fix = str(error).rpartition("; ")
            place = _place_in(source, text, error.offset)
            yield Problem(_below(path, error.within), what, fix, place, error.offset)
            return
        seen: set[tuple[str, object]] = set()
        for reference in template.references:
            about = (reference.root, reference.parts[:1])
            if about in seen:
                continue
            seen.add(about)
            wrong = self._wrong(reference)
            if wrong is not None:
                what = f"${{{{ {shorten(str(reference))} }}}}: {wrong[0]}"
                place = _place_in(source, text, reference.offset)
                yield Problem(_below(path, reference.within), what, wrong[1], place, reference.offset)

    def _wrong(self, reference: Reference) -> tuple[str, str] | None:
        """What is wrong with a reference, and how to fix it."""
        if reference.root not in self.roots:
            return _MISPLACED[reference.root], "use inputs or steps"
        if not reference.parts:
            return None
        name = str(reference.parts[0])
        shown = shorten(name)
        match reference.root:
            case "inputs" if name not in self.inputs:
                return f"the plan declares no input {shown}", did_you_mean(
                    name, self.inputs, f"add {shown} to inputs"
                )
            case "with" if self.step is not None and name not in self.step.values:
                return f"with has no {shown}", did_you_mean(name, self.step.values, f"add {shown} to with")
            case "steps":
                return self._wrong_step(name)
            case _:
                return None

    def _wrong_step(self, name: str) -> tuple[str, str] | None:
        if name not in self.graph:
            return f"there is no step {shorten(name)}", did_you_mean(name, self.graph.names)
        if self.step is None:
            return None
        if name == self.step.name:
            return "a step cannot read its own result", "read a step before it"
        if not self.graph.is_ancestor(name, self.step.name):
            return f"{self.step.name} may run before {name}", f"add {name} to steps.{self.step.name}.needs"
        return None


def _place_in(source: str, text: str, offset: int) -> str:
    if not source:
        return ""
    before = text[:offset]
    return f"{source}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def _below(path: str, within: tuple[str | int, ...]) -> str:
    for part in within:
        path += f"[{part}]" if isinstance(part, int) else f".{shorten(part)}"
    return path
