"""Writes `charnet/data/hanzi.py` from OpenCC's dictionary: python tests/bench/hanzi.py TSCharacters.txt

Taken are the pairs that are common on both sides: the traditional character is in Big5, the simplified one in GB 2312.
"""

from __future__ import annotations

import argparse
from pathlib import Path

A_LINE = 50  # characters, each two columns wide
HEAD = '''"""Pairs of traditional and simplified Chinese characters, for the advice about characters that a model lacks.

Made by `tests/bench/hanzi.py` from TSCharacters.txt of OpenCC (Apache License 2.0).
"""

from __future__ import annotations

from functools import cache
'''
TAIL = '''

@cache
def variants() -> dict[str, str]:
    """Returns the traditional or simplified forms of each character that has some, as a string.

    >>> variants()["國"], variants()["发"]
    ('国', '發髮')
    """
    found: dict[str, str] = {}
    for traditional, simplified in zip(TRADITIONAL, SIMPLIFIED, strict=True):
        found[traditional] = found.get(traditional, "") + simplified
        found[simplified] = found.get(simplified, "") + traditional
    return found
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dictionary", type=Path, help="TSCharacters.txt of OpenCC")
    parser.add_argument("--out", type=Path, default=Path("charnet/data/hanzi.py"))
    given = parser.parse_args()
    pairs = []
    for line in given.dictionary.read_text(encoding="utf-8").splitlines():
        traditional, simplified = line.split("\t")
        simplified = simplified.split(" ")[0]
        if traditional != simplified and _has(traditional, "big5") and _has(simplified, "gb2312"):
            pairs.append((traditional, simplified))
    columns = zip(("TRADITIONAL", "SIMPLIFIED"), zip(*pairs, strict=True), strict=True)
    strings = (_literal(name, column) for name, column in columns)
    given.out.write_text(HEAD + "\n" + "\n".join(strings) + TAIL, encoding="utf-8")


def _has(character: str, encoding: str) -> bool:
    return len(character) == 1 and character.encode(encoding, "ignore").decode(encoding) == character


def _literal(name: str, characters: tuple[str, ...]) -> str:
    text = "".join(characters)
    lines = (f'    "{text[at : at + A_LINE]}"' for at in range(0, len(text), A_LINE))
    return f"{name} = (\n" + "\n".join(lines) + "\n)"


if __name__ == "__main__":
    main()
