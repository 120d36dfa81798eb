// From logits to a symbol.
const GREEDY_BELOW = 1e-30;

function keep(p, order, isKept) {
  const kept = new Float64Array(p.length);
  order.forEach((symbol, rank) => { if (isKept(symbol, rank)) kept[symbol] = p[symbol]; });
  return kept;
}

// Keeps the most likely: `top_k` of them, those that together reach `top_p`, those near the first by `min_p`.
function filtered(p, { top_k: k, top_p: mass, min_p: share }) {
  const ranked = () => Array.from(p.keys()).sort((a, b) => p[b] - p[a] || a - b);
  if (k > 0 && k < p.length) {
    const first = ranked().slice(0, k);
    p = keep(p, first, () => true);
  }
  if (mass < 1) {
    const total = sum(p), order = ranked();
    let before = 0;
    p = keep(p, order, (symbol, rank) => {
      const isKept = rank === 0 || before < mass * total;
      before += p[symbol];
      return isKept;
    });
  }
  if (share > 0) {
    const least = share * p.reduce((a, b) => Math.max(a, b));
    p = p.map((each) => each >= least ? each : 0);
  }
  return p;
}

// The symbol at which the cumulative sum of integers passes the share `u` of their total.
function sample(p, u) {
  const aim = u * sum(p);
  let end = 0, symbol = 0;
  for (; symbol < p.length; symbol++) if ((end += p[symbol]) > aim) break;
  return symbol;
}

function sampleLogits(logits, temperature, u, options) {
  if (temperature < GREEDY_BELOW) return logits.reduce((best, x, i) => x > logits[best] ? i : best, 0);
  return sample(filtered(softmax(logits, temperature), options), u);
}

// Minus the logarithm of the probability of a symbol, to be shown.
function surprisal(logits, symbol) {
  let largest = -Infinity, total = 0;
  for (let i = 0; i < logits.length; i++) largest = Math.max(largest, logits[i]);
  for (let i = 0; i < logits.length; i++) total += Math.exp(logits[i] - largest);
  return Math.max(0, Math.log(total) + largest - logits[symbol]);
}
