// Several continuations beside each other.
let choosing = null;

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
      if (choosing !== request) return;
      const own = found[choice.index];
      own.raw = written(own.raw + choice.text);
      if (choice.finish_reason) end(own, choice);
      if (own.ended && own.wanted) {
        takeChoice(own);
        return;
      }
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
  own.wanted = true;  // as soon as it is there
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
