// The sheet is a text area, so that undo keys, input methods and screen readers find what they know. Behind it lies its
// mirror, the same text in the same lines, unseen but for the gray text and the colors of surprise.
const by = (id) => document.getElementById(id);
const sheet = by("sheet"), mirror = by("mirror"), paper = by("paper"), box = by("box");

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Says whether a button can do something now; it keeps the focus.
function enable(id, can) {
  by(id).setAttribute("aria-disabled", String(!can));
}

const view = {
  lines: [],  // of the mirror: text, its bands, the band of the line end, and the element
  bands: "",  // how surprising each unit is, as far as that is known
  ghost: null,

  // Draws the lines that have changed.
  draw() {
    const texts = sheet.value.split("\n"), lines = this.lines;
    let at = 0;
    const wanted = texts.map((text) => {
      const bands = this.bands.slice(at, at + text.length);
      at += text.length + 1;
      return { text, bands, end: Number(this.bands[at - 1] || 0) };
    });
    const same = (i, j) => lines[i].text === wanted[j].text && lines[i].bands === wanted[j].bands && lines[i].end === wanted[j].end;
    const most = Math.min(lines.length, wanted.length);
    let head = 0, tail = 0;
    while (head < most && same(head, head)) head++;
    while (tail < most - head && same(lines.length - 1 - tail, wanted.length - 1 - tail)) tail++;
    const old = lines.slice(head, lines.length - tail), added = wanted.slice(head, wanted.length - tail);
    for (const line of added) line.node = this.lineOf(line);
    const next = lines[head + old.length];
    old.forEach((line) => line.node.remove());
    const fragment = document.createDocumentFragment();
    fragment.append(...added.map((line) => line.node));
    mirror.insertBefore(fragment, next ? next.node : null);
    lines.splice(head, old.length, ...added);
  },

  // A line end that is a surprise colors a space, which takes no room at the end of a line.
  lineOf({ text, bands, end }) {
    const line = element("div");
    for (let from = 0; from < text.length;) {
      let to = from + 1;
      while (to < text.length && bands[to] === bands[from]) to++;
      const band = Number(bands[from] || 0);
      line.append(band ? element("span", text.slice(from, to), "s" + band) : text.slice(from, to));
      from = to;
    }
    if (end) line.append(element("span", " ", "end s" + end));
    return line;
  },

  // Returns the line of the mirror with a place, and the place in it.
  find(at) {
    let i = 0;
    while (i < this.lines.length - 1 && at > this.lines[i].text.length) at -= this.lines[i++].text.length + 1;
    return [this.lines[i].node, at];
  },

  rectAt(at) {
    const [line, column] = this.find(at);
    let left = column;
    const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
      if (left <= node.data.length) {
        const range = document.createRange();
        range.setStart(node, Math.max(0, left - 1));
        range.setEnd(node, left);
        const found = range.getClientRects();
        if (found.length) return found[found.length - 1];
        break;
      }
      left -= node.data.length;
    }
    return line.getBoundingClientRect();
  },

  // Shows gray text behind a place: in the line if nothing but space follows, else in a box below it.
  show(text, at) {
    this.hide();
    if (!text) return;
    paper.classList.add("suggests");
    const inline = isLast(at), shown = visible(text);
    if (inline) {
      this.ghost = element("span", undefined, "ghost");
      this.ghost.append(element("wbr"), shown);  // the sheet breaks its lines as if nothing came
      const [line] = this.find(at);
      line.insertBefore(this.ghost, line.querySelector(".end"));
      return;
    }
    box.textContent = shown;
    box.hidden = false;
    box.style.top = this.rectAt(at).bottom - paper.getBoundingClientRect().top + 2 + "px";
  },

  hide() {
    paper.classList.remove("suggests");
    if (this.ghost) this.ghost.remove();
    this.ghost = null;
    box.hidden = true;
  },

  // Scrolls so that the caret is seen above the tools.
  reveal() {
    const rect = this.rectAt(sheet.selectionEnd), lowest = by("tools").getBoundingClientRect().top - 8;
    if (rect.bottom > lowest) scrollBy(0, rect.bottom - lowest);
    else if (rect.top < 0) scrollBy(0, rect.top - 40);
  },
};

function isLast(at) {
  return !/\S/.test(sheet.value.slice(at)) && !/[^\n]/.test(sheet.value.slice(at, at + 1));
}
