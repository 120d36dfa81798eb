// The page of a model. Texts reach the reader through textContent alone.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const count = data.characters.length;
const dark = matchMedia("(prefers-color-scheme: dark)");
const BLUE = [0, 114, 178], ORANGE = [213, 94, 0];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// A line end is shown and also ends the line. All other characters that would not show are symbols already.
function visible(character) {
  return character === "\n" ? "⏎\n" : character;
}

// Colors a character, `strength` from 0 to 1, and writes it in black or white, whichever stands out more.
function paint(span, hue, strength) {
  const paper = dark.matches ? 17 : 255;
  const mixed = hue.map((part) => Math.round(paper + 0.75 * strength * (part - paper)));
  span.style.backgroundColor = `rgb(${mixed})`;
  span.style.color = luminance(mixed) > 0.179 ? "#000" : "#fff";  // where both have a contrast of 4.58
}
// Relative luminance as in WCAG 2.2.
function luminance(parts) {
  const [red, green, blue] = parts.map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function fill(host, length) {
  const spans = [];
  for (let i = 0; i < length; i++) {
    const span = element("span", visible(data.characters[i]));
    if (data.characters[i] === "\n") span.className = "control";
    span.dataset.i = i;
    spans.push(span);
  }
  host.append(...spans);
  return spans;
}

// Lets a place of a text be chosen by mouse and by keyboard; `choose` is called with its index, and once more by `again`.
function selectable(host, spans, choose) {
  let at = -1;
  function go(i) {
    if (i < 0 || i >= spans.length) return;
    if (at >= 0) spans[at].classList.remove("at");
    at = i;
    spans[at].classList.add("at");
    const box = spans[at].getBoundingClientRect(), around = host.getBoundingClientRect();
    if (box.top < around.top || box.bottom > around.bottom) host.scrollTop += box.top - around.top - around.height / 2;
    choose(at);
  }
  host.addEventListener("click", (event) => {
    const i = event.target.dataset.i;
    if (i !== undefined) go(Number(i));
  });
  host.addEventListener("keydown", (event) => {
    const line = () => {
      const y = spans[Math.max(0, at)].offsetTop, x = spans[Math.max(0, at)].offsetLeft;
      const down = event.key === "ArrowDown";
      let best = -1, row = null;
      for (let i = at; i >= 0 && i < spans.length; i += down ? 1 : -1) {
        if (spans[i].offsetTop === y) continue;
        if (row === null) row = spans[i].offsetTop;
        if (spans[i].offsetTop !== row) break;
        if (best < 0 || Math.abs(spans[i].offsetLeft - x) < Math.abs(spans[best].offsetLeft - x)) best = i;
      }
      return best;
    };
    const moves = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, ArrowDown: line, ArrowUp: line,
      Home: () => 0, End: () => spans.length - 1 };
    if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    go(at < 0 ? 0 : moves[event.key]());
  });
  return { go, again: () => { if (at >= 0) choose(at); } };
}

// What it expects.
const expected = document.getElementById("expected");
const read = fill(expected, count);
read.forEach((span, i) => { span.classList.add("s" + surpriseLevel(data.nats[i])); });

const bars = document.getElementById("bars");
function showExpected(i) {
  const rows = data.likely[i].filter(([, share], rank) => share || !rank).map(([symbol, share]) => {
    const here = data.labels[symbol] === labelOf(i);
    const row = element("div", undefined, here ? "bar here" : "bar");
    const drawing = document.createElementNS(SVG, "svg");
    drawing.setAttribute("viewBox", "0 0 100 8");
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("aria-hidden", "true");
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("width", share / 10);
    rect.setAttribute("height", 8);
    drawing.append(rect);
    row.append(element("span", data.labels[symbol]), drawing, element("span", percent(share / 10)));
    return row;
  });
  const [, known] = data.likely[i].find(([symbol, share]) => share && data.labels[symbol] === labelOf(i)) || [];
  const p = known ? known / 10 : 100 * Math.exp(-data.nats[i]);  // the number of its bar, where it has one
  const title = element("h4", `${labelOf(i)}: ${percent(p)}, ${data.nats[i].toFixed(2)} nats`);
  bars.replaceChildren(title, ...rows);
}
function percent(p) {
  return `${p >= 0.1 ? p.toFixed(1) : p.toPrecision(1)} %`;
}
function labelOf(i) {
  const character = data.characters[i];
  return { "\n": "line end", " ": "space", "\t": "tab" }[character] || visible(character);
}
function quoted(i) {
  const label = labelOf(i);
  return Array.from(label).length === 1 ? `“${label}”` : label;
}
const chosen = selectable(expected, read, showExpected);
expected.addEventListener("mouseover", (event) => {
  if (event.target.dataset.i !== undefined) showExpected(Number(event.target.dataset.i));
});
if (count) chosen.go(Math.min(count - 1, 20));

