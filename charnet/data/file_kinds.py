"""Recognizes files that are no plain text by their first bytes, and knows the command that turns each into text.

The signatures are those of the formats' own specifications, as `file` knows them too. A signature that could begin a
text is not used alone.
"""

from __future__ import annotations

import re
import shlex
import struct
from dataclasses import dataclass
from pathlib import PurePath

PACKED = (".gz", ".bz2", ".xz", ".zst")  # the suffixes of files that are unpacked
HEAD_BYTES = 1 << 13  # enough of a file for each signature
LARGEST_HEADER = 1 << 27  # bytes, of a safetensors file

OWN_PROGRAM = "save its text from the program that made it"
TRANSCRIBE = "write down what is said or sung first, for instance with whisper {file}"
OCR = "if it shows a text, read that with tesseract {file} text"
NO_TEXT = "give a text to read in its place"
MODEL = "it is a model and no text: give a text to read in its place"


@dataclass(frozen=True)
class Kind:
    """A kind of file: what it is, and what to do about it. `{file}` and `{text}` stand for two names in `remedy`.

    A text with markup is a text too, and can be learned. Then `learned` says what is learned with it.
    """

    name: str
    remedy: str
    learned: str = ""

    def advice(self, file: str = "") -> str:
        """Returns what to do about a file of this kind.

        >>> Kind("a PDF document", "pdftotext {file} {text}").advice("my book.pdf")
        "pdftotext 'my book.pdf' text.txt"

        Args:
            file: its path; empty where it has none or is packed.
        """
        text = "plain.txt" if PurePath(file).name == "text.txt" else "text.txt"
        return self.remedy.format(file=quoted_path(file) if file else "FILE", text=text)


def quoted_path(path: str) -> str:
    """Returns a path as a shell and its programs take it.

    >>> quoted_path("my book.pdf"), quoted_path("-x.txt")
    ("'my book.pdf'", './-x.txt')
    """
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _packed(name: str, suffix: str, command: str) -> Kind:
    return Kind(
        f"packed by {name}",
        f"unpack it: {command} {{file}} > {{text}} (charnet itself unpacks files whose names end in {suffix})",
    )


def _pandoc(name: str, form: str) -> Kind:
    return Kind(name, f"turn it into text: pandoc -f {form} -t plain {{file}} -o {{text}}")


TAR = Kind("a tar archive", "take the texts out: tar -xOf {file} > {text}")  # unpacks too
PACKED_TAR = (".tgz", ".tbz", ".tbz2", ".txz")
ZIP = Kind("a zip archive", "take the texts out: unzip -p {file} > {text}")
HTML = Kind("HTML", "the text without its tags: pandoc -f html -t plain {file} -o {text}", "its tags too")
FICTION = Kind("a FictionBook", "the text without its tags: pandoc -f fb2 -t plain {file} -o {text}", "its tags too")
XML = Kind("XML", "the text without its tags: sed 's/<[^>]*>//g' {file} > {text}", "its tags too")
QUOTED = Kind("quoted-printable, as mail is", "the text itself: python3 -m quopri -d {file} > {text}", "its codes too")
BASE64 = Kind("base64, as attachments are", "what it holds: base64 -d {file} > {text}", "its codes")
ESCAPES = Kind(r"text in \u escapes", "the characters: uconv -f utf-8 -t utf-8 -x Hex-Any {file} > {text}", "those too")
UNESCAPE = "import html, sys; print(html.unescape(sys.stdin.read()))"
ENTITIES = Kind("text in HTML entities", f"the characters: python3 -c '{UNESCAPE}' < {{file}} > {{text}}", "those too")
READ_MAIL = (
    "import email, email.policy as p, sys; read = lambda file: email.message_from_binary_file(file, policy=p.default)"
)
BODY = "get_body(('plain', 'html'))"
MAIL = Kind(
    "mail as it was sent",
    f'the letter alone: python3 -c "{READ_MAIL}; print(read(sys.stdin.buffer).{BODY}.get_content())" '
    "< {file} > {text}",
    "its headers, codes and attachments too",
)
MAILBOX = Kind(
    MAIL.name,
    f'the letters alone: python3 -c "{READ_MAIL}; import mailbox; bodies = [mail.{BODY} for mail in '
    'mailbox.mbox(sys.argv[1], read)]; [print(body.get_content()) for body in bodies if body]" {file} > {text}',
    MAIL.learned,
)
NOTEBOOK = Kind(
    "Jupyter's JSON",
    "the cells alone: jq -r '.cells[] | [.source] | flatten | join(\"\")' {file} > {text}",
    "its names, braces and outputs too",
)
SUBTITLES = Kind(
    "text with times, as subtitles are",
    "the words alone: grep -vE -e '-->|^[0-9]*[[:space:]]*$' {file} > {text}",
    "their numbers and times too",
)
PICKLE = Kind("a Python pickle", "write its text to a file from Python")
TORCH = Kind("a checkpoint of PyTorch (.pt, .pth)", MODEL)
SAFETENSORS = Kind("a safetensors file: weights of a model", MODEL)
CHARNET = Kind("a checkpoint of charnet", "it is a model: charnet sample {file} writes with it")
SOUND = Kind("sound", TRANSCRIBE)
PROGRAM = Kind("a program", NO_TEXT)

SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (rb"\x1f\x8b\x08", _packed("gzip", ".gz", "gzip -dc")),
    (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", _packed("bzip2", ".bz2", "bzcat")),
    (rb"\xfd7zXZ\x00", _packed("xz", ".xz", "xzcat")),
    (rb"\x28\xb5\x2f\xfd", _packed("zstd", ".zst", "zstdcat")),
    (rb"\x04\x22\x4d\x18", Kind("packed by lz4", "unpack it: lz4 -dc {file} > {text}")),
    (rb"\x1f[\x9d\xa0]", Kind("packed by compress", "unpack it: gzip -dc {file} > {text}")),
    (rb"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", "take the texts out: 7z x -so {file} > {text}")),
    (rb"Rar!\x1a\x07", Kind("a RAR archive", "take the texts out: unrar p -inul {file} > {text}")),
    (rb".{257}ustar[\x00 ]", TAR),
    (rb"\s*%PDF-\d\.\d", Kind("a PDF document", "turn it into text: pdftotext {file} {text}")),
    (rb"\s*%!PS-Adobe", Kind("a PostScript document", "turn it into text: ps2ascii {file} {text}")),
    (rb"\s*\{\\rtf[\d\\]", _pandoc("an RTF document, text between formatting commands", "rtf")),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an old Office document (.doc, .xls, .ppt)", OWN_PROGRAM)),
    (rb".{60}BOOKMOBI", Kind("a Kindle book", "turn it into text: ebook-convert {file} {text}")),
    (rb"AT&TFORM", Kind("a DjVu document", "turn it into text: djvutxt {file} {text}")),
    (rb"\x89PNG\r\n\x1a\n", Kind("a PNG picture", OCR)),
    (rb"\xff\xd8\xff", Kind("a JPEG picture", OCR)),
    (rb"GIF8[79]a", Kind("a GIF picture", OCR)),
    (rb"BM.{4}\x00{4}|II\*\x00|MM\x00\*|RIFF.{4}WEBP", Kind("a picture", OCR)),
    (
        rb"SQLite format 3\x00",
        Kind("an SQLite database", "take its text out: sqlite3 {file} 'SELECT column FROM table' > {text}"),
    ),
    (rb"\x89HDF\r\n\x1a\n", Kind("an HDF5 file, of Keras or of data (.h5)", OWN_PROGRAM)),
    (rb"PAR1[\x00-\x1f]", Kind("a Parquet table", "write its column of texts to a file, for instance with pandas")),
    (rb"ARROW1\x00", Kind("an Arrow table", "write its column of texts to a file, for instance with pandas")),
    (rb"\x93NUMPY", Kind("an array of NumPy", "write its text to a file from Python")),
    (rb"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", TORCH),
    (rb"\x80[\x02-\x05][\x00-\xff]", PICKLE),
    (
        rb"[\x03\x04]\x00\x00\x00\x01\x00\x00\x00",
        Kind("a file of Torch 7, as torch-rnn and char-rnn write (.t7)", MODEL),
    ),
    (rb"GGUF[\x00-\x0f]\x00\x00\x00", Kind("a model of llama.cpp (.gguf)", MODEL)),
    (rb"MThd\x00\x00\x00\x06", Kind("a MIDI file", "turn it into text: midicsv {file} > {text}")),
    (rb"RIFF.{4}WAVE|ID3[\x02-\x04]|\xff[\xfb\xf3\xf2](?=.*\x00)|OggS\x00|fLaC\x00", SOUND),
    (rb"\x00\x00\x00.ftyp|\x1a\x45\xdf\xa3|RIFF.{4}AVI ", Kind("a film", TRANSCRIBE)),
    (rb"\x7fELF|MZ.{0,58}\x00|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe|\x00asm", PROGRAM),
)
ENTRIES = (  # in a zip archive: the name of a member, and its content where that is stored as it is
    (rb"mimetypeapplication/epub\+zip", _pandoc("an EPUB book", "epub")),
    (rb"mimetypeapplication/vnd\.oasis\.opendocument\.text", _pandoc("an OpenDocument text (.odt)", "odt")),
    (rb"mimetypeapplication/vnd\.oasis", Kind("an OpenDocument file", OWN_PROGRAM)),
    (rb"word/document\.xml|\[Content_Types\]\.xml(?=.*word/)", _pandoc("a Word document (.docx)", "docx")),
    (rb"xl/", Kind("an Excel workbook (.xlsx)", "save it as CSV")),
    (rb"ppt/", Kind("a PowerPoint presentation (.pptx)", OWN_PROGRAM)),
    (rb"[^/]+/data\.pkl|[^/]+/\.?format_version", TORCH),
    (rb"[^/]+\.npy", Kind("arrays of NumPy (.npz)", "write their text to a file from Python")),
    (rb"META-INF/", PROGRAM),
)
CODES = (
    (rb"=[89A-F][0-9A-F]", QUOTED),
    (rb"\\u[0-9a-fA-F]{4}", ESCAPES),
    (rb"&#(?:\d+|x[0-9a-fA-F]+);", ENTITIES),
)
FEWEST_CODES = 60  # bytes
QUOTED_SIGN = rb"(?i)quoted-printable|=\r?\n"  # molecules and addresses have =CC too
SUBTITLE = rb"WEBVTT\s(?=.*-->)|\s*\d+\r?\n\d\d:\d\d:\d\d[,.]\d{3} --> "
MAIL_START = rb"(?:From \S+ .*\d\d:\d\d|(?i:[a-z-]+):[ \t]).*\r?\n"
WRITTEN_HEADER = rb"(?im)^(?:from|to|subject|date):"
SENT_HEADER = rb"(?im)^(?:message-id|mime-version|received|return-path):"
BASE64_LINES = rb"(?:[A-Za-z0-9+/]{60,76}\r?\n){8}"
OPENING_TAG = rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?i:!doctype\s+html|html|head|body|div|table|p)\b"


