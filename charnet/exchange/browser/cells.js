// The cells. `a` is the recurrent product, `x` the input product; both are in steps of the table of tanh, the sigmoid
// gates in half steps. The state has integers h, and c: for a gru its h before it was rounded.
const CELLS = {
  lstm: { gates: 4, hasC: true, adds: true, update: lstm },
  cifg: { gates: 3, hasC: true, adds: true, update: cifg },
  gru: { gates: 3, hasC: true, adds: false, update: gru },
  "rnn-tanh": { gates: 1, adds: true, update: (a, _, { h }) => { for (let u = 0; u < h.length; u++) h[u] = H_TANH[place(a[u])]; } },
  "rnn-sigmoid": { gates: 1, adds: true, update: (a, _, { h }) => { for (let u = 0; u < h.length; u++) h[u] = H_SIGMOID[place(a[u])]; } },
  "rnn-relu": {
    gates: 1, adds: true, hasDigits: true,
    update: (a, _, { h }) => { for (let u = 0; u < h.length; u++) h[u] = Math.min(Math.max(rint(a[u]), 0), RELU_LARGEST); },
  },
};

const output = (o, c) => rint(fround(TANH_OF_H[place(fround(fround(c * STEPS) + ZERO))] * o));

function lstm(a, _, { h, c }) {
  const n = h.length;
  for (let u = 0; u < n; u++) {
    const i = SIGMOID[place(a[u])], f = SIGMOID[place(a[n + u])], o = SIGMOID[place(a[2 * n + u])];
    c[u] = onGrid(fround(fround(f * c[u]) + fround(i * TANH[place(a[3 * n + u])])));
    h[u] = output(o, c[u]);
  }
}

function cifg(a, _, { h, c }) {
  const n = h.length;
  for (let u = 0; u < n; u++) {
    const i = SIGMOID[place(a[u])], o = SIGMOID[place(a[n + u])], g = TANH[place(a[2 * n + u])];
    c[u] = onGrid(fround(fround(fround(g - c[u]) * i) + c[u]));
    h[u] = output(o, c[u]);
  }
}

function gru(a, x, { h, c }) {
  const n = h.length;
  for (let u = 0; u < n; u++) {
    const r = SIGMOID[place(fround(a[u] + x[u]))], z = SIGMOID[place(fround(a[n + u] + x[n + u]))];
    const g = TANH[place(fround(fround(a[2 * n + u] * r) + x[2 * n + u]))];
    c[u] = onGrid(fround(fround(fround(c[u] - g) * z) + g));
    h[u] = rint(fround(c[u] * LARGEST));
  }
}