// What units track.
const unitChoice = document.getElementById("unit"), signalChoice = document.getElementById("signal");
const unitButtons = document.querySelectorAll("button[data-unit]");
const trackedHost = document.getElementById("tracked");
const tracked = fill(trackedHost, count);
data.units.forEach((unit, i) => unitChoice.append(new Option(unit.name, i)));
function level(values, i) { return data.levels.indexOf(values[i]) / 63; }
function chosenSignal() { return data.units[unitChoice.value].signals[signalChoice.value]; }
function showSignals(wanted) {
  const names = Object.keys(data.units[unitChoice.value].signals);
  signalChoice.replaceChildren(...names.map((name) => new Option(data.meanings[name] || name, name)));
  signalChoice.value = names.includes(wanted) ? wanted : names[0];
  showUnit();
}
function showUnit() {
  const signal = chosenSignal(), counts = new Array(32).fill(0);
  tracked.forEach((span, i) => {
    const share = level(signal.values, i);
    paint(span, share < 0.5 ? BLUE : ORANGE, Math.abs(2 * share - 1));  // of the distance to the middle of the range
    counts[Math.min(31, Math.floor(share * 32))]++;
  });
  unitButtons.forEach((button) => button.setAttribute("aria-pressed",
    button.dataset.unit === unitChoice.value && button.dataset.signal === signalChoice.value));
  document.getElementById("range").textContent = `from ${signal.low} (blue) to ${signal.high} (orange)`;
  drawHistogram(counts, signal);
  valueAt.again();
}
function showValue(i) {
  const signal = chosenSignal(), value = signal.low + level(signal.values, i) * (signal.high - signal.low);
  document.getElementById("value").textContent =
    `After ${quoted(i)}, ${signalChoice.value} of ${data.units[unitChoice.value].name} is about ${value.toFixed(2)}.`;
}
const valueAt = selectable(trackedHost, tracked, showValue);
function drawHistogram(counts, signal) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 320 60");
  drawing.setAttribute("width", "320");
  drawing.setAttribute("class", "figure");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `distribution of the values from ${signal.low} to ${signal.high}`);
  const largest = Math.max(...counts, 1);
  counts.forEach((n, i) => {
    const rect = document.createElementNS(SVG, "rect");
    const height = 58 * n / largest;
    rect.setAttribute("x", i * 10);
    rect.setAttribute("y", 60 - height);
    rect.setAttribute("width", 9);
    rect.setAttribute("height", height);
    rect.setAttribute("fill", i < 16 ? "#0072b2" : "#d55e00");
    drawing.append(rect);
  });
  document.getElementById("histogram").replaceChildren(drawing);
}
unitChoice.addEventListener("change", () => showSignals(signalChoice.value));
signalChoice.addEventListener("change", showUnit);
unitButtons.forEach((button) => button.addEventListener("click", () => {
  unitChoice.value = button.dataset.unit;
  showSignals(button.dataset.signal);
  trackedHost.scrollIntoView({ block: "nearest" });
}));

// Where a prediction came from.
const influence = document.getElementById("influence");
const traced = fill(influence, Math.min(count, data.influence.length));
function showInfluence(i) {
  const levels = Array.from(data.influence[i], (_, k) => level(data.influence[i], k));
  traced.forEach((span, j) => paint(span, ORANGE, levels[i - 1 - j] || 0));
  const most = levels.map((_, k) => k).filter((k) => levels[k] > 0).sort((a, b) => levels[b] - levels[a]).slice(0, 3);
  const named = most.map((k) => `${quoted(i - 1 - k)} (${k + 1} back)`).join(", ");
  document.getElementById("came-from").textContent =
    `The prediction of ${quoted(i)} was moved ` + (named ? `most by ${named}.` : "by no earlier character.");
}
const cameFrom = selectable(influence, traced, showInfluence);
if (traced.length) cameFrom.go(Math.min(traced.length - 1, 120));

function showAllUnits() { if (data.units.length) showSignals(signalChoice.value); }
showAllUnits();
if (data.units.length) valueAt.go(Math.min(count - 1, 20));
dark.addEventListener("change", () => {
  showAllUnits();
  cameFrom.again();
});
