"""The op chat.request; torch-free."""

from __future__ import annotations

from mmm_graph.registry import op_type

REQUEST = op_type(
    "chat.request",
    "mmm_text.request:request",
    prompt="Text[b]?",
    image="Image[b,c,h,w]?",
    audio="Audio[b,1,n]?",
    video="Video[b,f,3,y,x]?",
    chat="Chat[b]?",
    returns={"chat": "Chat[b]"},
    doc="Words and media as messages of a user, media first, after the conversations that are given, if any.",
)
