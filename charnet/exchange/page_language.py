"""The language of a page: what its text is in, as the alphabet tells, and the words of the page itself.

The page is written in English. For a model of Chinese its words are replaced by those below before it is stored, so a
page holds one language. Words of the page that this table lacks stay English.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from charnet.data.vocab import Vocabulary
from charnet.evaluation.unicode_blocks import block_of
from charnet.insight import html, surprises

CHINESE = "zh"
FEWEST_KANA = 20  # different ones: a text in Japanese has more, one in Chinese that quotes some has fewer
KANA = ("Hiragana", "Katakana")
LANGUAGES = {
    "CJK Unified Ideographs": CHINESE, "Hangul Syllables": "ko", "Greek and Coptic": "el", "Cyrillic": "ru",
    "Hebrew": "he", "Arabic": "ar", "Thai": "th", "Devanagari": "hi", "Georgian": "ka", "Armenian": "hy",
}  # fmt: skip
BODY = {
    'aria-label="How much of the text is restored"': 'aria-label="已还原的部分"',
    ">The text</h2>": ">文本</h2>",
    'aria-label="The restored text"': 'aria-label="还原的文本"',
    ">Save the text<": ">保存文本<",
    ">Write with the model<": ">用模型写作<",
    ">Start of the text<": ">开头<",
    ">What may come next<": ">接下来可能是<",
    "<label>Temperature ": "<label>温度 ",
    "<label>Length ": "<label>长度 ",
    "<label>Seed ": "<label>随机种子 ",
    "<label>Stop before ": "<label>遇到即停 ",
    'placeholder="\\n = line end"': 'placeholder="\\n = 换行"',
    ">More settings<": ">更多设置<",
    "Only the K most likely, top-k ": "只取最可能的 K 个（top-k） ",
    "Only those that together reach, top-p ": "只取概率合计达到此值的（top-p） ",
    "Only those near the most likely, min-p ": "只取接近最可能者的（min-p） ",
    "Lines at most ": "最多行数 ",
    ">Write</button>": ">写</button>",
    ">Another</button>": ">换一篇</button>",
    ">Stop</button>": ">停止</button>",
    'aria-label="The text that the model writes"': 'aria-label="模型写的文字"',
    ">Copy<": ">复制<",
    ">Save<": ">保存<",
    ">Go on from here<": ">从这里续写<",
    ">Receipt<": ">凭证<",
    ">Open a receipt<": ">打开凭证<",
    'aria-label="Receipt to verify"': 'aria-label="要核对的凭证"',
    "> Color by surprise<": "> 按意外程度着色<",
    ">The model</h2>": ">模型</h2>",
    "This page holds the whole model, and asks no server for anything. The same start, settings and seed give the same "
    "text\nin every browser, and by <code>charnet sample --quantize int8</code>. A receipt proves it: "
    "<code>charnet replay</code>\nwrites the text of this page again and compares it, and this page does that for a "
    "receipt of <code>charnet sample</code>.": (
        "整个模型都在这个页面里，不向任何服务器请求数据。同样的开头、设置和种子，在任何浏览器里，以及用 "
        "<code>charnet sample --quantize int8</code>，都写出同样的文字。凭证可以证明这一点："
        "<code>charnet replay</code> 把这个页面的文字重写一遍并比较，这个页面也能这样核对 "
        "<code>charnet sample</code> 的凭证。"
    ),
    "For scripts: ": "供脚本使用：",
}
SCRIPTS = {
    '{ " ": "space", "\\n": "line end", "\\t": "tab", "\\r": "carriage return" }': (
        '{ " ": "空格", "\\n": "换行", "\\t": "制表符", "\\r": "回车" }'
    ),
    '"a rare one"': '"罕见的字"',
    '"the end"': '"结尾"',
    "`byte ${": "`字节 ${",
    "`${name}, ${percent(p)}: type it`": "`${name}，${percent(p)}：输入它`",
    '`“${visible(character)}”`).join(", ")': '`“${visible(character)}”`).join("、")',
    "`The model does not know ${left}: left out.`": "`模型不认识${left}，已略去。`",
    "say(`${count(characters)} characters`)": "say(`${count(characters)} 字`)",
    "`, ${count(characters / seconds)} a second by ${window.charnet.engine}`": (
        "`，每秒 ${count(characters / seconds)} 字（${window.charnet.engine}）`"
    ),
    "${count(characters)} characters in ${seconds.toFixed(2)} s${speed}": (
        "${count(characters)} 字，用时 ${seconds.toFixed(2)} 秒${speed}"
    ),
    'isStopped ? "Stopped: "': 'isStopped ? "已停止："',
    '"Copied."': '"已复制。"',
    '"No receipt: the text was stopped within a character. Let it end by itself."': (
        '"没有凭证：文字停在一个字的中间。请让它自己写完。"'
    ),
    '"Saved as receipt.json. charnet replay writes the text again and compares it."': (
        '"已存为 receipt.json。charnet replay 会重写这段文字并比较。"'
    ),
    '"The text is equal, to the byte: "': '"文字逐字节相同："',
    "`All ${texts.length} texts are equal, to the byte; the first: `": (
        "`${texts.length} 段文字都逐字节相同；第一段：`"
    ),
    "`${error.message[0].toUpperCase()}${error.message.slice(1)}.`": (
        "`${error.message[0].toUpperCase()}${error.message.slice(1)}。`"
    ),
    ": expected a number from 0 to ${": "：应是 0 到 ${",
    '.toLocaleString("en")}`);': '.toLocaleString("en")} 之间的数`);',
    "`${name}: expected a whole number`": "`${name}：应是整数`",
    "`stop: the model does not know “${lacking}”`": "`stop：模型不认识“${lacking}”`",
    '"this is no receipt of charnet"': '"这不是 charnet 的凭证"',
    '"this is no receipt of charnet, or one of a newer version"': '"这不是 charnet 的凭证，或来自更新的版本"',
    '"the receipt was changed or is damaged: its checksum does not match"': '"凭证被改过或已损坏：校验和不符"',
    '"the receipt is for another model than the one in this page"': '"凭证属于另一个模型"',
    '"stopped: the receipt is not verified"': '"已停止：凭证未核对"',
    "`text ${i + 1} differs from the one of the receipt`": "`第 ${i + 1} 段文字与凭证不同`",
}
RESTORING = {
    '"The model restores the text…"': '"模型正在还原文本……"',
    "bytes, restored in ${seconds.toFixed(1)} s; every checksum is right. SHA-256 ": (
        "字节，用时 ${seconds.toFixed(1)} 秒还原；校验和全部正确。SHA-256 "
    ),
}


def language_of(vocab: Vocabulary) -> str:
    """Returns the language of a text by the script of most letters of its alphabet; "" where that tells none.

    Many languages share the Latin letters, and an alphabet of bytes has no letters.

    >>> [language_of(Vocabulary.of_text(text)) for text in ("春眠不觉晓 a", "Мороз и солнце", "dew and rain")]
    ['zh', 'ru', '']
    """
    letters = [code for code in vocab.characters if chr(code).isalpha()]
    if vocab.of_bytes or not letters:
        return ""
    blocks = Counter(map(block_of, letters))
    if sum(blocks[each] for each in KANA) >= FEWEST_KANA:
        return "ja"
    block, count = blocks.most_common(1)[0]
    return LANGUAGES.get(block, "") if 2 * count > len(letters) else ""


def of_words(language: str) -> str:
    """Returns the language of the words of a page whose text is in a language: that one if there are words for it."""
    return CHINESE if language == CHINESE else "en"


def in_language(source: str, words: Mapping[str, str], language: str) -> str:
    """Returns the markup or the scripts of a page with its words in a language.

    Args:
        words: the English words, in their surroundings, and the Chinese ones.
    """
    for english, chinese in words.items() if language == CHINESE else ():
        assert english in source, english
        source = source.replace(english, chinese)
    return source


def legend(language: str) -> str:
    """Returns the legend of the colors, as markup."""
    if language != CHINESE:
        return surprises.legend()
    surprising, great = (f"{100 * probability:g} %" for probability in surprises.PROBABILITIES)
    named = ("意料之中", f"意外（概率低于 {surprising}）", f"很意外（低于 {great}）")
    return " ".join(f'<span class="s{level}">{html.text(name)}</span>' for level, name in enumerate(named))
