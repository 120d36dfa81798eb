// Keys, buttons, settings.
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

by("show-taken").addEventListener("click", () => {
  const isHidden = by("taken").hidden = !by("taken").hidden;
  by("show-taken").setAttribute("aria-expanded", String(!isHidden));
  listTakings(changes.takings);
  if (!isHidden) by("taken").scrollIntoView({ block: "nearest" });
});

// Buttons keep the caret, and the keyboard of a telephone, where they are.
const tools = { take: () => take(), word: () => take(firstWord(gray()).length), drop, another: () => another(1), choose,
  undo, redo, copy, save, open: () => by("file").click() };
for (const [id, act] of Object.entries(tools)) by(id).addEventListener("click", act);
by("tools").addEventListener("mousedown", (event) => {
  if (document.activeElement === sheet) event.preventDefault();
});
by("file").addEventListener("change", () => {
  const [file] = by("file").files;
  if (file) openFile(file);
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
    sheet.focus();
  } catch (error) {
    complain(error);
  }
}
by("key-entry").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = by("key").value.trim();
  if (!/^[!-~]+$/.test(given)) {
    say("A key has printable ASCII characters alone.", true);
    return;
  }
  key = given;
  by("key").value = "";
  begin();
});

addEventListener("resize", () => { if (suggestion) showGray(); });

known = saved = sheet.value;  // a browser may bring back what was there before
showSettings();
view.draw();
begin();
