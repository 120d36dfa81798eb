// What may come next while somebody types: bars, which are buttons that type the character.
const by = (id) => document.getElementById(id);
const BARS = 8, TYPED_AFTER = 60;  // milliseconds

// Control characters and changes of direction become symbols; line ends stay. Bytes that are no UTF-8 become U+FFFD.
function visible(text) {
  return text.replace(/[\u0000-\u0009\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, LOST)
    .replace(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
      (c) => "<" + c.charCodeAt(0).toString(16).toUpperCase() + ">");
}

const NAMES = { " ": "space", "\n": "line end", "\t": "tab", "\r": "carriage return" };
function nameOf(id) {
  const symbol = alphabet.symbols[id];
  if (id === alphabet.rareId) return "a rare one";
  if (symbol === alphabet.documentEnd && alphabet.documentEnd !== 10) return "the end";
  if (alphabet.ofBytes && symbol > 127) return `byte ${symbol.toString(16).toUpperCase()}`;
  const character = String.fromCodePoint(symbol);
  return NAMES[character] ?? (/\p{M}/u.test(character) ? "◌" : "") + visible(character);
}

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const percent = (p) => 100 * p >= 0.1 ? `${(100 * p).toFixed(1)} %` : "< 0.1 %";

function bar([id, p]) {
  const item = element("li"), button = element("button"), fill = element("i"), name = nameOf(id);
  button.type = "button";
  fill.style.width = `${100 * p}%`;
  button.append(fill, element("span", name), element("span", percent(p)));
  button.setAttribute("aria-label", `${name}, ${percent(p)}: type it`);
  const types = !(alphabet.ofBytes && alphabet.symbols[id] > 127) && id !== alphabet.rareId;
  button.disabled = !types;
  button.addEventListener("click", () => {
    by("prompt").value += String.fromCodePoint(alphabet.symbols[id]);
    typed();
  });
  item.append(button);
  return item;
}

let typing = new AbortController(), timer = 0;
function typed() {
  clearTimeout(timer);
  typing.abort();
  timer = setTimeout(showNext, TYPED_AFTER);
}

async function showNext() {
  const { signal } = typing = new AbortController(), { ids, skipped } = alphabet.read(by("prompt").value, true);
  const left = [...new Set(skipped)].map((character) => `“${visible(character)}”`).join(", ");
  by("prompt-note").textContent = left ? `The model does not know ${left}: left out.` : "";
  const logits = await logitsAfter(ids, signal);
  if (!signal.aborted) by("bars").replaceChildren(...likeliest(logits, BARS).map(bar));
}
by("prompt").addEventListener("input", typed);
