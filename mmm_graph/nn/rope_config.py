"""How far apart the angles of rotary positions are, and how a longer context is fitted in; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config

NEEDED = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor", "original"),
    "llama3": ("factor", "original", "low_freq_factor", "high_freq_factor"),
    "longrope": ("original", "short_factor", "long_factor"),
}
"""Fields without which a type has no meaning."""
OPTIONAL = {
    "yarn": ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
    "longrope": ("factor", "attention_factor"),
}


class RopeConfig(Config):
    """Rotary positions.

    Attributes:
        theta: period of the slowest frequency, over 2 pi, in the limit of many.
        type: how a context beyond `original` is fitted in.
        factor: how much longer the context gets.
        original: tokens of the context that the weights were trained on first.
        attention_factor: multiplies cosines and sines (yarn, longrope); None: what the paper says.
        beta_fast, beta_slow: yarn: turns within the original context above which a frequency stays as it is, and below
            which it is divided by `factor`.
        mscale, mscale_all_dim: yarn: set both to have `attention_factor` be the ratio of two of the paper's.
        truncate: yarn: the range of frequencies between the betas is widened to whole numbers.
        low_freq_factor, high_freq_factor: llama3: as the betas of yarn, in wavelengths within the original context.
        short_factor, long_factor: longrope: what each frequency is divided by, in texts up to `original` and beyond.
    """

    theta: float = Field(default=10000.0, gt=1)
    type: Literal["default", "linear", "dynamic", "yarn", "llama3", "longrope"] = "default"
    factor: float | None = Field(default=None, ge=1)
    original: int | None = Field(default=None, ge=1)
    attention_factor: float | None = Field(default=None, gt=0)
    beta_fast: float = Field(default=32.0, gt=0)
    beta_slow: float = Field(default=1.0, gt=0)
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True
    low_freq_factor: float | None = Field(default=None, gt=0)
    high_freq_factor: float | None = Field(default=None, gt=0)
    short_factor: tuple[float, ...] | None = None
    long_factor: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> RopeConfig:
        known = {"theta", "type", *NEEDED[self.type], *OPTIONAL.get(self.type, ())}
        missing = [name for name in NEEDED[self.type] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"rope type {self.type} needs {', '.join(missing)}")
        other = sorted(
            self.model_fields_set - known - {n for n in self.model_fields_set if self._is_default(n)}
        )
        if other:
            raise ValueError(f"rope type {self.type} has no {', '.join(other)}")
        return self

    def _is_default(self, name: str) -> bool:
        return bool(getattr(self, name) == type(self).model_fields[name].default)

    def check_head(self, dim: int) -> None:
        """Refuse heads of `dim` channels that cannot be turned.

        Raises:
            ValueError: `dim` is odd, or longrope has other than dim / 2 factors.
        """
        if dim % 2:
            raise ValueError(f"rotary positions turn pairs of channels, but a head has {dim}")
        for name in ("short_factor", "long_factor"):
            found = getattr(self, name)
            if found is not None and len(found) != dim // 2:
                raise ValueError(
                    f"rope.{name} has {len(found)} numbers; a head of {dim} has {dim // 2} pairs"
                )

    def context(self, max_length: int) -> int:
        """Tokens that a model can read whose config names `max_length`: for some types that is before scaling."""
        if self.type in ("default", "longrope") or self.factor is None:
            return max_length
        return max(max_length, int((self.original or max_length) * self.factor))
