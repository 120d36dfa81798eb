// Restores a text that `charnet compress` wrote with this model: the model says how likely each symbol was, and the code
// which of them came (asymmetric numeral systems, Duda 2013).
const TOTAL = 2 ** 24, SHARED = 2 ** 14, LOWEST = 2n ** 31n, STREAMS = 64, SYMBOLS_A_STREAM = 4096, NONE = -1;
const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? n >>> 1 ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ crc >>> 8;
  return ~crc >>> 0;
}

// Counts of all symbols, 2^24 together: those of the alphabet, those beyond it, and one that never comes.
class Shares {
  constructor(alphabetSize, beyond, length) {
    this.size = alphabetSize + beyond.length + 1;
    this.floor = Math.max(1, Math.floor(SHARED / this.size));
    const free = TOTAL - this.floor * this.size;
    this.beyond = beyond.map((count) => Math.floor(count * free / length));
    this.known = this.beyond.reduce((a, b) => a - b, free);
  }

  // Where the counts of each symbol begin, and the end of the last.
  starts(weights) {
    const total = Math.max(1, sum(weights)), starts = new Float64Array(this.size + 1);
    let symbol = 0, end = 0;
    const add = (count) => { starts[++symbol] = end += this.floor + count; };
    for (let i = 0; i < weights.length; i++) add(quotient(weights[i], this.known, total));
    this.beyond.forEach(add);
    starts[this.size] = TOTAL;
    return starts;
  }
}

// a * b / c rounded down, for a up to 2^32, b below 2^24 and c below 2^48: every part is an integer that a double holds.
function quotient(a, b, c) {
  const q = Math.floor(a * b / c), low = a % 65536, high = (a - low) / 65536, cLow = c % 2 ** 22, cHigh = (c - cLow) / 2 ** 22;
  const rest = high * b * 65536 - q * cHigh * 2 ** 22 + (low * b - q * cLow);
  return rest < 0 ? q - 1 : rest >= c ? q + 1 : q;
}

class Decoder {
  constructor(words) {
    [this.words, this.next] = [words, 2];
    this.state = BigInt(words[0]) << 32n | BigInt(words[1]);
  }

  decode(starts) {
    const low = Number(this.state & 0xffffffn);
    let symbol = 0, end = starts.length - 1;
    while (end - symbol > 1) {
      const middle = symbol + end >> 1;
      if (starts[middle] <= low) symbol = middle; else end = middle;
    }
    this.state = BigInt(starts[symbol + 1] - starts[symbol]) * (this.state >> 24n) + BigInt(low - starts[symbol]);
    if (this.state < LOWEST) {
      if (this.next === this.words.length) throw new Error("the text is damaged");
      this.state = this.state << 32n | BigInt(this.words[this.next++]);
    }
    return symbol;
  }
}

// The bytes of a block of characters, in the encoding that it was read in.
function encoded(codes, decoding) {
  const isWide = decoding >> 1 > 1, isBig = decoding >> 1 === 3, bytes = [];
  const ended = decoding % 2 ? codes.flatMap((code) => code === 10 ? [13, 10] : [code]) : codes;
  if (decoding >> 1 === 1) return Uint8Array.from(ended);
  if (!isWide) return toUtf8(ended.map((code) => String.fromCodePoint(code)).join(""));
  for (const code of ended)
    for (const unit of String.fromCodePoint(code).split("").map((each) => each.charCodeAt(0)))
      bytes.push(...(isBig ? [unit >> 8, unit & 255] : [unit & 255, unit >> 8]));
  return Uint8Array.from(bytes);
}

class Restoring {
  constructor(bytes) { [this.reader, this.beyond, this.readAs, this.size] = [new ByteReader(bytes), [], [], bytes.length]; }

  // Yields after each step the symbols of each stream of a block that are known, and in the end its bytes.
  *blocks() {
    this.reader.take(22);  // the header, which was checked when the page was made
    for (let begin = this.reader.at, length; (length = this.reader.number()); begin = this.reader.at) {
      const decoding = this.reader.number(), count = this.reader.number();
      for (let i = 0, code = 0; i < count; i++) {
        this.beyond.push(code += this.reader.number());
        this.readAs.push(this.reader.number() - 1);
      }
      const shares = new Shares(alphabet.size, Array.from(this.reader.numbers(this.beyond.length)), length);
      const words = new Uint32Array(this.reader.take(4 * this.reader.number()).buffer);
      const [crc] = new Uint32Array(this.reader.take(8).buffer);
      const streams = [], done = (share) => (begin + (this.reader.at - begin) * share) / this.size;
      for (const step of this.decode(length, shares, new Decoder(words), streams)) yield { streams, done: done(step / length) };
      const raw = encoded(streams.flat(), decoding);
      if (crc32(raw) !== crc) throw new Error("the text has another checksum than the one that was compressed");
      yield { streams, done: done(1), raw };
    }
  }

  *decode(length, shares, decoder, streams) {
    const batch = Math.max(1, Math.min(STREAMS, Math.floor(length / SYMBOLS_A_STREAM))), state = model.start();
    const first = { state, weights: softmax(model.advance(alphabet.startId, state)) };
    const now = Array.from({ length: batch }, () => ({ state: model.copy(state), weights: first.weights }));
    streams.push(...now.map(() => []));
    for (let at = 0; at < length; at++) {
      const stream = at % batch, symbol = decoder.decode(shares.starts(now[stream].weights));
      if (symbol === shares.size - 1) throw new Error("the text is damaged");
      streams[stream].push(symbol < alphabet.size ? alphabet.symbols[symbol] : this.beyond[symbol - alphabet.size]);
      this.read(now[stream], symbol, first);
      yield at + 1;
    }
    if (decoder.state !== LOWEST || decoder.next !== decoder.words.length) throw new Error("the text is damaged");
  }

  // Reads a symbol. Behind the end of a document a stream is as it was at first.
  read(one, symbol, first) {
    const id = symbol < alphabet.size ? symbol : this.readAs[symbol - alphabet.size];
    if (alphabet.hasDocuments && symbol === alphabet.startId) Object.assign(one, { state: model.copy(first.state), weights: first.weights });
    else if (id !== NONE) one.weights = softmax(model.advance(id, one.state));
  }
}

// Restores the text in the background. `show` gets what is known, about once a frame.
async function decompress(show = () => {}) {
  const restoring = new Restoring(fromBase64(stored.compressed)), parts = [];
  let until = performance.now() + CALL;
  for (const each of restoring.blocks()) {
    if (each.raw) parts.push(each.raw);
    else if (performance.now() < until) continue;
    show(each);
    await pause();
    until = performance.now() + CALL;
  }
  const raw = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (raw.set(part, at), at + part.length), 0);
  return raw;
}
