"""Models by name: `provider:model`, and the one object that an engine calls for all of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tenuto.core.models import ModelProfile, ModelReply, ModelRequest, Price
from tenuto.errors import ModelCallError, UsageError
from tenuto.ports.model import ModelProvider, OnText

__all__ = ["ModelDirectory", "refused_name", "split_name"]


def split_name(name: str) -> tuple[str, str]:
    """`provider:model` as its two parts; the model may be empty (`mock:`). UsageError for anything else."""
    provider, colon, model = name.partition(":")
    if not colon or not provider:
        raise UsageError(
            "a model is named provider:model", where=f"model {name!r}", fix="for example mock: or openai:gpt-5-mini"
        )
    return provider, model


def refused_name(error: UsageError) -> ModelCallError:
    """A name that cannot be used, as the failure of a call: nothing was sent, and no other try can help."""
    return ModelCallError(
        error.what, kind="bad_request", sent=False, retryable=False, where=error.where, fix=error.fix
    )


class ModelDirectory(ModelProvider):
    """Routes by the `provider:` part of a model's name. A provider of providers, so an engine takes one object.

    It owns the providers: `close` closes each, also where closing another one failed. `prices`, by full name, stand
    above what a provider knows.
    """

    def __init__(self, providers: Mapping[str, ModelProvider], prices: Mapping[str, Price] | None = None) -> None:
        self._providers = dict(providers)
        self._prices = dict(prices or {})

    @property
    def names(self) -> tuple[str, ...]:
        """The known provider names, sorted."""
        return tuple(sorted(self._providers))

    def profile(self, model: str) -> ModelProfile:
        """The profile its provider gives. UsageError names the known providers for an unknown one."""
        found = self._provider(model).profile(model)
        price = self._prices.get(model)
        return found if price is None else msgspec.structs.replace(found, price=price)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        """See `ModelProvider.complete`. An unknown name is a `bad_request`: nothing was sent."""
        try:
            provider = self._provider(request.config.model)
        except UsageError as error:
            raise refused_name(error) from error
        return await provider.complete(request, deadline_us=deadline_us, on_text=on_text)

    async def close(self) -> None:
        """Close every provider once. The first failure is raised after all were closed."""
        failure: Exception | None = None
        for provider in dict.fromkeys(self._providers.values()):
            try:
                await provider.close()
            except Exception as error:  # noqa: BLE001 - the others must be closed first; it is raised below
                failure = failure or error
        if failure is not None:
            raise failure

    def _provider(self, model: str) -> ModelProvider:
        name = split_name(model)[0]
        found = self._providers.get(name)
        if found is None:
            known = ", ".join(f"{known}:" for known in self.names) or "none"
            raise UsageError(f"unknown provider {name!r}", where=f"model {model!r}", fix=f"known providers: {known}")
        return found
