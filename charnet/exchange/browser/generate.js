// Writes a text, symbol by symbol. It is that of `charnet sample --quantize int8` with the same options.
class Generation {
  // `index` is the number of the text among those of a seed.
  constructor(model, alphabet, ids, options, index = 0) {
    [this.model, this.alphabet, this.options, this.recent, this.position] = [model, alphabet, options, ids.slice(-3), 0];
    for (const stop of options.stop) {
      const lacking = [...stop].find((character) => !alphabet.isKnown(character));
      if (lacking !== undefined) throw new Error(`stop: the model does not know “${lacking}”`);
    }
    const start = alphabet.hasDocuments && ids[0] !== alphabet.startId ? [alphabet.startId] : [];
    this.pending = [...start, ...ids];
    if (!this.pending.length) this.pending = [alphabet.startId];
    [this.state, this.next, this.reader] = [model.start(), randomNumbers(options.seed, index), new Detokenizer(alphabet, options)];
    [this.shown, this.nats] = ["", []];
  }

  get ended() { return this.reader.ended; }

  // Reads the symbols of the prompt, one at each call but for the last; returns whether any is left.
  readOne() {
    if (this.pending.length < 2) return false;
    this.model.advance(this.pending.shift(), this.state);
    return true;
  }

  // Samples a symbol, once the prompt was read; returns the text that is certain with it.
  step() {
    const { options, alphabet } = this, own = this.model.advance(this.pending[0], this.state);
    const logits = this.allowed(own);
    const symbol = sampleLogits(logits, this.temperature(), this.next(), options);
    this.nats.push(surprisal(own, symbol));
    this.pending = [symbol];
    this.recent = [...this.recent.slice(-2), symbol];
    this.position++;
    return this.reader.push(symbol);
  }

  finish() { return this.reader.finish(); }

  temperature() {
    const { temperature, temperature_end: end, length } = this.options;
    return end === null ? temperature : temperature + (end - temperature) * Math.min(1, this.position / Math.max(1, length - 1));
  }

  // Logits without what is never written, and without bytes that would not be UTF-8.
  allowed(own) {
    const { alphabet } = this;
    if (!alphabet.never.length && !alphabet.isUtf8) return own;
    const logits = own.slice();
    for (const id of alphabet.never) logits[id] = -Infinity;
    if (alphabet.isUtf8) {
      const forbidden = forbiddenBytes(alphabet, this.recent, this.options.length - this.position);
      forbidden.forEach((is, id) => { if (is) logits[id] = -Infinity; });
    }
    return logits;
  }

  // The surprisal of each character of a text that was just shown, in nats: for bytes the sum over those of each.
  natsOf(text) {
    return Array.from(text, (character) => this.nats.splice(0, this.alphabet.ofBytes ? toUtf8(character).length : 1)
      .reduce((a, b) => a + b, 0));
  }
}

const CALL = 25;  // milliseconds at a time: the page answers in between
const channel = new MessageChannel();
const waiting = [];
channel.port1.onmessage = () => waiting.shift()();
const pause = () => new Promise((resume) => {
  waiting.push(resume);
  channel.port2.postMessage(0);
});

// Writes a text in the background. `show` gets each piece with its nats; `signal` may end it early.
async function run(generation, show = () => {}, signal = null) {
  let until = performance.now() + CALL, text = "", nats = [];
  const add = (piece) => {
    text += piece;
    nats.push(...generation.natsOf(piece));
  };
  const rest = async (isLast) => {
    if (!isLast && performance.now() < until) return;
    show(text, nats);
    [text, nats] = ["", []];
    if (!isLast) await pause();
    until = performance.now() + CALL;
  };
  while (generation.readOne() && !signal?.aborted) await rest(false);
  while (!generation.ended && !signal?.aborted) {
    add(generation.step());
    await rest(false);
  }
  add(generation.finish());
  await rest(true);
}
