// Writing: keys, suggestions, choices, surprise, files.
const PAUSE = 600, SPOKEN_AFTER = 700, SCORED_AFTER = 400;  // milliseconds
const MOST_SCORED = 60000, MOST_OPENED = 1000000;  // units

const changes = new History();
let known = "", selected = [0, 0];  // the text as it is in the history, and what was selected before an input
let composing = false;  // an input method is at work
let leaves = false;  // the next Tab moves on
let suggestion = null;  // what is asked for or shown: at, how, raw, used, ended
let timer = 0, spokenTimer = 0, scoreTimer = 0;
let asking = null, scoring = null, choosing = null;  // requests under way
let nats = new Float32Array(0);
let fileName = "charnet.txt", saved = "";

function say(text, wrong = false) {
  by("status").textContent = visible(text);
  by("status").classList.toggle("wrong", wrong);
}

function speak(text, after = SPOKEN_AFTER) {
  clearTimeout(spokenTimer);
  spokenTimer = setTimeout(() => { by("spoken").textContent = visible(text); }, after);
}

function complain(error) {
  if (error.name === "AbortError") return;
  by("key-entry").hidden = error.status !== 401;
  if (error.status === 401 && document.activeElement !== sheet) by("key").focus();
  say(error.message, true);
}

// How a text after the first `at` units is asked for.
function howAt(at) {
  return {
    model: by("model").value, prompt: contextOf(sheet.value, at), max_tokens: Number(by("length").value),
    temperature: Number(by("temperature").value), seed: seed(), unknown: "skip",
  };
}

function seed() {
  const value = Math.floor(Number(by("seed").value));
  return Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

// Suggestions.
function gray() {
  if (!suggestion) return "";
  return (suggestion.ended ? suggestion.whole : wholeWords(suggestion.raw)).slice(suggestion.used);
}

async function suggest() {
  drop();
  if (composing || sheet.selectionStart !== sheet.selectionEnd) return;
  const at = sheet.selectionEnd, own = { at, how: howAt(at), number: 0, raw: "", used: 0, ended: false, whole: "" };
  const request = asking = new AbortController();
  suggestion = own;
  try {
    await stream(own.how, request.signal, (choice) => {
      own.raw += choice.text;
      if (choice.finish_reason) end(own, choice);
      if (suggestion === own) showGray();
    });
  } catch (error) {
    if (suggestion === own) drop();
    complain(error);
  } finally {
    if (asking === request) asking = null;
  }
}

function end(own, choice) {
  own.ended = true;
  own.raw = written(own.raw);
  own.whole = choice.finish_reason === "length" ? wholeWords(own.raw) : own.raw;
  say(choice.notes ? choice.notes.join("; ") : "");
  by("key-entry").hidden = true;
}

function showGray() {
  const text = gray();
  view.show(text, suggestion.at);
  for (const id of ["take", "word", "drop"]) by(id).disabled = !text;
  if (text && suggestion.ended) speak("Suggestion: " + text);
}

// Forgets the gray text and stops what is asked for.
function drop() {
  clearTimeout(timer);
  clearTimeout(spokenTimer);
  if (asking) asking.abort();
  asking = suggestion = null;
  view.hide();
  for (const id of ["take", "word", "drop"]) by(id).disabled = true;
}

// Suggests when the user wants it: now, or when nothing more is typed.
function suggestLater() {
  const when = by("when").value;
  drop();
  if (when === "key") suggest();
  else if (when === "pause") timer = setTimeout(suggest, PAUSE);
}

// Takes the gray text, or the first units of it.
function take(count = gray().length) {
  const own = suggestion, text = gray().slice(0, count);
  if (!text || composing) return;
  own.taken = own.taken || { from: own, how: own.how, number: 0, raw: own.raw };
  const taking = { ...own.taken, raw: own.raw, start: own.used, end: own.used + text.length };
  own.used += text.length;
  own.at += text.length;
  insert(own.at - text.length, text, taking);
  if (gray()) {
    showGray();
  } else {
    suggestLater();
  }
  speak("Taken: " + text, 0);
}

function insert(at, text, taking) {
  replace({ at, removed: "", inserted: text, before: [at, at], after: [at + text.length, at + text.length], taking });
}

// Changes the sheet, and remembers how.
function replace(edit) {
  apply(edit.at, edit.removed, edit.inserted, edit.after);
  changes.add(edit);
  changed(edit.at);
}

function apply(at, removed, inserted, selection) {
  sheet.setRangeText(inserted, at, at + removed.length, "end");
  sheet.setSelectionRange(...selection);
  known = sheet.value;
}

// After every change of the sheet, from its place on.
function changed(at) {
  leaves = false;
  closeChoices();
  nats = nats.slice(0, at);
  view.bands = view.bands.slice(0, at);
  view.draw();
  by("undo").disabled = !changes.done.length;
  by("redo").disabled = !changes.undone.length;
  const takings = changes.takings;
  by("show-taken").textContent = `Taken: ${takings.length}`;
  if (!by("taken").hidden) listTakings(takings);
  view.reveal();
  if (by("surprise").checked) scoreLater();
}

function undo() {
  const edit = changes.done.pop();
  if (!edit) return;
  drop();
  apply(edit.at, edit.inserted, edit.removed, edit.before);
  changes.undone.push(edit);
  changed(edit.at);
}

function redo() {
  const edit = changes.undone.pop();
  if (!edit) return;
  drop();
  apply(edit.at, edit.removed, edit.inserted, edit.after);
  changes.done.push(edit);
  changed(edit.at);
}

// What was typed, pasted or composed.
function typed() {
  if (composing || sheet.value === known) return;
  const edit = { ...difference(known, sheet.value, Math.min(selected[0], sheet.selectionStart)), before: selected,
    after: [sheet.selectionStart, sheet.selectionEnd] };
  known = sheet.value;
  changes.add(edit);
  changed(edit.at);
  const follows = suggestion && !edit.removed && edit.at === suggestion.at && edit.inserted && gray().startsWith(edit.inserted);
  if (!follows || gray() === edit.inserted) {
    suggestLater();
    return;
  }
  suggestion.used += edit.inserted.length;  // the user types what is suggested
  suggestion.at += edit.inserted.length;
  showGray();
}

sheet.addEventListener("beforeinput", (event) => {
  selected = composing ? selected : [sheet.selectionStart, sheet.selectionEnd];
  if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
    event.preventDefault();
    if (event.inputType === "historyUndo") undo(); else redo();
  }
});
sheet.addEventListener("input", typed);
sheet.addEventListener("compositionstart", () => {
  drop();
  closeChoices();
  selected = [sheet.selectionStart, sheet.selectionEnd];
  composing = true;
});
sheet.addEventListener("compositionend", () => {
  composing = false;
  typed();
});
document.addEventListener("selectionchange", () => {
  if (document.activeElement !== sheet || composing) return;
  if (suggestion && (sheet.selectionStart !== suggestion.at || sheet.selectionEnd !== suggestion.at)) {
    if (sheet.value === known) drop();
  }
  showMeasure();
});

