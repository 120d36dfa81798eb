// Every change of the sheet as an edit that can be undone and done again: typed, pasted, taken, opened.
class Changes {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  // The characters of a word are one step; so are those deleted one after the other.
  add(edit) {
    this.undone = [];
    const last = this.done[this.done.length - 1];
    const typed = (each) => !each.taking && !each.removed && codePoints(each.inserted) === 1;
    const deleted = (each) => !each.taking && !each.inserted && codePoints(each.removed) === 1;
    if (last && last.joins && typed(edit) && last.at + last.inserted.length === edit.at && !last.removed
      && !(/\s/.test(last.inserted.slice(-1)) && /\S/.test(edit.inserted))) {
      last.inserted += edit.inserted;
      last.after = edit.after;
    } else if (last && last.deletes && deleted(edit) && edit.at + edit.removed.length === last.at) {
      last.removed = edit.removed + last.removed;
      last.at = edit.at;
      last.after = edit.after;
    } else {
      this.done.push({ ...edit, joins: typed(edit), deletes: deleted(edit) });
    }
  }

  // What was taken and is not undone; words of one suggestion together.
  get takings() {
    const found = [];
    for (const { taking } of this.done) {
      if (!taking) continue;
      const last = found[found.length - 1];
      if (last && last.from === taking.from && last.end === taking.start) {
        last.end = taking.end;
      } else {
        found.push({ ...taking });
      }
    }
    return found;
  }
}

// Returns what makes of one text the other: as little as possible, and around the caret where several places would do.
function difference(before, after, caret) {
  const most = Math.min(before.length, after.length);
  let head = 0, tail = 0;
  const limit = Math.min(most, caret);
  while (head < limit && before[head] === after[head]) head++;
  while (tail < most - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  while (head < most - tail && before[head] === after[head]) head++;
  return { at: head, removed: before.slice(head, before.length - tail), inserted: after.slice(head, after.length - tail) };
}
