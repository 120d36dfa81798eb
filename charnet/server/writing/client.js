// The server. Its errors are shown as it words them.
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let key = "";  // kept nowhere else

async function ask(path, body, signal) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  if (key) headers.Authorization = "Bearer " + key;
  const how = { headers, signal, cache: "no-store", method: body ? "POST" : "GET" };
  if (body) how.body = JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, how);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server does not answer.");
  }
  if (answer.ok) return answer;
  const found = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, found.error ? found.error.message : `The server answered ${answer.status}.`);
}

async function models() {
  return (await (await ask("v1/models")).json()).data.map((each) => each.id);
}

async function complete(body, signal) {
  return (await ask("v1/completions", body, signal)).json();
}

// Calls `piece` with each choice of each event of a stream.
async function stream(body, signal, piece) {
  const reader = (await ask("v1/completions", { ...body, stream: true }, signal)).body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Refusal(0, "The server has ended the answer early.");
    const events = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const text = event.replace(/^data: /, "");
      if (text === "[DONE]") return;
      const found = JSON.parse(text);
      if (found.error) throw new Refusal(500, found.error.message);
      found.choices.forEach(piece);
    }
  }
}
