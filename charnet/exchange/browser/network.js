// Networks, and the model that they make together with an n-gram.
class Layer {
  constructor(data, shape, columns, embedding) {
    const { units } = shape;
    this.cell = CELLS[shape.cell];
    this.size = units * this.cell.gates;
    [this.units, this.embedding, this.unit, this.zero] = [units, embedding, shape.unit, shape.zero];
    this.inputs = new Product(data, this.size, columns, this.cell.hasDigits && !embedding);
    this.bias = data.floats(this.size);
    this.recurrent = new Product(data, this.size, units, this.cell.hasDigits);
    this.innerBias = this.cell.adds ? null : data.floats(this.size);
    [this.a, this.x, this.rows] = [new Float32Array(this.size), new Float32Array(this.size), []];
  }

  start() { return { h: new Int16Array(this.units), c: this.cell.hasC ? new Float32Array(this.units) : null }; }

  // Computes the new state in place.
  advance(id, below, state) {
    const { a, size } = this;
    this.recurrent.into(a, state.h);
    const x = this.embedding ? this.rows[id] ||= this.row(id) : this.inputProduct(below);
    const added = this.cell.adds ? x : this.innerBias;
    for (let i = 0; i < size; i++) a[i] += added[i];
    this.cell.update(a, x, state);
  }

  inputProduct(below) {
    const { x, bias, size } = this;
    this.inputs.into(x, below);
    for (let i = 0; i < size; i++) x[i] += bias[i];
    return x;
  }

  // The input product of a character, in the lowest layer: in double precision, then rounded once.
  row(id) {
    const { values, scale, width } = this.embedding, { factor } = this.inputs;
    const sums = this.inputs.matrix.sums(Int16Array.from(values.subarray(id * width, (id + 1) * width)));
    return Float32Array.from(factor, (own, i) => {
      const steps = (sums[i] * scale[id] * own + this.bias[i]) * this.unit[Math.floor(i / this.units)] + this.zero;
      return Math.min(Math.max(steps, -LARGEST_FACTOR), LARGEST_FACTOR);
    });
  }
}

class Network {
  constructor(data, shape, alphabet) {
    const embedding = { values: data.int8s(alphabet * shape.embedding), scale: data.floats(alphabet), width: shape.embedding };
    this.layers = Array.from({ length: shape.layers },
      (_, i) => new Layer(data, shape, i ? shape.units : shape.embedding, i ? null : embedding));
    this.head = new Product(data, alphabet, shape.units, CELLS[shape.cell].hasDigits);
    [this.bias, this.logits] = [data.floats(alphabet), new Float32Array(alphabet)];
  }

  start() { return this.layers.map((layer) => layer.start()); }

  // Reads a character: changes the state, and gives the logits of the next one until the next call.
  advance(id, state) {
    this.layers.forEach((layer, i) => layer.advance(id, i ? state[i - 1].h : null, state[i]));
    const { logits, bias } = this;
    this.head.into(logits, state[state.length - 1].h);
    for (let i = 0; i < logits.length; i++) logits[i] += bias[i];
    return logits;
  }
}

// All networks of a model and its n-gram. The mean of their probabilities gives the logits.
class Model {
  constructor(data, { shape, ngram }, alphabet) {
    this.networks = Array.from({ length: shape.members }, () => new Network(data, shape, alphabet));
    this.ngram = ngram && new Ngram(data, ngram, alphabet);
    this.share = ngram ? shape.members * ngram.share / (1 - ngram.share) : 0;
  }

  start() { return { networks: this.networks.map((network) => network.start()), node: 0 }; }

  copy({ networks, node }) {
    return { networks: networks.map((state) => state.map(({ h, c }) => ({ h: h.slice(), c: c && c.slice() }))), node };
  }

  advance(id, state) {
    const logits = this.networks.map((network, i) => network.advance(id, state.networks[i]));
    if (logits.length === 1 && !this.ngram) return logits[0];
    const mean = new Float64Array(logits[0].length);
    for (const each of logits) {
      const weights = softmax(each), total = sum(weights);
      for (let i = 0; i < mean.length; i++) mean[i] += weights[i] / total;
    }
    if (this.ngram) {
      state.node = this.ngram.step(state.node, id);
      const p = this.ngram.distribution(state.node);
      for (let i = 0; i < mean.length; i++) mean[i] += this.share * p[i];
    }
    const total = logits.length + this.share, found = new Float32Array(mean.length);
    for (let i = 0; i < mean.length; i++) found[i] = logOf(mean[i] / total);
    return found;
  }
}
