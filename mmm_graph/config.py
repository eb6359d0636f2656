"""The one base of everything that is read from a file: frozen, and strict about keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Frozen pydantic model; an unknown key is an error (pydantic would drop it silently)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Empty(Config):
    """A config without keys, for node types that need none."""
