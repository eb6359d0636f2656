"""`offload:` of a model or a plan: where weights rest while nobody computes with them, and how they come."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from mmm_graph.spec.base import DottedName, Items, Spec


class OffloadSpec(Spec):
    """Weights that are on the device only while they are used."""

    by: Literal["model", "block"] = "model"
    from_: Literal["host", "disk"] = Field("host", alias="from")
    ahead: int = Field(1, ge=0, le=64)


def _form(value: Any) -> str | None:
    forms = {
        bool: "<flag>",
        str: "<text>",
        dict: "<map>",
        OffloadSpec: "<map>",
        list: "<list>",
        tuple: "<list>",
    }
    return forms.get(type(value))


class _ByForm(Discriminator):
    """Hashed by identity: typing hashes what stands in Annotated, and its context is a dict."""

    __hash__ = object.__hash__


def _one_of(words: str, *forms: str) -> Discriminator:
    """Chooses by the form of what is written."""
    context: dict[str, int | str | float] = {"code": "E112", "message": f"expects {words}"}
    return _ByForm(
        lambda value: form if (form := _form(value)) in forms else None,
        custom_error_type="refused",
        custom_error_message=f"expects {words}",
        custom_error_context=context,
    )


Offload = Annotated[
    Annotated[OffloadSpec, Tag("<map>")]
    | Annotated[Literal["model", "block"], Tag("<text>")]
    | Annotated[bool, Tag("<flag>")],
    _one_of("`model`, `block`, true, false or a mapping", "<map>", "<text>", "<flag>"),
]
"""Of one model: `block`, `model`, true (which is `model`), or all of it as a mapping."""

Offloads = Annotated[
    Annotated[dict[DottedName, Offload], Tag("<map>")]
    | Annotated[Items[DottedName], Tag("<list>")]
    | Annotated[bool, Tag("<flag>")],
    _one_of("models by name, a list of models, true or false", "<map>", "<list>", "<flag>"),
]
"""Of a plan: how by model; a list of models that are offloaded as a whole; true: all that have weights."""


def offload_of(written: Any) -> OffloadSpec | None:
    """What `Offload` means; None: the model stays on the device."""
    if isinstance(written, OffloadSpec):
        return written
    if isinstance(written, str):
        return OffloadSpec.model_validate({"by": written})
    return OffloadSpec() if written else None
