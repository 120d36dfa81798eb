"""What a page says about its model."""

from __future__ import annotations

import math
from typing import Any

from charnet.errors import plural, symbol_noun
from charnet.storage.checkpoint import Checkpoint

CELLS = {"lstm": "LSTM", "cifg": "CIFG", "gru": "GRU", "rnn": "RNN"}
SHOWN = 16  # digits


def of(model: Checkpoint, sha256: str, language: str = "en") -> dict[str, Any]:
    """Returns the texts of the page: a summary, a table of facts, and what the model holds of its training text.

    Args:
        sha256: of the file of the checkpoint, or "".
        language: "en" or "zh".
    """
    in_chinese = language == "zh"
    rows = [*(_rows_in_chinese if in_chinese else _rows)(model)]
    if sha256:
        rows.append(("检查点" if in_chinese else "Checkpoint", f"SHA-256 {sha256[:SHOWN]}..."))
    summary, holds = (_summary_in_chinese, _holds_in_chinese) if in_chinese else (_summary, _holds)
    return {"summary": summary(model), "facts": [list(row) for row in rows], "holds": holds(model)}


def _summary(model: Checkpoint) -> str:
    settings = model.config.model
    units = plural(settings.hidden_size, "unit")
    layers = f" in {settings.num_layers} layers" if settings.num_layers > 1 else ""
    networks = f"{settings.members} networks: " if settings.members > 1 else ""
    ngram = f", beside an n-gram of {settings.ngram} characters" if model.ngram_share else ""
    return f"{networks}{CELLS[settings.cell]} of {units}{layers}{ngram}. It writes in this page, without a network."


def _rows(model: Checkpoint) -> list[tuple[str, str]]:
    settings, corpus, vocab = model.config.model, model.corpus, model.vocab
    activation = f" ({settings.activation})" if settings.cell == "rnn" else ""
    parameters = sum(tensor.size for tensor in model.weights.values())
    nats = model.trainer_state.best_nats_per_char
    unit = symbol_noun(vocab.of_bytes)
    text = f"{corpus.name}, {plural(corpus.characters, unit)}"
    rows = [
        ("Cell", CELLS[settings.cell] + activation),
        ("Units in a layer", f"{settings.hidden_size:,}"),
        ("Layers", f"{settings.num_layers}"),
        ("Networks", f"{settings.members}"),
        ("Parameters", f"{parameters:,}, matrices in 8 bits"),
        ("Alphabet", plural(len(vocab), unit)),
        ("Training text", f"not known: {corpus.name}" if model.is_imported else text),
    ]
    if nats is not None:
        rows.append(("Validation loss", f"{nats:.4f} nats ({nats / math.log(2):.4f} bits) a {unit}"))
    if ngram := model.ngram:
        rows.append(
            ("N-gram", f"{ngram.table.order} characters, {len(ngram.table):,} entries, share {ngram.share:.2f}")
        )
    return rows


def _holds(model: Checkpoint) -> str:
    if not model.ngram_share:
        return ""
    return (
        f"The n-gram in this page holds pieces of the training text, {model.config.model.ngram} characters long, "
        "word for word. Do not publish the page if the text is private."
    )


def _summary_in_chinese(model: Checkpoint) -> str:
    settings = model.config.model
    networks = f"{settings.members} 个网络：" if settings.members > 1 else ""
    size = f"{settings.num_layers} 层，每层 {settings.hidden_size:,} 个单元"
    ngram = f"，另有 {settings.ngram} 字的 n-gram" if model.ngram_share else ""
    return f"{networks}{CELLS[settings.cell]}，{size}{ngram}。它就在这个页面里写作，不用网络。"


def _rows_in_chinese(model: Checkpoint) -> list[tuple[str, str]]:
    """Returns what `_rows` does, without what a model of Chinese characters never is: one of bytes."""
    settings, corpus = model.config.model, model.corpus
    activation = f"（{settings.activation}）" if settings.cell == "rnn" else ""
    nats = model.trainer_state.best_nats_per_char
    rows = [
        ("循环单元", CELLS[settings.cell] + activation),
        ("每层单元数", f"{settings.hidden_size:,}"),
        ("层数", f"{settings.num_layers}"),
        ("网络数", f"{settings.members}"),
        ("参数", f"{sum(tensor.size for tensor in model.weights.values()):,} 个，矩阵为 8 位"),
        ("字符表", f"{len(model.vocab):,} 个字符"),
        ("训练文本", f"未知：{corpus.name}" if model.is_imported else f"{corpus.name}，{corpus.characters:,} 字"),
    ]
    if nats is not None:
        rows.append(("验证损失", f"每字 {nats:.4f} 奈特（{nats / math.log(2):.4f} 比特）"))
    if ngram := model.ngram:
        rows.append(("N-gram", f"{ngram.table.order} 字，{len(ngram.table):,} 条，占比 {ngram.share:.2f}"))
    return rows


def _holds_in_chinese(model: Checkpoint) -> str:
    if not model.ngram_share:
        return ""
    length = model.config.model.ngram
    return f"这个页面里的 n-gram 逐字保存着训练文本中 {length} 个字的片段。如果文本不宜公开，请不要发布这个页面。"
