"""The tokenizer of llama2.c's models, enough to encode a text: score-driven merging of characters and bytes."""

import struct
from pathlib import Path


def read_pieces(path):
    """[(bytes, score)] by id, from a file of: int32 longest piece; per piece float32 score, int32 length, bytes."""
    data, position, pieces = Path(path).read_bytes(), 4, []
    while position < len(data):
        score, length = struct.unpack_from("<fi", data, position)
        position += 8
        pieces.append((data[position : position + length], score))
        position += length
    return pieces


def encode(pieces, text):
    """Ids with BOS (1): a space in front, characters (unknown ones as bytes, ids from 3), then best merges first."""
    id_of = {}
    for number, (piece, _) in enumerate(pieces):
        id_of.setdefault(piece, number)
    ids = []
    for character in " " + text:
        encoded = character.encode()
        ids += [id_of[encoded]] if encoded in id_of else [byte + 3 for byte in encoded]
    while True:
        best = None
        for i in range(len(ids) - 1):
            merged = id_of.get(pieces[ids[i]][0] + pieces[ids[i + 1]][0])
            if merged is not None and (best is None or pieces[merged][1] > best[0]):
                best = (pieces[merged][1], i, merged)
        if best is None:
            return [1, *ids]
        ids[best[1] : best[1] + 2] = [best[2]]
