// Products of matrices of 8 bits with integers: in WebAssembly, and without it in plain JavaScript.
const ROWS = 4, COLUMNS = 16, PAGE = 65536;
const roundUp = (x, unit) => Math.ceil(x / unit) * unit;

// The memory of the loop in WebAssembly: h, sums, then matrices one behind the other.
class Kernel {
  constructor(code, columns, rows) {
    this.memory = new WebAssembly.Memory({ initial: 1 });
    this.run = new WebAssembly.Instance(new WebAssembly.Module(code), { a: { m: this.memory } }).exports.p;
    this.sumsAt = roundUp(2 * columns, 4 * COLUMNS);
    this.end = this.sumsAt + roundUp(4 * rows, 4 * COLUMNS);
  }

  add(size) {
    const at = this.end;
    this.end += size;
    const missing = this.end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    this.sums = new Int32Array(this.memory.buffer, this.sumsAt);
    this.h = new Int16Array(this.memory.buffer, 0);
    return at;
  }
}

let kernel = null;
function openKernel(code, columns, rows) {
  try {
    kernel = new Kernel(code, columns, rows);
  } catch {  // there is no WebAssembly here, none with SIMD, or it is not allowed
    kernel = null;
  }
}

class Matrix {
  constructor(values, rows, columns) {
    [this.rows, this.columns, this.isAdded] = [rows, columns, false];
    this.height = roundUp(rows, ROWS);
    this.width = kernel ? roundUp(columns, COLUMNS) : columns;
    if (kernel) {
      this.at = kernel.add(this.height * this.width);
      this.values = new Int8Array(kernel.memory.buffer, this.at, this.height * this.width);
    } else {
      this.values = new Int8Array(this.height * columns);
      this.own = new Int32Array(this.height);
    }
    for (let row = 0; row < rows; row++) this.values.set(values.subarray(row * columns, (row + 1) * columns), row * this.width);
    if (kernel) this.values = null;  // the memory may move
  }

  // The sums for each row, until the next call.
  sums(h) {
    if (!kernel) return this.plainSums(h);
    kernel.h.set(h);
    kernel.run(this.at, 0, kernel.sumsAt, this.height / ROWS, this.width);
    return kernel.sums;
  }

  plainSums(h) {
    const { values: w, width, height, own } = this;
    for (let row = 0; row < height; row += ROWS) {
      let a = 0, b = 0, c = 0, d = 0, at = row * width;
      for (let i = 0; i < width; i++, at++) {
        const x = h[i];
        a = a + Math.imul(x, w[at]) | 0;
        b = b + Math.imul(x, w[at + width]) | 0;
        c = c + Math.imul(x, w[at + 2 * width]) | 0;
        d = d + Math.imul(x, w[at + 3 * width]) | 0;
      }
      own[row] = a;
      own[row + 1] = b;
      own[row + 2] = c;
      own[row + 3] = d;
    }
    return own;
  }
}

// A matrix with a factor for each row.
class Product {
  constructor(data, rows, columns, hasDigits) {
    this.matrix = new Matrix(data.int8s(rows * columns), rows, columns);
    [this.factor, this.rows, this.hasDigits] = [data.floats(rows), rows, hasDigits];
    if (hasDigits) [this.high, this.low, this.first] = [new Int16Array(columns), new Int16Array(columns), new Float32Array(rows)];
  }

  // Products into `out`. Every step is rounded to single precision: the sum, where it is large, then its product.
  into(out, h) {
    const { factor, rows } = this;
    if (this.hasDigits) return this.digitsInto(out, h);
    const sums = this.matrix.sums(h);
    for (let i = 0; i < rows; i++) out[i] = fround(sums[i]) * factor[i];
  }

  // The same for an h of two digits.
  digitsInto(out, h) {
    const { factor, rows, high, low, first } = this;
    for (let i = 0; i < h.length; i++) [high[i], low[i]] = [h[i] >> 7, h[i] % RELU_BASE];
    first.set(this.matrix.sums(high).subarray(0, rows));
    const sums = this.matrix.sums(low);
    for (let i = 0; i < rows; i++) out[i] = fround(fround(first[i] * RELU_BASE) + fround(sums[i])) * factor[i];
  }
}
