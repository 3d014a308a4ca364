// The explorer in a notebook: an anywidget. What is chosen lies in traits. The model comes when it is asked for, so
// that no notebook stores it, and networks that the browser cannot run are asked of the kernel. Of the host it needs
// what anywidget's specification of front-end modules promises (anywidget.dev/en/afm), and no more.

import { Explorer } from "./explorer.js";
import { Game, framed } from "./game.js";
import { Latent, unzip } from "./latent.js";
import { TurningMap } from "./map.js";

const CHOSEN = ["z", "others", "label", "digit", "drawing", "pins", "way", "share", "layers"];

/** What sends a message to the kernel and waits for its answer, ask(message) => promise of [answer, buffers]. */
function asker(model) {
  const waiting = new Map(), view = Math.random().toString(36).slice(2); // views of one model hear each other's answers
  let last = 0;
  const hear = (answer, buffers) => {
    const { resolve, reject } = waiting.get(answer.number) ?? {};
    waiting.delete(answer.number);
    if (answer.error) reject?.(new Error(answer.error));
    else resolve?.([answer, buffers]);
  };
  model.on("msg:custom", hear);
  const ask = (message) => new Promise((resolve, reject) => {
    const number = `${view}-${++last}`;
    waiting.set(number, { resolve, reject });
    model.send({ ...message, number });
  });
  return { ask, close: () => model.off("msg:custom", hear) };
}

/** Listen to the model by {event: listener}; what is returned ends it. */
function listening(model, listeners) {
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
  };
}

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
const floatsOf = (view) => new Float32Array(bytesOf(view).buffer);

async function latentOf(ask, model) {
  const [{ description }, contents] = await ask({ what: "model", model });
  const blocks = await Promise.all(contents.map((content) => unzip(bytesOf(content))));
  return new Latent(description, ...blocks, async (what, numbers, label) => {
    const [answer, buffers] = await ask({ what, numbers: Array.from(numbers), label, model });
    if (what === "decode") return floatsOf(buffers[0]);
    return { place: answer.place, label: answer.label, probabilities: buffers[0] ? floatsOf(buffers[0]) : null };
  });
}

/** The traits that a change of what is chosen touches. */
function traitsOf({ places, ...changes }) {
  if (places) [changes.z, changes.others] = [places[0].slice(0, 2), places[0].slice(2)];
  if (changes.pins) changes.pins = changes.pins.map((pin) => pin && pin[0]);
  if ("isCode" in changes) {
    if (!changes.isCode) changes.digit = -1;
    const drawn = changes.isCode && changes.digit < 0 ? changes.picture : [];
    changes.drawing = new DataView(Uint8Array.from(drawn, (value) => Math.round(255 * value)).buffer);
  }
  return Object.entries(changes).filter(([name]) => CHOSEN.includes(name));
}

/** What these traits choose, as changes of the explorer's own. */
function changesOf(names, model, latent) {
  const changes = {};
  for (const name of ["label", "way", "share", "layers"]) if (names.has(name)) changes[name] = model.get(name);
  if (names.has("pins")) changes.pins = model.get("pins").map((pin) => pin && [pin]);
  if (!["z", "others", "digit", "drawing"].some((name) => names.has(name))) return changes;
  const digit = model.get("digit"), drawing = bytesOf(model.get("drawing"));
  const picture = digit >= 0 ? latent.image(digit) : Float32Array.from(drawing, (value) => value / 255);
  changes.places = [[...model.get("z"), ...model.get("others")]];
  changes.isCode = picture.length > 0;
  return changes.isCode ? { ...changes, digit, picture } : changes;
}

async function renderExplorer(model, element, ask) {
  let mine = false; // whether a change is this view's own
  const tell = (changes) => {
    mine = true;
    for (const [name, value] of traitsOf(changes)) model.set(name, value);
    model.save_changes();
    mine = false;
  };
  const [{ titles: [title] }] = await ask({ what: "titles" });
  const latent = await latentOf(ask, title), changed = new Set(CHOSEN);
  const explorer = new Explorer(element, [{ title, load: () => latent }], { tell });
  const follow = () => {
    if (changed.size) explorer.set(changesOf(changed, model, latent), false);
    changed.clear();
  };
  await explorer.ready;
  follow();
  const listeners = CHOSEN.map((name) => [`change:${name}`, () => {
    if (mine) return;
    changed.add(name);
    setTimeout(follow); // several traits change at once
  }]);
  const stop = listening(model, Object.fromEntries(listeners));
  return () => {
    stop();
    explorer.view.close();
  };
}

async function renderModels(model, element, ask) {
  const [{ titles, curve }] = await ask({ what: "titles" });
  const explorer = new Explorer(element, titles.map((title) => {
    let latent = null;
    return { title, load: () => (latent ??= latentOf(ask, title)) };
  }), { curve });
  await explorer.ready;
  return () => explorer.view.close();
}

async function renderMap(model, element, ask) {
  const [answer, [points]] = await ask({ what: "points" });
  const map = new TurningMap(element, answer, floatsOf(points));
  return () => map.close();
}

async function renderGame(model, element, ask) {
  let mine = 0; // questions of this view's own
  const played = async (message) => {
    mine++;
    const [{ description, said, ...rest }, [real, ...seen]] = await ask(message).finally(() => mine--);
    const frames = said.map((words, i) => framed(words, new Int16Array(bytesOf(seen[i]).buffer), description));
    const title = description.of_codes ? "The game, for codes" : "The game, in a plane";
    return { title, about: "", description, real: floatsOf(real), frames, ...rest };
  };
  const first = await played({ what: "look" });
  const begin = (target) => played({ what: "reset", target });
  const last = () => game.game.frames.at(-1).step;
  const isNew = ({ resets, frames }) => resets !== game.game.resets || frames.at(-1).step <= last();
  const game = new Game(element, [first], {
    targets: first.targets,
    async advance(steps, updates) {
      const seen = await played({ what: "play", steps, updates });
      if (isNew(seen)) game.show(seen); // another view has begun again
      return seen.frames[0];
    },
    reset: () => begin(null),
    target: begin,
    draw: begin,
    rate(name, value) {
      model.set("rates", { ...model.get("rates"), [name]: value });
      model.save_changes();
    },
  });
  const follow = async () => { // a call in the notebook, or another view, has played or begun again
    const { resets } = game.game;
    if (mine || (model.get("steps") === last() && model.get("resets") === resets)) return;
    const seen = await played({ what: "look" });
    if (isNew(seen)) game.show(seen);
    else for (const frame of seen.frames.filter(({ step }) => step > last())) game.append(frame);
    await follow();
  };
  const rates = () => game.showRates(model.get("rates"));
  const stop = listening(model, { "change:steps": follow, "change:resets": follow, "change:rates": rates });
  return () => {
    stop();
    game.close();
  };
}

const widget = {
  async render({ model, el }) {
    const element = el.appendChild(document.createElement("div")), { ask, close } = asker(model);
    try {
      const render = { map: renderMap, game: renderGame, models: renderModels }[model.get("kind")] ?? renderExplorer;
      const stop = await render(model, element, ask);
      return () => {
        close();
        stop();
      };
    } catch (error) {
      element.textContent = `The explorer cannot be shown: ${error.message}`;
      throw error;
    }
  },
};
