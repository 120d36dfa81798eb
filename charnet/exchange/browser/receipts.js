// Receipts: how a text was written, and its SHA-256, so that it can be written again and compared.
const RECEIPT = 1, CHECKSUM = "receipt_sha256", MOST_TEXTS = 10000;
const supported = ["length", "temperature", "temperature_end", "top_k", "top_p", "min_p", "seed", "stop", "max_lines"];

// JSON in which strings begin with "s", and numbers are strings that begin with "n": they stay as they are written.
function parseTagged(text) {
  const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  return JSON.parse(text.replace(token, (each) => each[0] === '"' ? `"s${each.slice(1)}` : `"n${each}"`));
}

const ascii = (json) => json.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

// The text that the checksum is taken of: keys in order, no spaces, ASCII alone.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical)}]`;
  if (typeof value === "string") return value[0] === "n" ? value.slice(1) : ascii(JSON.stringify(value.slice(1)));
  if (value === null || typeof value !== "object") return String(value);
  return `{${Object.keys(value).sort().map((key) => `${canonical(key)}:${canonical(value[key])}`)}}`;
}

function untagged(value) {
  if (Array.isArray(value)) return value.map(untagged);
  if (typeof value === "string") {
    const own = value.slice(1), number = Number(own);
    return value[0] === "s" ? own : Number.isInteger(number) && !Number.isSafeInteger(number) ? BigInt(own) : number;
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.slice(1), untagged(each)]));
}

const digest = (text) => {
  const bytes = toUtf8(text);
  return { sha256: sha256(bytes), bytes: bytes.length };
};
const lineEnd = (lines) => lines || alphabet.documentEnd !== null ? "\n" : "";

// A number as Python writes it, which computes the checksum too.
function numeral(number) {
  const isSmall = number > 0 && number < 1e-4;
  return isSmall ? number.toExponential().replace(/-(\d)$/, "-0$1") : String(number);
}

// JSON of fields, with numbers of any size.
function toJson(fields) {
  const tagged = (_, value) => typeof value === "string" ? `s${value}` : /number|bigint/.test(typeof value) ? `n${numeral(value)}` : value;
  const untag = (_, kind, value) => kind === "s" ? `"${value}"` : value;
  return JSON.stringify(fields, tagged, 2).replace(/"([sn])((?:[^"\\]|\\.)*)"(?!:)/g, untag);
}

// The receipt of a text as the text of a file. `text` begins with the prompt, as it was read.
function receiptOf({ prompt, options, text, unknown = "error" }) {
  const { charnet, arithmetic, checkpoint, checkpoint_sha256, unicode } = stored.receipt;
  const fields = {
    receipt: RECEIPT, charnet, arithmetic, exact: true, checkpoint, checkpoint_sha256, precision: "int8", unicode, machine: {},
    prompt, prompt_sha256: digest(prompt).sha256, echo: true, unknown, lines: false, samples: 1, options, index: 0,
    texts: [digest(text + lineEnd(false))],
  };
  fields[CHECKSUM] = digest(canonical(parseTagged(toJson(fields)))).sha256;
  return ascii(toJson(fields)) + "\n";
}

// Parses a receipt that may come from anywhere; returns its fields.
function parseReceipt(text) {
  let tagged;
  try {
    tagged = parseTagged(text);
  } catch {
    throw new Error("this is no receipt of charnet");
  }
  if (tagged?.sreceipt !== `n${RECEIPT}`) throw new Error("this is no receipt of charnet, or one of a newer version");
  const { [`s${CHECKSUM}`]: checksum, ...rest } = tagged, found = untagged(rest);
  if (checksum !== `s${digest(canonical(rest)).sha256}`) throw new Error("the receipt was changed or is damaged: its checksum does not match");
  const own = stored.receipt, isText = (value) => typeof value === "string";
  if (found.checkpoint_sha256 !== own.checkpoint_sha256) throw new Error("the receipt is for another model than the one in this page");
  if (found.exact !== true) throw new Error("the receipt is for weights of 32 bits, this page has 8 bits: charnet replay verifies it");
  if (found.arithmetic !== own.arithmetic) throw new Error("the receipt is for another version of the arithmetic");
  const fits = (found.prompt === null || isText(found.prompt)) && isText(found.prompt_sha256) && Array.isArray(found.texts)
    && found.texts.length > 0 && found.texts.length <= MOST_TEXTS && Number.isSafeInteger(found.index) && found.index >= 0;
  if (!fits) throw new Error("the receipt has other content than there can be");
  return found;
}

// Writes the texts of a receipt again. Returns them with their prompt; throws where one differs.
async function verify(receipt, { prompt: given = "", show, signal } = {}) {
  const found = parseReceipt(receipt), options = completed(found.options), texts = [];
  const prompt = found.prompt ?? alphabet.read(given, found.unknown === "skip").text;
  if (digest(prompt).sha256 !== found.prompt_sha256) throw new Error("the receipt tells only the SHA-256 of its prompt: write the same start, then open it again");
  const ids = alphabet.codes(prompt).map((code) => alphabet.id(code));
  if (ids.includes(-1)) throw new Error("the prompt of the receipt cannot be of this model");
  for (const [i, expected] of found.texts.entries()) {
    let text = "";
    const add = (piece, nats) => {
      text += piece;
      if (i === 0 && show) show(piece, nats);
    };
    await run(new Generation(model, alphabet, ids, options, found.index + i), add, signal);
    if (signal?.aborted) throw new Error("stopped: the receipt is not verified");
    const { sha256: own, bytes } = digest((found.echo ? prompt : "") + text + lineEnd(found.lines));
    if (own !== expected.sha256 || bytes !== expected.bytes) throw new Error(`text ${i + 1} differs from the one of the receipt`);
    texts.push(prompt + text);
  }
  return { texts, prompt, options };
}
