"""Brings a text into a larger alphabet: that of a model which knows more characters than the text has."""

from __future__ import annotations

import dataclasses

import numpy as np

from charnet import durable
from charnet.data.cache import TEMPORARY, writable_cache, writing
from charnet.data.corpus import Corpus
from charnet.data.encoded_copy import Ids
from charnet.data.vocab import Vocabulary, id_dtype
from charnet.errors import CheckpointError, plural, symbol_noun

IDS_AT_ONCE = 1 << 22


def widen(corpus: Corpus, alphabet: Vocabulary) -> Corpus:
    """Adds the symbols of an alphabet to that of a text, and says how many of them the text lacks.

    Raises:
        StorageError: the ids cannot be written.
    """
    vocab = corpus.vocab.union(alphabet)
    if missing := len(set(alphabet.characters).difference(corpus.vocab.characters)):
        known = plural(missing, symbol_noun(vocab.of_bytes))
        is_or_are, do = ("is", "does") if missing == 1 else ("are", "do")
        rare = f"{is_or_are} rare in this text or absent"  # `--min-count` has folded some of them
        absent = f"{do} not occur in this text" if corpus.vocab.rare_id is None else rare
        note = f"{known} of the old alphabet {absent} and {is_or_are} kept"
        corpus = dataclasses.replace(corpus, notes=(*corpus.notes, note))
    return dataclasses.replace(corpus, ids=map_ids(corpus.ids, corpus.vocab, vocab), vocab=vocab)


def map_ids(ids: Ids, own: Vocabulary, vocab: Vocabulary) -> Ids:
    """Returns ids of one alphabet as ids of another that has all of its symbols.

    They are in a temporary file, which lasts as long as this process maps it: memory does not grow with the text.

    Raises:
        CheckpointError: the other alphabet lacks a symbol.
        StorageError: the file cannot be written.
    """
    if missing := len(set(own.symbols).difference(vocab.symbols)):
        known = plural(missing, symbol_noun(own.of_bytes))
        raise CheckpointError(f"the alphabet of the checkpoint lacks {known} of its text; it is damaged or foreign")
    if own.symbols == vocab.symbols or not len(ids):
        return ids
    dtype = id_dtype(len(vocab))
    id_of = vocab.lookup(np.array(own.symbols, dtype=np.uint32)).astype(dtype)
    folder = writable_cache()
    with writing(folder), durable.writing_aside(folder, TEMPORARY) as (file, _):
        for first in range(0, len(ids), IDS_AT_ONCE):
            file.write(id_of[ids[first : first + IDS_AT_ONCE]].data)
        file.flush()
        mapped: Ids = np.memmap(file.name, dtype=dtype, mode="r")
    return mapped
