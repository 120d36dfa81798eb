// Surprise: how likely the model held each character to be.
const SCORED_AFTER = 400;  // milliseconds
const MOST_SCORED = 60000;  // units

let nats = new Float32Array(0);  // of each unit, as far as they are known
let scoreTimer = 0, scoring = null;

function scoreLater() {
  clearTimeout(scoreTimer);
  if (scoring) scoring.abort();
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
    const left = start ? [`only the last ${codePoints(part).toLocaleString("en")} characters were read`] : [];
    say([...left, ...(choice.notes || [])].join("; "));
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
