"""The models of an engine: every provider by name, each made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tenuto.adapters.models.names import ModelDirectory, split_name
from tenuto.app.config import OPENAI_BASE_URL, Settings
from tenuto.core.models import ModelProfile, ModelReply, ModelRequest
from tenuto.errors import UsageError
from tenuto.ports.clock import Clock
from tenuto.ports.model import ModelProvider, OnText

if TYPE_CHECKING:
    from tenuto.adapters.models.openai import Interface
    from tenuto.runtime.pacing import ProviderLimits

__all__ = ["KEYS", "model_directory", "provider_limits", "require_keys"]

KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GOOGLE_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openai-responses": "OPENAI_API_KEY",
}
"""Providers behind a network, and the variables that hold their keys."""


class LazyProvider(ModelProvider):
    """A provider that is made at its first use, so that one nobody asks for needs no package and no setting."""

    def __init__(self, make: Callable[[], ModelProvider]) -> None:
        self._make = make
        self._made: ModelProvider | None = None

    def _get(self) -> ModelProvider:
        if self._made is None:
            self._made = self._make()
        return self._made

    def profile(self, model: str) -> ModelProfile:
        return self._get().profile(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        return await self._get().complete(request, deadline_us=deadline_us, on_text=on_text)

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()


class ByModel(ModelProvider):
    """One provider for each model name: recorded runs (`replay:RUN`)."""

    def __init__(self, providers: Mapping[str, ModelProvider]) -> None:
        self._providers = dict(providers)

    def _get(self, model: str) -> ModelProvider:
        found = self._providers.get(model)
        if found is None:
            raise UsageError("no run was recorded under this name", where=f"model {model}", fix="see `tenuto ls`")
        return found

    def profile(self, model: str) -> ModelProfile:
        return self._get(model).profile(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        return await self._get(request.config.model).complete(request, deadline_us=deadline_us, on_text=on_text)

    async def close(self) -> None:
        for provider in self._providers.values():
            await provider.close()


class Scripts(ModelProvider):
    """Script files in the first of several directories that has them."""

    def __init__(self, directories: Sequence[Path], make: Callable[[Path], ModelProvider]) -> None:
        self._directories = directories
        self._providers = [make(directory) for directory in directories]

    def _get(self, model: str) -> ModelProvider:
        name = split_name(model)[1]
        found = [(d / name).is_file() for d in self._directories]
        return self._providers[found.index(True) if True in found else 0]

    def profile(self, model: str) -> ModelProfile:
        return self._get(model).profile(model)

    async def complete(self, request: ModelRequest, *, deadline_us: int, on_text: OnText | None = None) -> ModelReply:
        return await self._get(request.config.model).complete(request, deadline_us=deadline_us, on_text=on_text)

    async def close(self) -> None:
        for provider in self._providers:
            await provider.close()


def model_directory(
    settings: Settings, clock: Clock, *, scripts: Sequence[Path], recorded: Mapping[str, ModelProvider]
) -> ModelDirectory:
    """All providers. `scripts` are the directories of script files, `recorded` maps `replay:RUN` to its answers."""

    def mock() -> ModelProvider:
        from tenuto.adapters.models.mock import LocalMockAdapter

        return LocalMockAdapter(clock=clock)

    def scripted() -> ModelProvider:
        from tenuto.adapters.models.scripted import ScriptedModel

        return Scripts(scripts, lambda directory: ScriptedModel(clock=clock, directory=directory))

    def openai() -> ModelProvider:
        from tenuto.adapters.models.openai import CHAT_COMPLETIONS

        return posting(CHAT_COMPLETIONS)

    def responses() -> ModelProvider:
        from tenuto.adapters.models.responses import RESPONSES

        return posting(RESPONSES)

    def posting(interface: Interface) -> ModelProvider:
        from tenuto.adapters.models.openai import OpenAIAdapter

        return OpenAIAdapter(
            settings.openai_base_url,
            settings.openai_api_key,
            clock=clock,
            certificates=settings.certificates,
            interface=interface,
            profiles=settings.profiles,
            proxy=settings.proxy_for(settings.openai_base_url),
        )

    def local() -> ModelProvider:
        from tenuto.adapters.models.local import LocalModelAdapter

        return LocalModelAdapter()

    def others(provider: str) -> Callable[[], ModelProvider]:
        def make() -> ModelProvider:
            from tenuto.adapters.models.pydantic_ai_adapter import PydanticAIAdapter

            return PydanticAIAdapter(provider, settings.variables.get(KEYS[provider], ""), clock=clock)

        return make

    makers = {"local": local, "mock": mock, "openai": openai, "openai-responses": responses, "scripted": scripted}
    makers |= {name: others(name) for name in KEYS.keys() - makers.keys()}
    providers: dict[str, ModelProvider] = {name: LazyProvider(make) for name, make in makers.items()}
    return ModelDirectory({**providers, "replay": ByModel(recorded)}, settings.prices)


def require_keys(settings: Settings, names: Iterable[str]) -> None:
    """Refuse what a provider would refuse at the first call. A server that is only compatible may need no key."""
    for name in sorted(names):
        provider = name.partition(":")[0]
        variable = KEYS.get(provider)
        if variable is None or settings.variables.get(variable):
            continue
        if variable != "OPENAI_API_KEY":
            raise UsageError(f"{variable} is not set", where=f"model {name}", fix="set it")
        if settings.openai_base_url.rstrip("/") == OPENAI_BASE_URL:
            raise UsageError(
                "OPENAI_API_KEY is not set",
                where=f"model {name}",
                fix="set it, or set OPENAI_BASE_URL for a compatible server",
            )


def provider_limits(settings: Settings) -> Mapping[str, ProviderLimits]:
    """How fast providers may be asked: as declared; those behind a network rest after failures in any case."""
    from tenuto.runtime.pacing import ProviderLimits

    return {**dict.fromkeys(KEYS, ProviderLimits()), **settings.providers}
