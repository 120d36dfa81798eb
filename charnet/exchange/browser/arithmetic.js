// The arithmetic of models with 8-bit weights, as charnet has it: sums of integers, tables, and single additions and
// multiplications, each of which IEEE 754 defines to the last bit. So a seed gives the same text in every browser.
const STEPS = 512, REACH = 8 * STEPS, ZERO = REACH + 0.5;  // of the index into a table of tanh
const GRID = 12, LARGEST = 127, RELU_LARGEST = 16383, RELU_BASE = 128, LARGEST_FACTOR = 2 ** 36;
const HALVING = 4096, MOST_HALVINGS = 32, SMALLEST = 2 ** -60;
const { fround } = Math, STEPS_A_NAT = HALVING / Math.LN2, NATS_A_STEP = fround(Math.LN2 / HALVING);

// Rounds to the nearest integer, of two to the even one.
const rint = (x) => x + 6755399441055744 - 6755399441055744;

// exp and log by their series: the functions of a browser may differ in the last bit.
function exp(x) {
  let sum = 1, term = 1;
  for (let k = 1; k < 30; k++) sum += term *= x / 16 / k;
  for (let k = 0; k < 4; k++) sum *= sum;
  return sum;
}
function log(x) {
  const z = (x - 1) / (x + 1);
  let sum = 0;
  for (let k = 79; k > 0; k -= 2) sum = sum * z * z + 1 / k;
  return 2 * z * sum;
}
const halvings = (x) => exp(-Math.LN2 * (x % 1)) / 2 ** Math.floor(x);

const TANH = new Float32Array(2 * REACH + 1);
for (let i = 0; i <= REACH; i++) {
  const power = exp(2 * i / STEPS);
  TANH[REACH + i] = rint((power - 1) / (power + 1) * 32768) / 32768;
  TANH[REACH - i] = 0 - TANH[REACH + i];
}
const SIGMOID = TANH.map((x) => x / 2 + 0.5), TANH_OF_H = TANH.map((x) => x * LARGEST);
const H_TANH = TANH_OF_H.map(rint), H_SIGMOID = SIGMOID.map((x) => rint(x * LARGEST));
const POWERS = Float64Array.from({ length: HALVING }, (_, i) => rint(halvings(i / HALVING) * 2 ** MOST_HALVINGS));
const LOG2 = Float64Array.from({ length: HALVING / 2 + 1 }, (_, i) => rint(log(0.5 + i / HALVING) / Math.LN2 * HALVING));
const PROBABILITIES = Float32Array.from({ length: 256 }, (_, i) => i < 255 ? halvings(i / 16) : 0);  // of an n-gram

function checkTables(expected) {
  const all = Float64Array.of(...TANH.map((x) => x * 32768), ...POWERS, ...LOG2, ...PROBABILITIES);
  if (sha256(new Uint8Array(all.buffer)) !== expected) throw new Error("this browser computes other numbers than others");
}

// The place in a table of tanh that stands for a number of steps.
const place = (x) => x <= 0 ? 0 : x >= 2 * REACH ? 2 * REACH : x | 0;
const onGrid = (x) => fround(fround(x + GRID) - GRID);

// Integers in proportion to exp(score) from scores of at most 0, in place.
const HALVED = Float64Array.from({ length: MOST_HALVINGS + 2 }, (_, i) => 2 ** -i);
function weightsOf(scores) {
  for (let i = 0; i < scores.length; i++) {
    const steps = rint(Math.min(scores[i] * -STEPS_A_NAT, (MOST_HALVINGS + 1) * HALVING)) | 0;
    scores[i] = Math.floor(POWERS[steps & HALVING - 1] * HALVED[steps >> 12]);
  }
  return scores;
}

// Integers in proportion to the probabilities of logits at a temperature.
function softmax(logits, temperature = 1) {
  const scores = new Float64Array(logits.length), scale = 1 / temperature;
  let largest = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i] > largest) largest = logits[i];
  for (let i = 0; i < logits.length; i++) scores[i] = (logits[i] - largest) * scale;
  return weightsOf(scores);
}

function sum(numbers) {
  let total = 0;
  for (let i = 0; i < numbers.length; i++) total += numbers[i];
  return total;
}

const bits = new DataView(new ArrayBuffer(8));
// The logarithm of a probability in nats: a multiple of a step.
function logOf(p) {
  bits.setFloat64(0, Math.max(p, SMALLEST));
  const high = bits.getUint32(0), exponent = (high >>> 20) - 1022;
  bits.setUint32(0, high & 0xfffff | 1022 << 20);
  return fround((LOG2[rint((bits.getFloat64(0) - 0.5) * HALVING)] + exponent * HALVING) * NATS_A_STEP);
}
