"""The shapes of the answers to completions, as OpenAI has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from charnet.data.vocab import Vocabulary
from charnet.generation.rows import Alternatives
from charnet.server.dialect import CompletionRequest


def response(request: CompletionRequest, model: str, choices: Sequence[Any], usage: Any = None) -> dict[str, Any]:
    """Returns an answer, or with `usage` None a piece of a stream."""
    kind, prefix = ("chat.completion", "chatcmpl") if request.is_chat else ("text_completion", "cmpl")
    if request.is_chat and request.stream:
        kind += ".chunk"
    found = {
        "id": f"{prefix}-{request.id}",
        "object": kind,
        "created": request.created,
        "model": model,
        "choices": list(choices),
    }
    return found if usage is None else found | {"usage": usage}


def piece(request: CompletionRequest, model: str, choice: Any) -> dict[str, Any]:
    """Returns a piece of a stream; if its end tells the usage, the others say that they do not."""
    found = response(request, model, [choice])
    return found | {"usage": None} if request.include_usage else found


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Returns how many symbols were read and written."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def choice(
    request: CompletionRequest, index: int, text: str, finish: str | None, logprobs: Any = None, **more: Any
) -> dict[str, Any]:
    """Returns one text, or a piece of one."""
    if not request.is_chat:
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish, **more}
    content = {"role": "assistant", "content": text}
    name = "delta" if request.stream else "message"
    return {"index": index, name: content, "logprobs": None, "finish_reason": finish, **more}


def legacy_logprobs(
    vocab: Vocabulary, found: Sequence[Alternatives | None], offset: int, count: int, first: int
) -> dict[str, Any]:
    """Returns the `logprobs` of a completion: lists as long as its symbols.

    Args:
        found: of each symbol what could have come; None for the first one of a prompt, which was not predicted.
        offset: of the first symbol in the text, in characters.
        count: of alternatives.
        first: the first symbol of the prompt.
    """
    tokens, own, top, offsets = [], [], [], []
    decode = vocab.decoder().push
    for each in found:
        symbol = each.ids[-1] if each else first
        tokens.append(token_of(vocab, symbol))
        own.append(each.log_p[-1] if each else None)
        likely = list(zip(each.ids, each.log_p, strict=True))[:-1] if each else []
        top.append({token_of(vocab, i): p for i, p in likely} if each and count else None)
        offset += len(shown := decode(symbol))
        is_held = vocab.of_bytes and 0xC2 <= vocab.pieces[symbol][0] <= 0xF4  # its character comes with its last byte
        offsets.append(offset - 1 if shown and not is_held else offset)
    return {"tokens": tokens, "token_logprobs": own, "top_logprobs": top if count else None, "text_offset": offsets}


def token_of(vocab: Vocabulary, symbol: int) -> str:
    """Returns the text of a symbol; a byte that is no character is named as OpenAI does, `bytes:\\xe4`."""
    raw = vocab.pieces[symbol]
    return f"bytes:\\x{raw[0]:02x}" if vocab.of_bytes and raw[0] >= 0x80 else raw.decode()
