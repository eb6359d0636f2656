"""A conversation with a graph: its messages so far, and answers that come piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, problem
from mmm_graph.runtime.events import Event

UNFINISHED = "\ufffd"
"""What a decoder gives for the first bytes of a character whose others have not come yet."""


class Talk:
    """Asks a graph again and again, each time with all that was said before.

    Args:
        session: of a graph with one input of kind Chat (or, without memory, Text) and an output of kind Text.
        system: a message that stands before all others.

    Raises:
        InputError: E312, the graph has no such input or output, or several.
    """

    def __init__(self, session: Session, system: str | None = None) -> None:
        graph = session.graph
        self.session = session
        self.input = _only({k: p.type.kind for k, p in graph.inputs.items()}, ("Chat", "Text"), "input")
        self.output = _only(
            {k: o.type.kind for k, o in graph.outputs.items() if o.type is not None}, ("Text",), "output"
        )
        self.remembers = graph.inputs[self.input].type.kind == "Chat"
        if system is not None and not self.remembers:
            message = f"a system message needs an input of kind Chat; {self.input!r} is Text"
            raise InputError(problem("E312", message, hint="write it into the graph's prompt"))
        self.system = system
        names = [n for n, m in graph.models.items() if m.kind.partition(".")[0] == "tokenizer"]
        self._tokenizer = names[0] if len(names) == 1 else None
        self.messages: list[dict[str, Any]]
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.messages = [] if self.system is None else [{"role": "system", "content": self.system}]

    def ask(
        self,
        text: str,
        media: Sequence[dict[str, Any]] = (),
        *,
        seed: int = 0,
        tell: Callable[[str], None] = lambda piece: None,
        cancel: Callable[[], bool] | None = None,
    ) -> str:
        """The answer to a message; what fails or is cancelled was never said.

        Args:
            media: segments before the text, such as `{"type": "image", "image": "photo.png"}`.
            tell: called with each piece of the answer as it comes; together they are the answer.

        Raises:
            MmmError: as of a run.
        """
        content: Any = [*media, {"type": "text", "text": text}] if media else text
        asked = [*self.messages, {"role": "user", "content": content}]
        pieces = _Pieces(self._decode, tell)
        given = {self.input: [asked] if self.remembers else text}
        result = self.session.result(seed=seed, given=given, on_event=pieces, cancel=cancel)
        answer = str(result.values[self.output][0]) if self.output in result.values else ""
        pieces.finish(answer)
        if self.remembers:
            self.messages = [*asked, {"role": "assistant", "content": answer}]
        return answer

    def _decode(self, ids: Tensor) -> str | None:
        if self._tokenizer is None:
            return None
        return str(self.session.module(self._tokenizer).decode(ids)[0])


class _Pieces:
    """Tokens as they come -> texts that can be shown."""

    def __init__(self, decode: Callable[[Tensor], str | None], tell: Callable[[str], None]) -> None:
        self._decode, self._tell = decode, tell
        self._ids: list[int] = []
        self._shown = ""

    def __call__(self, event: Event) -> None:
        if event.kind != "stream" or not event.node.endswith(".ids") or not isinstance(event.data, Tensor):
            return
        self._ids += event.data[0].tolist()
        text = self._decode(torch.tensor([self._ids]))
        if text is not None and not text.endswith(UNFINISHED) and text.startswith(self._shown):
            self._show(text)

    def finish(self, answer: str) -> None:
        """What has not been shown of the answer; leading spaces may differ from those of the stream."""
        if answer.startswith(self._shown):
            self._show(answer)

    def _show(self, text: str) -> None:
        if len(text) > len(self._shown):
            self._tell(text[len(self._shown) :])
        self._shown = text


def _only(kinds: dict[str, str], wanted: Sequence[str], what: str) -> str:
    """The one name of the first of these kinds that there is."""
    for kind in wanted:
        names = [name for name, found in kinds.items() if found == kind]
        if len(names) == 1:
            return names[0]
        if names:
            message = (
                f"the graph has {len(names)} {what}s of kind {kind}: {', '.join(names)}; a chat needs one"
            )
            raise InputError(problem("E312", message))
    have = ", ".join(f"{name}: {kind}" for name, kind in kinds.items()) or "none"
    message = f"a chat needs an {what} of kind {' or '.join(wanted)}; the graph has {have}"
    raise InputError(problem("E312", message, hint="mmm run runs any graph"))
