// Random numbers: Philox 4x64 of ten rounds (Salmon et al. 2011), keyed by the seed and the number of the text.
const WORD = (1n << 64n) - 1n;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n], WEYL = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];

function philox(counter, key) {
  let [a, b, c, d] = [counter, 0n, 0n, 0n], [k, l] = key;
  for (let round = 0; round < 10; round++) {
    const first = MULTIPLIERS[0] * a, second = MULTIPLIERS[1] * c;
    [a, b, c, d] = [second >> 64n ^ b ^ k, second & WORD, first >> 64n ^ d ^ l, first & WORD];
    [k, l] = [k + WEYL[0] & WORD, l + WEYL[1] & WORD];
  }
  return [a, b, c, d];
}

// Returns what gives one number after the other, 0 <= u < 1: the upper 53 bits of each, as a fraction of 1.
function randomNumbers(seed, index) {
  const key = [BigInt(seed) & WORD, BigInt(index) & WORD];
  let counter = 0n, block = [];
  return () => {
    if (!block.length) block = philox(counter += 1n, key);
    return Number(block.shift() >> 11n) / 2 ** 53;
  };
}
