// Texts. Places are counted in UTF-16 units, as the sheet counts them; the server counts code points.
const WINDOW = 4096;  // the text before the caret that is sent is at least as long, where there is so much
const CUT_WORD = 24;  // the longest beginning of a word that is left off at the end of a suggestion
const AHEAD = 8;  // how far characters that were left out or replaced are searched

// Control characters and changes of direction become symbols; line ends stay.
function visible(text) {
  return text.replace(/[\u0000-\u0009\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
      (c) => "<" + c.charCodeAt(0).toString(16).toUpperCase() + ">");
}

// What a sheet can hold: it has one kind of line end, and half of a character cannot be sent.
function written(text) {
  return text.replace(/\r\n?/g, "\n").replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

// Returns the place, or the one before it within a character of two units.
function wholeAt(text, at) {
  const inside = at > 0 && /[\udc00-\udfff]/.test(text[at] ?? "") && /[\ud800-\udbff]/.test(text[at - 1]);
  return inside ? at - 1 : at;
}

// What is sent of the text before the caret. Its beginning moves in large steps, so that a key makes it one longer and
// the server goes on from the state that it has.
function contextOf(text, at) {
  const start = wholeAt(text, Math.max(0, (Math.floor(at / WINDOW) - 1) * WINDOW));
  return written(text.slice(start, at));
}

// Leaves off the word that the end of the length has cut.
function wholeWords(text) {
  const cut = text.search(/\s\S*$/);
  return cut > 0 && text.length - cut <= CUT_WORD && /\S/.test(text.slice(0, cut)) ? text.slice(0, cut) : text;
}

const segmenter = typeof Intl.Segmenter === "function" ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;
function firstWord(text) {
  if (!segmenter) return (/^\s*\S+/.exec(text) || [text])[0];
  let end = 0;
  for (const each of segmenter.segment(text)) {
    end = each.index + each.segment.length;
    if (each.isWordLike) break;
  }
  return text.slice(0, end);
}

function codePoints(text) {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

// The characters of a scored text with their nats. A model of bytes names the bytes of a character one by one.
function scored(logprobs) {
  const found = [], decoder = new TextDecoder();
  let bytes = [], nats = 0;
  const flush = () => {
    for (const character of decoder.decode(Uint8Array.from(bytes))) {
      found.push([character, nats]);
      nats = 0;
    }
    bytes = [];
    nats = 0;
  };
  const whole = () => bytes[0] < 0xc2 || bytes.length >= (bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4);
  logprobs.tokens.forEach((token, i) => {
    const own = logprobs.token_logprobs[i] === null ? NaN : -logprobs.token_logprobs[i];
    const byte = /^bytes:\\x([0-9a-f]{2})$/.exec(token);
    if (byte === null) {
      if (bytes.length) flush();
      found.push([token, own]);
      return;
    }
    bytes.push(parseInt(byte[1], 16));
    nats += own;
    if (whole()) flush();
  });
  if (bytes.length) flush();
  return found;
}

// Gives each unit of a text its nats: NaN where the model did not read it. The model may read characters in another form
// than they were written in, and leave some out.
function align(text, characters) {
  const nats = new Float32Array(text.length).fill(NaN), own = Array.from(text);
  const plain = (character) => character.normalize("NFKC").toLowerCase();
  const same = (i, j) => i < own.length && j < characters.length &&
    (own[i] === characters[j][0] || plain(own[i]) === plain(characters[j][0]));
  let i = 0, j = 0, at = 0;
  const skip = (count) => { while (count-- > 0) at += own[i++].length; };
  while (i < own.length && j < characters.length) {
    if (!same(i, j)) {
      let ahead = 1;
      while (ahead <= AHEAD && !same(i + ahead, j) && !same(i, j + ahead)) ahead++;
      if (ahead > AHEAD) { skip(1); j++; continue; }
      if (same(i + ahead, j)) skip(ahead); else j += ahead;
    }
    nats.fill(characters[j++][1], at, at + own[i].length);
    skip(1);
  }
  return nats;
}

// Writes nats as one digit for each unit: how many of the limits the probability is below.
function bandsOf(nats) {
  return Array.from(nats, (each) => isNaN(each) ? 0 : surpriseLevel(each)).join("");
}
