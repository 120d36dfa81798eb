// Files, and what was taken.
const MOST_OPENED = 1000000;  // units

let fileName = "charnet.txt", saved = "";

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

async function openFile(file) {
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
    item.append(element("q", visible(text.slice(taking.start))), ` seed ${how.seed}, temperature ${how.temperature}${which} `, button);
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