sheet.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return;
  const command = event.ctrlKey || event.metaKey, plain = !command && !event.altKey && !event.shiftKey;
  const text = gray(), name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const acts = () => event.preventDefault();
  if (name === "Tab" && plain) {
    if (leaves) return;
    acts();
    if (text) take(); else if (!asking) suggest();
  } else if (name === "Escape") {
    drop();
    closeChoices();
    leaves = true;
    speak("Tab leaves the sheet.", 0);
    return;
  } else if (name === "ArrowRight" && plain && text && isLast(suggestion.at)) {
    acts();
    take();
  } else if (name === "ArrowRight" && (event.ctrlKey || event.altKey) && !event.shiftKey && text) {
    acts();
    take(firstWord(text).length);
  } else if ((name === "ArrowDown" || name === "ArrowUp") && event.altKey) {
    acts();
    another(name === "ArrowDown" ? 1 : -1);
  } else if (command && name === "Enter") {
    acts();
    choose();
  } else if (command && !event.altKey && (name === "z" || name === "y")) {
    acts();
    if (name === "y" || event.shiftKey) redo(); else undo();
  }
  if (!["Shift", "Control", "Alt", "Meta"].includes(event.key)) leaves = false;
});

document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  const act = { s: save, o: () => by("file").click() }[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

function another(step) {
  by("seed").value = Math.max(0, seed() + step);
  suggest();
}

// Several continuations.
async function choose() {
  drop();
  closeChoices();
  if (composing) return;
  const at = sheet.selectionEnd, how = { ...howAt(at), n: 3 }, host = by("choices"), request = new AbortController();
  choosing = request;
  const found = [0, 1, 2].map((number) => ({ at, how, number, raw: "", used: 0, ended: false, whole: "" }));
  const buttons = found.map((own, i) => {
    const button = element("button", "…");
    button.type = "button";
    button.setAttribute("aria-label", `Continuation ${i + 1}`);
    button.addEventListener("click", () => takeChoice(own));
    return button;
  });
  host.replaceChildren(...buttons);
  host.hidden = false;
  buttons[0].focus({ preventScroll: true });
  host.scrollIntoView({ block: "nearest" });
  try {
    await stream(how, request.signal, (choice) => {
      const own = found[choice.index];
      own.raw += choice.text;
      if (choice.finish_reason) end(own, choice);
      const text = visible(own.ended ? own.whole : own.raw);
      buttons[choice.index].textContent = text;
      buttons[choice.index].setAttribute("aria-label", `Continuation ${choice.index + 1}: ${text}`);
    });
    host.scrollIntoView({ block: "nearest" });
  } catch (error) {
    closeChoices();
    sheet.focus();
    complain(error);
  }
}

function closeChoices() {
  if (!choosing) return;
  choosing.abort();
  choosing = null;
  by("choices").hidden = true;
  by("choices").replaceChildren();
}

function takeChoice(own) {
  if (!own.ended || !own.whole) return;
  const { at, how, number, whole } = own;
  sheet.focus({ preventScroll: true });
  insert(at, whole, { from: own, how, number, raw: whole, start: 0, end: whole.length });
  speak("Taken: " + whole, 0);
  suggestLater();
}

by("choices").addEventListener("keydown", (event) => {
  const buttons = [...by("choices").children], i = buttons.indexOf(document.activeElement);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") {
    closeChoices();
    sheet.focus();
  } else if (step) {
    buttons[(i + step + buttons.length) % buttons.length].focus();
  } else if (/^[1-3]$/.test(event.key)) {
    buttons[event.key - 1].click();
  } else {
    return;
  }
  event.preventDefault();
});

