const surpriseLevel = (nats) => SURPRISES.filter((limit) => Math.exp(-nats) < limit - 1e-9).length;
