// A page without a kernel: the models lie in it as text, and are unpacked when they are first shown.

import { Explorer } from "./explorer.js";
import { Game, framed } from "./game.js";
import { Latent, unzip } from "./latent.js";

/** @param models [{description, contents: ids of the elements with the arrays and the images, in base64}] */
function openPage(element, models, curve) {
  const blocks = new Map();
  const block = (id) => {
    if (!blocks.has(id)) blocks.set(id, unzip(bytesOfText(document.getElementById(id).textContent)));
    return blocks.get(id);
  };
  const entries = models.map(({ description, contents }) => {
    let latent = null;
    const load = async () => new Latent(description, ...(await Promise.all(contents.map(block))));
    return { title: description.title, load: () => (latent ??= load()) };
  });
  const explorer = new Explorer(element, entries, { page: true, curve });
  explorer.ready.then(() => requestAnimationFrame(() => performance.mark("first picture")));
  return explorer;
}

/** Recorded games: [{title, about, description, frames, contents: [id of an element with the integers, in base64]}]. */
async function openGames(element, games) {
  const read = async ({ contents: [content], frames, ...game }) => {
    const bytes = await unzip(bytesOfText(document.getElementById(content).textContent));
    const points = new Float32Array(bytes.buffer, bytes.byteOffset, 2 * game.description.labels.length);
    const changes = new Int16Array(bytes.buffer, bytes.byteOffset + points.byteLength);
    const size = changes.length / frames.length;
    for (let i = size; i < changes.length; i++) changes[i] += changes[i - size]; // each frame is stored as a change
    return {
      ...game, real: points,
      frames: frames.map((said, n) => framed(said, changes.subarray(n * size, (n + 1) * size), game.description)),
    };
  };
  const shown = new Game(element, await Promise.all(games.map(read)));
  requestAnimationFrame(() => performance.mark("first picture"));
  return shown;
}

function bytesOfText(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