// Surprise.
function scoreLater() {
  clearTimeout(scoreTimer);
  scoreTimer = setTimeout(score, SCORED_AFTER);
}

async function score() {
  clearTimeout(scoreTimer);
  if (scoring) scoring.abort();
  const text = sheet.value, request = scoring = new AbortController();
  const start = wholeAt(text, Math.max(0, text.length - MOST_SCORED)), part = text.slice(start);
  if (!part || composing) return;
  const how = { model: by("model").value, prompt: written(part), echo: true, logprobs: 0, max_tokens: 0, unknown: "skip" };
  try {
    const [choice] = (await complete(how, request.signal)).choices;
    if (sheet.value !== text || !by("surprise").checked) return;
    nats = new Float32Array(text.length).fill(NaN);
    nats.set(align(part, scored(choice.logprobs)), start);
    view.bands = bandsOf(nats);
    view.draw();
    if (suggestion) showGray();
    const left = start ? `only the last ${part.length.toLocaleString("en")} characters were read; ` : "";
    say(left + (choice.notes ? choice.notes.join("; ") : ""));
    showMeasure();
  } catch (error) {
    complain(error);
  }
}

function showMeasure() {
  if (!by("surprise").checked) return;
  const given = nats.filter((each) => !isNaN(each)), mean = given.reduce((sum, each) => sum + each, 0) / given.length;
  const at = wholeAt(sheet.value, sheet.selectionStart), here = String.fromCodePoint(sheet.value.codePointAt(at) ?? 32);
  const name = { "\n": "line end", " ": "space", "\t": "tab" }[here] || `“${visible(here)}”`;
  const own = nats[at] === undefined || isNaN(nats[at]) ? "" : `; ${name} behind the caret: ${percent(nats[at])}`;
  by("measure").textContent = given.length
    ? `${mean.toFixed(2)} nats (${(mean / Math.LN2).toFixed(2)} bits) a character${own}` : "";
}

function percent(each) {
  const p = 100 * Math.exp(-each);
  return (p >= 0.1 ? p.toFixed(1) : p.toPrecision(1)) + " %";
}

by("surprise").addEventListener("change", () => {
  by("surprise-key").hidden = !by("surprise").checked;
  if (by("surprise").checked) {
    score();
    return;
  }
  if (scoring) scoring.abort();
  view.bands = "";
  nats = new Float32Array(0);
  view.draw();
  if (suggestion) showGray();
});

// Files.
function download(text, name, type) {
  const link = element("a"), address = URL.createObjectURL(new Blob([text], { type }));
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function save() {
  download(sheet.value, fileName, "text/plain;charset=utf-8");
  saved = sheet.value;
  say(`Saved as ${fileName} among your downloads.`);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(sheet.value);
  } catch {  // allowed to pages on this machine, and by https
    const [from, to] = [sheet.selectionStart, sheet.selectionEnd];
    sheet.select();
    document.execCommand("copy");
    sheet.setSelectionRange(from, to);
  }
  say("Copied.");
}

