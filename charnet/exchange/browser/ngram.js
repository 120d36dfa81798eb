// An n-gram: entries are strings of characters, ordered by length; each knows those that continue it, and the entry
// without its oldest character. The state of a text is the entry of the longest string that ends it.
class Ngram {
  constructor(data, { symbols, followers }, alphabet) {
    const longer = data.numbers(symbols), codes = data.take(symbols), counts = data.numbers(followers);
    this.base = data.floats(alphabet);
    this.symbols = new Int32Array(1 + alphabet + symbols);
    this.symbols.set(this.base.map((_, i) => i), 1);
    this.symbols.set(longer, 1 + alphabet);
    this.first = new Int32Array(followers + 2);
    this.first[0] = 1;
    this.first[1] = 1 + alphabet;
    counts.forEach((count, i) => { this.first[i + 2] = this.first[i + 1] + count; });
    this.added = new Float32Array(this.symbols.length);
    codes.forEach((code, i) => { this.added[1 + alphabet + i] = PROBABILITIES[code]; });
    this.normalize();
    this.link = this.links();
    this.known = new Map();
  }

  // What the entries after each context add, summed in double precision in the order of all entries.
  sums() {
    let total = 0, entry = 0;
    const { first, added } = this, sums = new Float64Array(first.length - 1);
    for (; entry < 1; entry++) total += added[entry];
    for (let node = 0; node < sums.length; node++) {
      const before = total;
      for (; entry < first[node + 1]; entry++) total += added[entry];
      sums[node] = total - before;
    }
    return sums;
  }

  normalize() {
    const most = 1 - 2 ** -10, { first, added } = this;
    this.sums().forEach((sum, node) => {
      const scale = fround(sum > most ? most / sum : 1);
      for (let entry = first[node]; entry < first[node + 1]; entry++) added[entry] *= scale;
    });
    this.backoff = Float32Array.from(this.sums(), (sum) => 1 - sum);
  }

  // The entry that continues another one by a character, or 0.
  find(node, symbol) {
    let low = this.first[node], high = this.first[node + 1];
    const end = high;
    while (low < high) {
      const middle = low + high >> 1;
      if (this.symbols[middle] < symbol) low = middle + 1; else high = middle;
    }
    return low < end && this.symbols[low] === symbol ? low : 0;
  }

  links() {
    const { first } = this, link = this.link = new Int32Array(this.symbols.length);
    for (let node = 1; node < this.backoff.length; node++)
      for (let entry = first[node]; entry < first[node + 1]; entry++) link[entry] = this.find(link[node], this.symbols[entry]);
    return link;
  }

  step(node, symbol) {
    for (; node; node = this.link[node]) {
      const found = this.find(node, symbol);
      if (found) return found < this.backoff.length ? found : this.link[found];
    }
    return 1 + symbol;
  }

  // The distribution of the next character: from the shortest context to the longest, in single precision.
  distribution(node) {
    if (!node) return this.base;
    if (this.known.has(node)) return this.known.get(node);
    const backoff = this.backoff[node], p = this.distribution(this.link[node]).slice();
    for (let i = 0; i < p.length; i++) p[i] *= backoff;
    for (let entry = this.first[node]; entry < this.first[node + 1]; entry++) p[this.symbols[entry]] += this.added[entry];
    if (this.known.size * p.length > 4e6) this.known.clear();
    this.known.set(node, p);
    return p;
  }
}
