// Editing: every change of the sheet goes through here, and can be undone.
const changes = new Changes();
let known = "", selected = [0, 0];  // the text as the changes have it, and what was selected before an input
let composing = false;  // an input method is at work
let leaves = false;  // the next Tab moves on to the other controls

function insert(at, text, taking) {
  replace({ at, removed: "", inserted: text, before: [at, at], after: [at + text.length, at + text.length], taking });
}

// Changes the sheet, and remembers how.
function replace(edit) {
  apply(edit.at, edit.removed, edit.inserted, edit.after);
  changes.add(edit);
  changed(edit.at);
  view.reveal();
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
  enable("undo", changes.done.length);
  enable("redo", changes.undone.length);
  const takings = changes.takings;
  by("show-taken").textContent = `Taken: ${takings.length}`;
  if (!by("taken").hidden) listTakings(takings);
  if (by("surprise").checked) scoreLater();
}

function undo() {
  const edit = composing ? null : changes.done.pop();
  if (!edit) return;
  drop();
  apply(edit.at, edit.inserted, edit.removed, edit.before);
  changes.undone.push(edit);
  changed(edit.at);
  view.reveal();
}

function redo() {
  const edit = composing ? null : changes.undone.pop();
  if (!edit) return;
  drop();
  apply(edit.at, edit.removed, edit.inserted, edit.after);
  changes.done.push(edit);
  changed(edit.at);
  view.reveal();
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
