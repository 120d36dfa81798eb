// The alphabet of a model: code points, or bytes; and how a text that somebody typed is read in it.
const RARE = 0x110000, RARE_BYTE = 0x100, LOST = "\ufffd";

class Alphabet {
  constructor(data, facts) {
    Object.assign(this, facts);  // size, ofBytes, isUtf8, documentEnd, hasDocuments, startId, joins, never, reading
    this.symbols = data.ascending(this.size);
    this.ids = new Map(Array.from(this.symbols, (symbol, id) => [symbol, id]));
    this.rareId = this.ids.get(this.ofBytes ? RARE_BYTE : RARE) ?? -1;
  }

  codes(text) { return this.ofBytes ? [...toUtf8(text)] : Array.from(text, (character) => character.codePointAt(0)); }

  // The id of a symbol: that of rare ones, else -1, for one that is not in the alphabet.
  id(code) { return this.ids.get(code) ?? this.rareId; }

  isKnown(character) { return this.codes(character).every((code) => this.ids.has(code) && this.id(code) !== this.rareId); }

  // The text of a symbol: a character; of a byte what is complete with it.
  decoder() {
    const utf8 = new Utf8Decoder();
    return {
      push: (id) => id === this.rareId ? LOST : this.ofBytes ? utf8.push(this.symbols[id]) : String.fromCodePoint(this.symbols[id]),
      finish: () => utf8.finish(),
    };
  }

  // Reads a prompt as charnet does: normalized as the training text was, in the form and width that the alphabet has.
  // Returns the text that is read, its ids, and the characters that were left out as unknown.
  read(text, skipsUnknown = false) {
    text = this.normalized(text.replace(/^\ufeff/, "").replace(/[\ud800-\udbff](?![\udc00-\udfff])/g, LOST));
    if (!this.ofBytes) text = this.inWidth(this.composed(text));
    const known = [], skipped = [];
    let place = 0;
    for (const character of text) {
      place++;
      if (this.codes(character).every((code) => this.id(code) >= 0)) known.push(character);
      else if (skipsUnknown) skipped.push(character);
      else throw new Error(`the model does not know “${character}”, at position ${place} of the prompt`);
    }
    return { text: known.join(""), ids: this.codes(known.join("")).map((code) => this.id(code)), skipped };
  }

  normalized(text) {
    const { reading } = this, form = { nfc: "NFC", nfkc: "NFKC" }[reading.normalize];
    const compose = (each) => form ? each.normalize(form) : each;
    if (reading.newlines === "lf" || reading.documents) text = text.replace(/\r\n?/g, "\n");
    text = compose(text);
    return reading.lowercase ? compose(text.replace(/İ|I\u0307/g, "i").toLowerCase()) : text;
  }

  unknown(text) { return [...text].filter((character) => !this.isKnown(character)); }

  composed(text) {
    let left = this.unknown(text).length;
    for (const form of left ? ["NFC", "NFD"] : []) {
      const other = text.normalize(form), count = this.unknown(other).length;
      if (count < left) [text, left] = [other, count];
    }
    return text;
  }

  inWidth(text) {
    const other = (c) => !this.isKnown(c) && ofWidth(c) && this.isKnown(ofWidth(c)) ? ofWidth(c) : c;
    return Array.from(text, other).join("");
  }
}

// The same character in the other width, full or half, or "".
function ofWidth(character) {
  if (character === " ") return "\u3000";
  if (character >= "!" && character <= "~") return String.fromCharCode(character.charCodeAt(0) + 0xfee0);
  const plain = character.normalize("NFKC");
  return /[\u3000\u20a9\uff01-\uffdc\uffe0-\uffee]/.test(character) && [...plain].length === 1 ? plain : "";
}

// The bytes that may not come next in a text of bytes that must be UTF-8, complete within `left` bytes.
function forbiddenBytes({ symbols }, last, left) {
  const outside = (low, high) => Array.from(symbols, (byte) => byte < low || byte > high);
  for (let back = 1; back <= last.length; back++) {
    const byte = symbols[last[last.length - back]], length = utf8Length(byte);
    if (length > back) return outside(...(back === 1 ? behind(byte) : [0x80, 0xbf]));
    if (length || byte < 0x80 || byte >= 0xc0) break;
  }
  const needs = Array.from(symbols, (byte) => utf8Length(byte) || 9), room = needs.some((each) => each <= left) ? left : 4;
  return needs.map((each) => each > Math.min(room, 4));
}
