"""The providers of this installation, by name."""

from __future__ import annotations

from collections.abc import Iterable

from fluxsmith.errors import NotFoundError
from fluxsmith.providers.base import BaseModelInfo, Provider


class ProviderRegistry:
    """Finds providers and base models; holds no state of its own."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = {provider.name: provider for provider in providers}

    def get(self, name: str) -> Provider:
        """Return the provider of that name.

        Raises:
            NotFoundError: there is none.
        """
        provider = self._providers.get(name)
        if provider is None:
            raise NotFoundError(
                "provider-not-found",
                f"There is no provider named '{name}'.",
                hint=f"Available: {', '.join(self._providers)}.",
                field="provider",
            )
        return provider

    def close(self) -> None:
        """Close those that have something to close."""
        for provider in self._providers.values():
            close = getattr(provider, "close", None)
            if callable(close):
                close()

    def models(self) -> list[BaseModelInfo]:
        """All base models of all providers."""
        return [info for provider in self._providers.values() for info in provider.models()]

    def find_model(self, name: str) -> BaseModelInfo | None:
        """The base model of that name, or None."""
        return next((info for info in self.models() if info.name == name), None)

    def base_model(self, name: str, *, field: str) -> BaseModelInfo:
        """The base model of that name.

        Raises:
            NotFoundError: no provider offers it.
        """
        info = self.find_model(name)
        if info is None:
            known = ", ".join(known.name for known in self.models()) or "none"
            raise NotFoundError(
                "model-not-found",
                f"There is no base model named '{name}'.",
                hint=f"Available: {known}.",
                field=field,
            )
        return info
