"""Files of a tokenizer -> a tokenizer of the `tokenizers` library, and what stands beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors

from mmm_graph.errors import InputError, MmmError, problem
from mmm_text.byte_level import CLASSES, read_byte_level
from mmm_text.clip_vocab import MERGES, PAIRS_FILE, VOCAB, read_clip, read_pairs, token_text
from mmm_text.gguf_vocab import GGUF, read_gguf

SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
SETTINGS = (
    *("tokenizer_config.json", "special_tokens_map.json", "processor_config.json", "chat_template.json"),
    "generation_config.json",
)
TEMPLATE = "chat_template.jinja"
NAMED_TEMPLATES = "additional_chat_templates"


def read_tokenizer(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer and its settings: those of its files, with special tokens as texts and `chat_templates` by name.

    Raises:
        InputError: E607, there is no such file, or it cannot be read; E757, a sort of GGUF tokenizer that is not known.
        RunError: E605, a broken GGUF file.
    """
    try:
        tokenizer, raw = _read(path)
        settings = _plain(raw, path)
        _set_ends(tokenizer, settings)
        _keep_offsets(tokenizer)
    except MmmError:
        raise
    except Exception as error:  # the library raises bare Exception
        raise InputError(problem("E607", f"{path} is not a tokenizer file: {error}")) from error
    return tokenizer, settings


def read_settings(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json; where that has no table of added tokens, special_tokens_map.json goes before it.

    Placeholders of media are in processor_config.json too, templates in files of their own: `chat_templates`, and more
    tokens that end an answer in generation_config.json: `end_ids`.

    Raises:
        InputError: E607, one of them is not JSON, or not of the right kind.
    """
    config, special, processor, template, generation = (_read_json(folder / name) for name in SETTINGS)
    found = config if "added_tokens_decoder" in config else {**config, **special}
    extra = found.get("extra_special_tokens")
    placed = {k: v for k, v in processor.items() if k.endswith("_token")}
    named = {**placed, **(extra if isinstance(extra, Mapping) else {}), **found}
    ends = {"end_ids": generation["eos_token_id"]} if generation.get("eos_token_id") is not None else {}
    return {**named, **ends, "chat_templates": _templates(folder, {**found, **template})}


def _read(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    if path.suffix == GGUF and path.is_file():
        return read_gguf(path)
    settings = read_settings(path)
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.name.endswith(PAIRS_FILE) and file.is_file():
        return read_pairs(file), settings
    if file.is_file():
        return Tokenizer.from_str(file.read_text(encoding="utf-8")), settings
    if all((path / name).is_file() for name in (VOCAB, MERGES)):
        read = read_byte_level if settings.get("tokenizer_class") in CLASSES else read_clip
        return read(path, settings), settings
    found = [name for name in SENTENCEPIECE if (path / name).is_file()]
    if found:
        message = f"{path} has a {found[0]}, which the tokenizers library cannot read, and no tokenizer.json"
        save = "transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        raise InputError(problem("E607", message, hint=f"make one, once: {save}"))
    files = f"a folder with the {VOCAB} and {MERGES} of CLIP or GPT-2, CLIP's *{PAIRS_FILE}, or a *{GGUF}"
    raise InputError(
        problem("E607", f"there is no tokenizer at {file}", hint=f"a tokenizer.json, its folder, {files}")
    )


def _plain(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """With tokens as texts, not as records."""
    found = {k: token_text(v) if k.endswith("_token") else v for k, v in settings.items()}
    wrong = [k for k, v in found.items() if k.endswith("_token") and not isinstance(v, str | bool | None)]
    if wrong:
        what = f"{path}: the settings say that {wrong[0]} is {found[wrong[0]]!r:.60}; it should be a text"
        raise InputError(problem("E607", what))
    return found


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(problem("E607", f"{file} is not JSON: {error}")) from error
    if not isinstance(found, dict):
        raise InputError(problem("E607", f"{file} holds a {type(found).__name__}; it should be an object"))
    return found


def _templates(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Chat templates by name; that of transformers' own is `default`."""
    found = settings.get("chat_template") or {}
    if isinstance(found, str):
        found = {"default": found}
    if isinstance(found, list) and all(isinstance(item, dict) for item in found):
        found = {str(item.get("name")): item.get("template") for item in found}
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise InputError(problem("E607", f"the chat_template of {folder} is no text"))
    more = folder / NAMED_TEMPLATES
    files = {file.stem: file for file in sorted(more.glob("*.jinja"))} if more.is_dir() else {}
    if (folder / TEMPLATE).is_file():
        files["default"] = folder / TEMPLATE
    return {**found, **{name: file.read_text(encoding="utf-8") for name, file in files.items()}}


def _set_ends(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Begin and end texts as the settings say, where they do: `add_bos_token`, `add_eos_token`."""
    if not isinstance(settings.get("add_bos_token", settings.get("add_eos_token")), bool):
        return
    ends = []
    for name in ("bos", "eos"):
        token = settings.get(f"{name}_token")
        placed = tokenizer.token_to_id(token) if token and settings.get(f"add_{name}_token") else None
        ends.append([] if placed is None else [(token, placed)])
    first, last = ([token for token, _ in end] for end in ends)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*first, "$A", *last], special_tokens=[*ends[0], *ends[1]]
    )


def _keep_offsets(tokenizer: Tokenizer) -> None:
    """A token's place in the text is to hold its space too: answers are found by it."""
    processor = tokenizer.post_processor
    if processor is None:
        return
    state = json.loads(processor.__getstate__())
    processor.__setstate__(json.dumps(_untrimmed(state)).encode())
    tokenizer.post_processor = processor


def _untrimmed(state: Any) -> Any:
    if isinstance(state, list):
        return [_untrimmed(item) for item in state]
    if not isinstance(state, dict):
        return state
    return {k: False if k == "trim_offsets" else _untrimmed(v) for k, v in state.items()}
