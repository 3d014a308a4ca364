// A page without a kernel: the models lie in it as text, and are unpacked when they are first shown.

import { Explorer } from "./explorer.js";
import { Latent, unzip } from "./latent.js";

/** @param models [{description, contents: ids of the elements with the arrays and the images, in base64}] */
function openPage(element, models, beside) {
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
  const explorer = new Explorer(element, entries, { beside, page: true });
  explorer.ready.then(() => requestAnimationFrame(() => performance.mark("first picture")));
  return explorer;
}

function bytesOfText(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
