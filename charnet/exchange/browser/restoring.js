// The compressed text of this page: it is restored as soon as the page is open. Its streams are pieces that lie one behind
// the other, and all grow at once.
function showRestored({ streams, done, raw }, parts) {
  while (parts.length < streams.length) by("restored-text").append(parts[parts.length] = element("span"));
  streams.forEach((codes, i) => {
    const from = parts[i].shown ?? 0;
    if (codes.length > from) parts[i].append(visible(codes.slice(from).map((code) => String.fromCodePoint(code)).join("")));
    parts[i].shown = codes.length;
  });
  by("progress").value = done;
  if (raw) parts.length = 0;
}

async function restoreText() {
  const parts = [], began = performance.now();
  by("restored").hidden = false;
  by("restored-status").textContent = "The model restores the text…";
  try {
    const raw = await decompress((step) => showRestored(step, parts)), seconds = (performance.now() - began) / 1000;
    by("restored-status").textContent = `${count(raw.length)} bytes, restored in ${seconds.toFixed(1)} s; every checksum is right. SHA-256 ${sha256(raw)}`;
    by("save-restored").addEventListener("click", () => download(raw, stored.textName, "application/octet-stream"));
    by("save-restored").hidden = false;
    return raw;
  } catch (error) {
    by("restored-status").textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
    by("restored-status").classList.add("wrong");
    throw error;
  }
}
const restored = restoreText();
restored.catch(() => {});
window.charnet.restored = () => restored;  // its bytes, when it is whole