def kind_of(start: bytes) -> Kind | None:
    """Recognizes a file by its first bytes; None if it may be plain text.

    >>> kind_of(b"%PDF-1.7 ...").name, kind_of(b"<!DOCTYPE html><p>").name, kind_of(b"<3 a text")
    ('a PDF document', 'HTML', None)
    """
    start = start[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_zip(start)
    if kind := next((kind for pattern, kind in SIGNATURES if re.match(pattern, start, re.DOTALL)), None):
        return kind
    if start[8:10] == b'{"' and struct.unpack("<Q", start[:8])[0] < LARGEST_HEADER:
        return CHARNET if b'"format":"charnet"' in start else SAFETENSORS
    if re.match(OPENING_TAG, start, re.DOTALL):
        return HTML
    if re.match(rb"\s*<\?xml\s", start):
        return FICTION if b"<FictionBook" in start else XML
    if re.match(SUBTITLE, start, re.DOTALL):
        return SUBTITLES
    if re.match(rb"\s*\{\s*\"\w+\":", start) and b'"cell_type":' in start:
        return NOTEBOOK
    if re.match(MAIL_START, start) and _is_head_of_mail(re.split(rb"\r?\n\r?\n", start, maxsplit=1)[0]):
        return MAILBOX if start.startswith(b"From ") else MAIL
    return _in_ascii(start) if start.isascii() else None


def _is_head_of_mail(head: bytes) -> bool:
    """Returns whether headers are such as a person writes, and such as a program adds when it sends the mail."""
    return re.search(WRITTEN_HEADER, head) is not None and re.search(SENT_HEADER, head) is not None


def _in_ascii(start: bytes) -> Kind | None:
    """Names a text whose other characters are written in ASCII, if they are a tenth of it or more."""
    least = max(FEWEST_CODES, len(start) // 10)
    kind = next((kind for pattern, kind in CODES if len(b"".join(re.findall(pattern, start))) > least), None)
    if kind and (kind is not QUOTED or re.search(QUOTED_SIGN, start)):
        return kind
    used = (rb"[a-z]", rb"[A-Z]", rb"\d", rb"[+/]")  # each is in hundreds of bytes of it
    lines = re.match(BASE64_LINES, start)
    is_base64 = lines and len(set(map(len, lines[0].split()))) == 1 and all(re.search(each, start) for each in used)
    return BASE64 if is_base64 else None


def _kind_of_zip(start: bytes) -> Kind:
    """Names a zip archive by its first members: their names are 26 bytes behind the signature of each."""
    for at in re.finditer(rb"PK\x03\x04", start):
        name = start[at.start() + 30 :]
        if kind := next((kind for pattern, kind in ENTRIES if re.match(pattern, name)), None):
            return kind
    return ZIP
