// Bytes: base64, numbers of seven bits, UTF-8, SHA-256, CRC-32.

function fromBase64(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

// Takes arrays from bytes, one behind the other.
class ByteReader {
  constructor(bytes) { [this.bytes, this.at] = [bytes, 0]; }

  take(count) {
    if (this.at + count > this.bytes.length) throw new Error("the data is cut off");
    return this.bytes.slice(this.at, this.at += count);
  }

  int8s(count) { return new Int8Array(this.take(count).buffer); }

  floats(count) { return new Float32Array(this.take(4 * count).buffer); }

  byte() {
    if (this.at >= this.bytes.length) throw new Error("the data is cut off");
    return this.bytes[this.at++];
  }

  // A number in seven bits a byte, the lowest first.
  number() {
    let found = 0, scale = 1, byte = 128;
    while (byte >= 128) {
      byte = this.byte();
      found += (byte % 128) * scale;
      scale *= 128;
    }
    return found;
  }

  numbers(count) { return Int32Array.from({ length: count }, () => this.number()); }

  // Numbers in ascending order.
  ascending(count) {
    let last = 0;
    return this.numbers(count).map((step) => last += step);
  }
}

// UTF-8 of a text. Bytes that are no UTF-8 are lone surrogates in it, U+DC80 to U+DCFF, as in Python (PEP 383).
function toUtf8(text) {
  const bytes = [];
  for (const character of text) {
    const code = character.codePointAt(0);
    if (code >= 0xdc80 && code < 0xdd00) bytes.push(code - 0xdc00);
    else if (code < 0x80) bytes.push(code);
    else {
      const rest = [code & 63 | 128];
      let left = code >> 6, room = 32;
      for (; left >= room; left >>= 6, room >>= 1) rest.unshift(left & 63 | 128);
      bytes.push(left | 256 - 2 * room, ...rest);
    }
  }
  return Uint8Array.from(bytes);
}

// The length of the character that a byte begins, or 0, and the range of the byte behind it (Unicode, table 3-7).
const utf8Length = (byte) => byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0;
const SECOND = { 0xe0: [0xa0, 0xbf], 0xed: [0x80, 0x9f], 0xf0: [0x90, 0xbf], 0xf4: [0x80, 0x8f] };
const behind = (byte) => SECOND[byte] || [0x80, 0xbf];

// Decodes UTF-8 byte by byte; it holds back what may be the beginning of a character.
class Utf8Decoder {
  constructor() { this.held = []; }

  push(byte) {
    this.held.push(byte);
    let text = "";
    while (this.held.length) {
      const [first, ...more] = this.held, length = utf8Length(first), [low, high] = behind(first);
      const fits = more.every((each, i) => i ? each >= 0x80 && each < 0xc0 : each >= low && each <= high);
      if (length && fits && this.held.length < length) break;
      if (length && fits) {
        text += String.fromCodePoint(more.reduce((code, each) => code << 6 | each & 63, first & [0, 127, 31, 15, 7][length]));
        this.held = [];
      } else text += String.fromCharCode(0xdc00 + this.held.shift());
    }
    return text;
  }

  finish() { return String.fromCharCode(...this.held.splice(0).map((byte) => 0xdc00 + byte)); }
}

// The fractional parts of square and cube roots of primes, in 32 bits, which SHA-256 begins with.
const PRIMES = Array.from({ length: 310 }, (_, n) => n + 2).filter((n) => [2, 3, 5, 7, 11, 13, 17].every((p) => n === p || n % p));

function sha256(bytes) {
  const fraction = (x) => (x - Math.floor(x)) * 4294967296 | 0;
  const rounds = PRIMES.map((p) => fraction(Math.cbrt(p))), state = PRIMES.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const padded = new Uint8Array((bytes.length + 72) >> 6 << 6), view = new DataView(padded.buffer), w = new Int32Array(64);
  padded.set(bytes);
  padded[bytes.length] = 128;
  view.setUint32(padded.length - 8, bytes.length / 536870912);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const turn = (x, n) => x >>> n | x << 32 - n;
  for (let at = 0; at < padded.length; at += 64) {
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const p = w[i - 15], q = w[i - 2];
      w[i] = i < 16 ? view.getInt32(at + 4 * i)
        : w[i - 16] + (turn(p, 7) ^ turn(p, 18) ^ p >>> 3) + w[i - 7] + (turn(q, 17) ^ turn(q, 19) ^ q >>> 10);
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + rounds[i] + w[i] | 0;
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, d + one | 0, c, b, a, one + two | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((each, i) => { state[i] = state[i] + each | 0; });
  }
  return state.map((each) => (each >>> 0).toString(16).padStart(8, "0")).join("");
}
