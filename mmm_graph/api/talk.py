"""A conversation with a graph: its messages so far, and answers that come piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmm_graph.api.chats import to_chats
from mmm_graph.api.inputs import rate_of
from mmm_graph.api.said import said
from mmm_graph.api.save import Saved, save_outputs
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, RunError, problem
from mmm_graph.runtime.events import Event, Result
from mmm_graph.spec.chat import SIGNAL, Message, Segment

TOO_LONG = frozenset(("E706", "E708", "E747", "E761"))
"""Codes of conversations that are longer than what the model takes."""
UNFINISHED = "\ufffd"
"""What a decoder gives for the first bytes of a character whose others have not come yet."""


@dataclass(frozen=True)
class Answer:
    """What a graph answered.

    Attributes:
        text: in words.
        given, seed: of the request, by which it is made again.
        result: all outputs.
        forgotten: how many questions and their answers, from the first on, had to be left out: all were too long.
    """

    text: str
    given: dict[str, Any]
    seed: int
    result: Result
    forgotten: int = 0


class Talk:
    """Asks a graph again and again, each time with all that was said before.

    Args:
        session: of a graph with one input of kind Chat (or, without memory, Text) and an output of kind Text. Outputs
            with `save:` are media of the answer.
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
        self.messages: list[Message]
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.messages = [] if self.system is None else [{"role": "system", "content": self.system}]

    def attach(self, kind: str, file: str) -> Segment:
        """A file as a segment that goes with a message.

        Args:
            kind: image, audio or video.

        Raises:
            InputError: E302, there is no such file, it holds something else, or the graph takes none.
        """
        segment = {"type": kind, kind: file}
        if not self.remembers:
            message = f"{file} cannot go with a message: the input {self.input!r} is Text, expected Chat"
            raise InputError(problem("E302", message))
        try:
            to_chats([{"role": "user", "content": [segment]}], self._rate)
        except ValueError as error:
            what = str(error).partition(f"{kind}: ")[2] or f"there is no file {file}"
            raise InputError(problem("E302", f"{file} is not taken as {kind}: {what}")) from error
        return segment

    def ask(
        self,
        text: str,
        media: Sequence[Segment] = (),
        *,
        seed: int = 0,
        tell: Callable[[str], None] = lambda piece: None,
        cancel: Callable[[], bool] | None = None,
    ) -> Answer:
        """The answer to a message; what fails or is cancelled was never said.

        What an answer asked for by signals is remembered as these signals, where they stood. What was said first is
        forgotten where the conversation is longer than what the model takes.

        Args:
            media: segments before the text, such as `{"type": "image", "image": "photo.png"}`; see `attach`.
            tell: called with each piece of the answer's text as it comes; together they are the text.

        Raises:
            MmmError: as of a run.
        """
        content: Any = [*media, {"type": "text", "text": text}] if media else text
        asked, forgotten = [*self.messages, {"role": "user", "content": content}], 0
        pieces = _Pieces(self._decode, tell)
        while True:
            given: dict[str, Any] = {self.input: [asked] if self.remembers else text}
            try:
                result = self.session.result(seed=seed, given=given, on_event=pieces, cancel=cancel)
                break
            except RunError as error:
                first = 0 if self.system is None else 1
                if len(asked) == first + 1 or not any(found.code in TOO_LONG for found in error.problems):
                    raise
                asked, forgotten = asked[:first] + asked[first + 2 :], forgotten + 1
        answer = str(result.values[self.output][0]) if self.output in result.values else ""
        pieces.finish(answer)
        if self.remembers:
            self.messages = [*asked, {"role": "assistant", "content": self._content(answer, pieces.ids)}]
        return Answer(answer, given, seed, result, forgotten)

    def save(self, answer: Answer, folder: Path, prefix: str) -> list[Saved]:
        """Write the media of an answer, `prefix`image.png ...; several of a kind are numbered.

        Raises:
            RunError: E740, a file cannot be written.
        """
        graph, values = self.session.graph, answer.result.values
        media = {k: v for k, v in values.items() if k in graph.outputs and graph.outputs[k].save is not None}
        found = replace(answer.result, values=media, absent={}, owners={})
        origin = self.session.origin(answer.given, answer.seed, None, answer.result.absent)
        return save_outputs(graph, self.session.registry, found, folder, origin=origin, prefix=prefix)

    @property
    def _rate(self) -> int | None:
        return rate_of(self.session.graph.inputs[self.input])

    def _content(self, answer: str, ids: Sequence[int]) -> str | list[Segment]:
        """An answer as it is remembered: its text, or segments where there are signals in it."""
        if self._tokenizer is None:
            return answer
        tokenizer = self.session.module(self._tokenizer)
        signals = getattr(tokenizer, "signals", {})
        found = said(ids, signals, lambda words: str(tokenizer.decode(torch.tensor([words]))[0]))
        return found if any(segment["type"] == SIGNAL for segment in found) else answer

    def _decode(self, ids: Tensor) -> str | None:
        if self._tokenizer is None:
            return None
        return str(self.session.module(self._tokenizer).decode(ids)[0])


class _Pieces:
    """Tokens as they come -> texts that can be shown."""

    def __init__(self, decode: Callable[[Tensor], str | None], tell: Callable[[str], None]) -> None:
        self._decode, self._tell = decode, tell
        self.ids: list[int] = []
        self._shown = ""

    def __call__(self, event: Event) -> None:
        if event.kind != "stream" or not event.node.endswith(".ids") or not isinstance(event.data, Tensor):
            return
        self.ids += event.data[0].tolist()
        text = self._decode(torch.tensor([self.ids]))
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
