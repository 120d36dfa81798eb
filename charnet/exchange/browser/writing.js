// Settings, buttons, and the text as it is written.
const numeric = ["temperature", "length", "seed", "top_k", "top_p", "min_p", "max_lines"];
const finished = ["copy", "save", "go-on", "receipt"];
let written = null, writing = null;  // the last text with its options; what stops the one that is being written

function say(text, isWrong = false) {
  by("status").textContent = text;
  by("status").classList.toggle("wrong", isWrong);
}
const complain = (error) => say(`${error.message[0].toUpperCase()}${error.message.slice(1)}.`, true);

// Shows a piece of text, pieces of the same surprise in one element.
function showPiece(text, nats) {
  const sheet = by("text");
  let last = sheet.lastChild, run = "", name = last?.localName === "span" ? last.className : "";
  const flush = () => {
    if (!run) return;
    if (last?.localName !== "span" || last.className !== name) sheet.append(last = element("span", "", name));
    last.append(visible(run));
    run = "";
  };
  Array.from(text).forEach((character, i) => {
    const own = `s${surpriseLevel(nats[i] ?? 0)}`;
    if (own !== name) {
      flush();
      name = own;
    }
    run += character;
  });
  flush();
}

function settings() {
  const given = Object.fromEntries(numeric.map((id) => [id, Number(by(id).value)]));
  return completed({ ...given, stop: by("stop").value.replaceAll("\\n", "\n") });
}

const count = (number) => Math.round(number).toLocaleString("en");

// Runs something that writes, with the buttons as they are to be meanwhile. Says how fast it was.
async function busy(task) {
  if (writing) return;
  writing = new AbortController();
  [...finished, "write", "another", "open"].forEach((id) => { by(id).disabled = true; });
  by("end").disabled = false;
  by("text").replaceChildren();
  const began = performance.now();
  let characters = 0;
  const show = (text, nats) => {
    characters += Array.from(text).length;
    showPiece(text, nats);
    if (text) say(`${count(characters)} characters`);
  };
  try {
    const after = await task(show, writing.signal), seconds = (performance.now() - began) / 1000;
    const speed = characters > 99 ? `, ${count(characters / seconds)} a second by ${window.charnet.engine}` : "";
    say(`${after}${count(characters)} characters in ${seconds.toFixed(2)} s${speed}`);
  } catch (error) {
    complain(error);
  }
  ["write", "another", "open"].forEach((id) => { by(id).disabled = false; });
  finished.forEach((id) => { by(id).disabled = !written; });
  by("end").disabled = true;
  writing = null;
}

function writeText() {
  return busy(async (show, signal) => {
    written = null;
    const options = settings(), { text: prompt, ids, skipped } = alphabet.read(by("prompt").value, true);
    const generation = new Generation(model, alphabet, ids, options);
    let text = prompt;
    if (prompt) by("text").append(element("b", visible(prompt)));
    await run(generation, (piece, nats) => {
      text += piece;
      show(piece, nats);
    }, signal);
    const isStopped = signal.aborted && !generation.ended;
    written = { prompt, text, isStopped, unknown: skipped.length ? "skip" : "error", options };
    if (isStopped) written.options = { ...options, length: generation.position };
    return isStopped ? "Stopped: " : "";
  });
}

async function copy() {
  try {
    await navigator.clipboard.writeText(written.text);
  } catch {  // not every browser allows it to a file
    getSelection().selectAllChildren(by("text"));
    document.execCommand("copy");
  }
  say("Copied.");
}

// Saves a receipt. A text that was stopped is written again first: its end may depend on the length.
async function saveReceipt() {
  const { prompt, options, text, isStopped, unknown } = written;
  if (isStopped && await write({ prompt, ...options }) !== text) {
    say("No receipt: the text was stopped within a character. Let it end by itself.", true);
    return;
  }
  download(receiptOf({ prompt, options, text, unknown }), "receipt.json", "application/json");
  say("Saved as receipt.json. charnet replay writes the text again and compares it.");
}

async function openReceipt(file) {
  const text = file.size > 1e8 ? "" : await file.text();
  await busy(async (show, signal) => {
    written = null;
    const { texts, prompt, options } = await verify(text, { prompt: by("prompt").value, show, signal });
    by("text").prepend(element("b", visible(prompt)));
    written = { prompt, options, text: texts[0], unknown: "error", isStopped: false };
    return texts.length === 1 ? "The text is equal, to the byte: " : `All ${texts.length} texts are equal, to the byte; the first: `;
  });
}

by("form").addEventListener("submit", (event) => {
  event.preventDefault();
  writeText();
});
by("another").addEventListener("click", () => {
  by("seed").value = Math.floor(Math.random() * 1e6);
  writeText();
});
by("end").addEventListener("click", () => writing?.abort());
by("copy").addEventListener("click", copy);
by("save").addEventListener("click", () => download(toUtf8(written.text), "charnet.txt", "text/plain;charset=utf-8"));
by("go-on").addEventListener("click", () => {
  by("prompt").value = written.text;
  by("prompt").focus();
  typed();
});
by("receipt").addEventListener("click", () => saveReceipt().catch(complain));
by("open").addEventListener("click", () => by("file").click());
by("file").addEventListener("change", () => {
  const [file] = by("file").files;
  if (file) openReceipt(file);
  by("file").value = "";
});
by("surprise").addEventListener("change", () => {
  by("key").hidden = !by("surprise").checked;
  by("text").classList.toggle("colored", by("surprise").checked);
});
by("temperature").addEventListener("input", showTemperature);
function showTemperature() { by("temperature-value").textContent = Number(by("temperature").value).toFixed(2); }

for (const id of numeric) by(id).value = stored.receipt.options[id];
by("name").textContent = visible(stored.name);
by("summary").textContent = stored.summary;
by("holds").textContent = stored.holds;
by("facts").append(...stored.facts.map(([name, value]) => {
  const row = element("tr"), head = element("th", name);
  head.scope = "row";
  row.append(head, element("td", visible(value)));
  return row;
}));
showTemperature();
showNext();
