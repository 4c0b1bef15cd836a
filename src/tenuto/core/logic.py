"""The version of the kernel's decisions.

A run follows the logic that its `RunStarted` names, to its end: resumes and replays by a later tenuto too. Where a
decision changes, the old branch stays, under `if logic < N`, with the reason beside it. docs/journal.md lists what
each version changed.
"""

from __future__ import annotations

__all__ = ["LOGIC_VERSION"]

LOGIC_VERSION = 2
"""What new runs follow."""
