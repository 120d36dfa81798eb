// Where a text ends, and what of it is shown: whole grapheme clusters, nothing that may turn out to be beyond the end.
const segmenter = typeof Intl.Segmenter === "function" ? new Intl.Segmenter() : null;
const LONGEST_CLUSTER = 32;

const isCluster = (text) => text.length < 2 || (text[0] !== "\r" && (segmenter ? [...segmenter.segment(text)].length === 1 : [...text].length === 1));

function clustersOf(text) {
  const found = [];
  for (const character of text) {
    const joined = found.length ? found[found.length - 1] + character : character;
    if (found.length && isCluster(joined)) found[found.length - 1] = joined; else found.push(character);
  }
  return found;
}

// Ends a text before the first of some strings, compared cluster by cluster (Knuth, Morris and Pratt 1977).
class StopStrings {
  constructor(stops) {
    this.stops = stops.map((stop) => {
      const symbols = clustersOf(stop), borders = [0, 0], lengths = [0];
      symbols.forEach((symbol, i) => {
        lengths.push(lengths[i] + symbol.length);
        if (i) borders.push(this.next({ symbols, borders }, borders[i], symbol));
      });
      return { symbols, borders, lengths, matched: 0 };
    });
    this.heldBack = 0;
  }

  next({ symbols, borders }, matched, symbol) {
    while (matched === symbols.length || (matched && symbols[matched] !== symbol)) matched = borders[matched];
    return matched + (symbols[matched] === symbol);
  }

  push(symbol) {
    let isMet = false;
    this.heldBack = 0;
    for (const stop of this.stops) {
      stop.matched = this.next(stop, stop.matched, symbol);
      const isComplete = stop.matched === stop.symbols.length, length = stop.lengths[stop.matched];
      if (isComplete > isMet || (isComplete === isMet && length > this.heldBack)) this.heldBack = length;
      isMet ||= isComplete;
    }
    return isMet;
  }
}

class MaxLines {
  constructor(count, lineEnd) { [this.left, this.lineEnd, this.heldBack] = [count, lineEnd, 0]; }

  push(symbol) {
    if (symbol !== this.lineEnd) {
      this.heldBack = symbol === "\r" ? 1 : 0;
      return false;
    }
    this.heldBack = --this.left === 0 ? this.heldBack + 1 : 0;
    return this.left === 0;
  }
}

// Turns symbols into text. `ended` says whether the text has ended.
class Detokenizer {
  constructor(alphabet, { stop, max_lines: maxLines, length }) {
    const lineEnd = alphabet.ids.has(13) && !alphabet.ids.has(10) ? "\r" : "\n";
    const end = alphabet.documentEnd === null ? [] : [String.fromCodePoint(alphabet.documentEnd)];
    this.criteria = [
      ...(stop.length ? [new StopStrings(stop)] : []), ...(maxLines ? [new MaxLines(maxLines, lineEnd)] : []),
      ...(end.length ? [new StopStrings(end)] : []),
    ];
    [this.decoder, this.ofBytes, this.length] = [alphabet.decoder(), alphabet.ofBytes, length];
    this.byClusters = alphabet.joins && !(alphabet.ofBytes && !this.criteria.length);
    [this.last, this.held, this.fed, this.ended, this.isCut] = ["", "", 0, length === 0, false];
  }

  get isOpen() { return this.byClusters && !this.ofBytes && /\P{Cc}$/u.test(this.last); }

  // Takes a symbol, and returns the text that is certain with it.
  push(id) {
    this.fed++;
    this.read(this.decoder.push(id));
    this.ended ||= this.fed >= this.length && !this.isOpen;
    return this.certain();
  }

  // Returns what was held back, when no more comes.
  finish() {
    if (!this.isCut) this.read(this.decoder.finish());
    if (!this.isCut && this.last) this.take(this.last);
    if (!this.isCut) this.criteria = [];
    return this.certain();
  }

  read(text) {
    for (const character of text) {
      if (this.isCut) return;
      if (!this.byClusters) this.take(character);
      else if ([...this.last].length < LONGEST_CLUSTER && isCluster(this.last + character)) this.last += character;
      else {
        const whole = this.last;
        this.last = character;
        this.take(whole);
      }
    }
  }

  take(symbol) {
    this.held += symbol;
    const met = this.criteria.filter((each) => each.push(symbol));
    if (!met.length && this.fed <= this.length) return;
    [this.ended, this.isCut, this.criteria] = [true, true, met];
  }

  certain() {
    const heldBack = Math.max(0, ...this.criteria.map((each) => each.heldBack)), text = this.held.slice(0, this.held.length - heldBack);
    this.held = this.held.slice(text.length);
    return text;
  }
}
