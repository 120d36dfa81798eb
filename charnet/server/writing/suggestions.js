// Suggestions: the gray text behind the caret.
const PAUSE = 600, SPOKEN_AFTER = 700;  // milliseconds

let suggestion = null;  // what is asked for or shown: its place, how it was asked for, and how much of it is used
let timer = 0, spokenTimer = 0, asking = null;

let noted = "";  // what the last suggestion has said

function say(text, wrong = false) {
  if (by("status").textContent !== visible(text)) by("status").textContent = visible(text);
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
      own.raw = written(own.raw + choice.text);
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
  own.whole = choice.finish_reason === "length" ? wholeWords(own.raw) : own.raw;
  if (choice.notes || noted) say(noted = choice.notes ? choice.notes.join("; ") : "");
  by("key-entry").hidden = true;
}

function showGray() {
  const text = gray();
  view.show(text, suggestion.at);
  for (const id of ["take", "word", "drop"]) enable(id, text);
  if (text && suggestion.ended) speak("Suggestion: " + text);
}

// Forgets the gray text and stops what is asked for.
function drop() {
  clearTimeout(timer);
  clearTimeout(spokenTimer);
  if (asking) asking.abort();
  asking = suggestion = null;
  view.hide();
  for (const id of ["take", "word", "drop"]) enable(id, false);
}

// Suggests when the user wants it: now, or when nothing more is typed. Inside a text only Tab does: the gray text would
// cover the lines that follow.
function suggestLater() {
  const when = isLast(sheet.selectionEnd) ? by("when").value : "tab";
  drop();
  if (when === "key") suggest();
  else if (when === "pause") timer = setTimeout(suggest, PAUSE);
}

// Takes the gray text, or the first units of it.
function take(count = gray().length) {
  const own = suggestion, text = gray().slice(0, count);
  if (!text) return;
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

// A caret that has moved elsewhere leaves the suggestion behind.
function moved() {
  if (document.activeElement !== sheet || composing) return;
  const isThere = suggestion && sheet.selectionStart === suggestion.at && sheet.selectionEnd === suggestion.at;
  if (suggestion && !isThere && sheet.value === known) drop();
  showMeasure();
}
document.addEventListener("selectionchange", moved);
sheet.addEventListener("keyup", moved);
sheet.addEventListener("pointerup", moved);

function another(step) {
  by("seed").value = Math.max(0, seed() + step);
  suggest();
}
