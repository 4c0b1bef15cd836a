from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.adapters.plans.plan_file import read_plan
from tenuto.errors import InvalidPlanError


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("run: echo ${{ 1 + }}", "3:23"),
        ('run: "echo ${{ 1 + }}"', "3:24"),
        ("run: 'echo ${{ 1 + }}'", "3:24"),
        ("run: |\n      a\n\n        echo ${{ 1 + }}", "6:22"),
        ("run: |-\n      echo ${{ 1 + }}", "4:20"),
        ("run: echo ${{ 1 + 1 ==\n      inputs.zz }}", "3:5"),
        ('run: "\\u0065cho ${{ 1 + }}"', "3:5"),
        ("run: >\n      one\n      echo ${{ 1 + }}", "3:5"),
        ("run: echo ${{ inputs.x }} ${{ size(inputs.zz) }}", "3:40"),
        ("{ run: ls, if: inputs.x == 1 and true }", "3:34"),
        ("{ run: ls, with: { a: [1, { b: 'x ${{ item }}' }] } }", "3:39"),
    ],
)
def test_what_is_wrong_in_an_expression_has_its_own_place_where_it_can_be_found(written: str, place: str) -> None:
    head = "tenuto: 1\nsteps: { a:\n    " if written.startswith("{") else "steps:\n  a:\n    "
    tail = " }" if written.startswith("{") else ""
    text = f"{head}{written}{tail}\ninputs: {{ x: {{ type: integer }} }}\n"
    with pytest.raises(InvalidPlanError) as caught:
        read_plan(text.encode(), Path("p.plan.yaml"))
    assert caught.value.where == f"p.plan.yaml:{place}"