async function open(file) {
  if (file.size > 4 * MOST_OPENED) {
    say(`${file.name} is too large: at most ${MOST_OPENED.toLocaleString("en")} characters.`, true);
    return;
  }
  let text;
  try {
    text = written(new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()));
  } catch {
    say(`${file.name} is not a text in UTF-8.`, true);
    return;
  }
  if (text.length > MOST_OPENED) {
    say(`${file.name} is too long: at most ${MOST_OPENED.toLocaleString("en")} characters.`, true);
    return;
  }
  drop();
  const end = text.length;
  replace({ at: 0, removed: sheet.value, inserted: text, before: [sheet.selectionStart, sheet.selectionEnd],
    after: [end, end] });
  [fileName, saved] = [file.name, text];
  say(`${file.name}: ${codePoints(text).toLocaleString("en")} characters. Undo brings back what was here.`);
  sheet.focus();
}

addEventListener("beforeunload", (event) => { if (sheet.value !== saved) event.preventDefault(); });

// What was taken, with how it can be written again.
function listTakings(takings) {
  const items = takings.map((taking) => {
    const item = element("li"), button = element("button", "Receipt"), { how, number } = taking;
    const text = taking.raw.slice(0, taking.end);
    const which = how.n ? `, text ${number + 1} of ${how.n}` : "";
    button.type = "button";
    button.addEventListener("click", () => receipt(taking, text).catch(complain));
    item.append(element("q", visible(text)), ` seed ${how.seed}, temperature ${how.temperature}${which} `, button);
    return item;
  });
  by("takings").replaceChildren(...(items.length ? items : [element("li", "Nothing yet.")]));
}

// Has the text written again, by the same model, and saves what proves it. Lengths count characters, or bytes.
async function receipt(taking, text) {
  const { how, number } = taking;
  for (const length of [codePoints(text), new TextEncoder().encode(text).length]) {
    const found = await complete({ ...how, max_tokens: length, n: number + 1, receipt: true });
    const choice = found.choices[number];
    if (written(choice.text) === text) {
      download(JSON.stringify(choice.receipt, null, 1) + "\n", "receipt.json", "application/json");
      say("Saved as receipt.json. charnet replay writes the text again and compares it.");
      return;
    }
  }
  say("No receipt: the model writes another text now.", true);
}

by("show-taken").addEventListener("click", () => {
  const is = by("taken").hidden = !by("taken").hidden;
  by("show-taken").setAttribute("aria-expanded", String(!is));
  listTakings(changes.takings);
  if (!is) by("taken").scrollIntoView({ block: "nearest" });
});

// Buttons keep the caret, and the keyboard of a telephone, where they are.
const tools = { take: () => take(), word: () => take(firstWord(gray()).length), drop, another: () => another(1), choose,
  undo, redo, copy, save, open: () => by("file").click() };
for (const [id, act] of Object.entries(tools)) by(id).addEventListener("click", act);
by("tools").addEventListener("pointerdown", (event) => {
  if (event.target.tagName === "BUTTON" && document.activeElement === sheet) event.preventDefault();
});
by("tools").addEventListener("mousedown", (event) => {
  if (event.target.tagName === "BUTTON" && document.activeElement === sheet) event.preventDefault();
});
by("file").addEventListener("change", () => {
  const [file] = by("file").files;
  if (file) open(file);
  by("file").value = "";
});

function showSettings() {
  by("temperature-value").textContent = Number(by("temperature").value).toFixed(2);
  by("length-value").textContent = by("length").value;
}
for (const id of ["temperature", "length", "seed", "model"]) {
  by(id).addEventListener("input", () => {
    showSettings();
    if (suggestion || by("when").value === "key") suggest();
  });
}
by("model").addEventListener("change", () => { if (by("surprise").checked) score(); });
by("when").addEventListener("change", drop);

async function begin() {
  try {
    const names = await models();
    by("model").replaceChildren(...names.map((name) => new Option(visible(name), name)));
    by("models").hidden = names.length < 2;
    by("served").textContent = names.length === 1 ? visible(names[0]) : "";
    by("key-entry").hidden = true;
    say("");
  } catch (error) {
    complain(error);
  }
}
by("use-key").addEventListener("click", () => {
  const given = by("key").value.trim();
  if (!/^[!-~]+$/.test(given)) {
    say("A key has printable ASCII characters alone.", true);
    return;
  }
  key = given;
  by("key").value = "";
  begin().then(() => sheet.focus());
});
by("key").addEventListener("keydown", (event) => { if (event.key === "Enter") by("use-key").click(); });

known = saved = sheet.value;  // a browser may bring back what was there before
showSettings();
view.draw();
begin();
