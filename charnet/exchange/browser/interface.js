// What the page offers to scripts: `await window.charnet.write({ prompt, length, seed, temperature })`.
const stored = JSON.parse(document.getElementById("data").textContent);
checkTables(stored.tables);
openKernel(fromBase64(stored.wasm), stored.columns, stored.rows);

function build() {
  const data = new ByteReader(fromBase64(stored.weights)), own = new Alphabet(data, stored.alphabet);
  return [own, new Model(data, stored, own.size)];
}
let alphabet, model;
try {
  [alphabet, model] = build();
} catch {  // WebAssembly may not get the memory
  kernel = null;
  [alphabet, model] = build();
}
stored.weights = null;

const SAFE = Number.MAX_SAFE_INTEGER;
const WHOLE = ["length", "top_k", "seed", "max_lines"];

// Fills in the options that are not given, and refuses those that this page does not know.
function completed(given) {
  const defaults = stored.receipt.options, options = { ...defaults };
  for (const [name, value] of Object.entries(given)) {
    const isUsual = supported.includes(name) || JSON.stringify(value) === JSON.stringify(defaults[name]);
    if (!isUsual) throw new Error(`${name}: this page has no such option`);
    if (value !== undefined) options[name] = value;
  }
  options.stop = [options.stop].flat().filter((stop) => stop !== "");
  if (!options.stop.every((stop) => typeof stop === "string")) throw new Error("stop: expected a text, or a list of texts");
  const limits = { length: 1e8, temperature: 100, temperature_end: 100, top_k: SAFE, top_p: 1, min_p: 1, max_lines: SAFE, seed: SAFE };
  for (const [name, most] of Object.entries(limits)) {
    const value = options[name], isLarge = name === "seed" && typeof value === "bigint";
    const fits = value >= 0 && (isLarge || (typeof value === "number" && value <= most));
    if (!fits && (name !== "temperature_end" || value !== null)) {
      throw new Error(`${name}: expected a number from 0 to ${most.toLocaleString("en")}`);
    }
    const isWhole = typeof value === "bigint" || Number.isSafeInteger(value);
    if (WHOLE.includes(name) && !isWhole) throw new Error(`${name}: expected a whole number`);
  }
  return options;
}

async function write({ prompt = "", index = 0, unknown = "error", ...given } = {}) {
  if (typeof prompt !== "string") throw new Error("prompt: expected a text");
  if (!Number.isSafeInteger(index) || index < 0) throw new Error("index: expected a whole number from 0");
  const read = alphabet.read(prompt, unknown === "skip");
  let text = read.text;
  await run(new Generation(model, alphabet, read.ids, completed(given), index), (piece) => { text += piece; });
  return text;
}

// The text of a receipt, for `charnet replay`.
async function receipt({ prompt = "", unknown = "error", ...given } = {}) {
  const options = completed(given), text = await write({ prompt, unknown, ...given });
  return receiptOf({ prompt: alphabet.read(prompt, unknown === "skip").text, options, text, unknown });
}

// The most likely next characters after a text, with their probabilities.
async function next(prompt = "", count = 8) {
  return likeliest(await logitsAfter(alphabet.read(prompt, true).ids), count);
}

function likeliest(logits, count) {
  const weights = softmax(logits), total = sum(weights);
  const order = Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a] || a - b).slice(0, count);
  return order.map((id) => [id, weights[id] / total]);
}

// What was read last, so that one more key is one more character to read.
const nothingRead = () => ({ ids: [], state: model.start(), logits: null });
let lastRead = nothingRead();
async function logitsAfter(ids, signal = null) {
  const begin = alphabet.hasDocuments && ids[0] !== alphabet.startId ? [alphabet.startId] : [];
  const all = ids.length || begin.length ? [...begin, ...ids] : [alphabet.startId];
  const own = lastRead.ids.every((id, i) => id === all[i]) ? lastRead : nothingRead();
  lastRead = nothingRead();  // nobody else may change this state meanwhile
  for (let until = performance.now() + CALL; own.ids.length < all.length && !signal?.aborted;) {
    const id = all[own.ids.length];
    own.logits = model.advance(id, own.state).slice();
    own.ids.push(id);
    if (performance.now() < until) continue;
    await pause();
    until = performance.now() + CALL;
  }
  lastRead = own;
  return own.logits;
}

window.charnet = {
  write, receipt, engine: kernel ? "WebAssembly" : "JavaScript", facts: stored.facts,
  next: async (prompt, count) => (await next(prompt, count)).map(([id, p]) => [nameOf(id), p]),
  verify: async (text, prompt) => (await verify(text, { prompt })).texts,
};
