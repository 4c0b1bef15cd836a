"""Which of the parameters that pin an answer a model would not be sent: what a strict run refuses."""

from __future__ import annotations

from collections.abc import Mapping

from tenuto.core.models import ModelProfile
from tenuto.errors import UsageError

__all__ = ["PINNED", "dropped_by", "unpinned_models"]

PINNED = ("temperature", "top_p", "seed")
"""The parameters that every call asks for so that equal requests give equal answers."""


def dropped_by(profile: ModelProfile) -> tuple[str, ...]:
    """The pinned parameters that the model does not take, and that would be left out of every request."""
    return tuple(name for name in PINNED if name not in profile.accepts)


def unpinned_models(profiles: Mapping[str, ModelProfile]) -> tuple[UsageError, ...]:
    """A refusal for each model that would drop one of them, by name of the model."""
    return tuple(
        UsageError(
            f"{name} would drop {_listed(dropped)}, and a strict run drops nothing",
            where=f"model {name}",
            fix="choose a model that takes them all, or run without strict (no --strict, strict = false)",
        )
        for name, profile in sorted(profiles.items())
        if (dropped := dropped_by(profile))
    )


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
