// What the page offers to scripts: `await window.charnet.write({ prompt, length, seed, temperature })`.
const stored = JSON.parse(document.getElementById("data").textContent);
const blob = new ByteReader(fromBase64(stored.weights));
checkTables(stored.tables);
openKernel(fromBase64(stored.wasm), stored.columns, stored.rows);
const alphabet = new Alphabet(blob, stored.alphabet);
const model = new Model(blob, stored, alphabet.size);

// Fills in the options that are not given, and refuses those that this page does not know.
function completed(given) {
  const options = { ...stored.receipt.options };
  for (const [name, value] of Object.entries(given)) {
    if (!(name in options)) throw new Error(`there is no option “${name}”`);
    if (value !== undefined) options[name] = value;
  }
  options.stop = [options.stop].flat();
  const fits = { length: [0, 1e8], temperature: [0, 100], top_k: [0, 2 ** 53], top_p: [0, 1], min_p: [0, 1], max_lines: [0, 2 ** 53] };
  for (const [name, [low, high]] of Object.entries(fits))
    if (!(options[name] >= low && options[name] <= high)) throw new Error(`${name}: expected a number from ${low} to ${high}`);
  return options;
}

async function write({ prompt = "", index = 0, unknown = "error", ...given } = {}) {
  const read = alphabet.read(prompt, unknown === "skip");
  let text = read.text;
  await run(new Generation(model, alphabet, read.ids, completed(given), index), (piece) => { text += piece; });
  return text;
}

window.charnet = { write, engine: kernel ? "WebAssembly" : "JavaScript" };
