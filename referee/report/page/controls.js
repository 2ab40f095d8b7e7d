"use strict";
// Pointer, wheel, keys and buttons.

const stage = document.getElementById("stage");
const hint = document.getElementById("hint");
const keyInput = document.getElementById("key");

function setLanes(lanes) {
  state.lanes = lanes;
  document.getElementById("by-client").setAttribute("aria-pressed", lanes === "client");
  document.getElementById("by-node").setAttribute("aria-pressed", lanes === "node");
  arrange();
  changed();
}

function setKey(text) {
  state.key = run.keys.indexOf(text);
  keyInput.setAttribute("aria-invalid", text !== "" && state.key < 0);
  changed();
}

// frameProof shows the time of the proof that is drawn.
function frameProof() {
  const list = shownVerdict.proof.ops;
  frame(Math.min(...list.map((op) => op.call)), Math.max(...list.map((op) => op.return)));
}

// toProof does so too, and opens the operation that is accused.
function toProof() {
  if (!shownVerdict) return;
  frameProof();
  choose(indexOfID.get(shownVerdict.proof.ops.find((op) => op.accused).id));
}

// useWheel zooms only in a timeline that was clicked, or with Ctrl: a page that catches the wheel cannot be scrolled past.
function useWheel(canvas) {
  let asleep = 0;
  canvas.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    if (sideways) {
      event.preventDefault();
      pan((event.deltaX || event.deltaY) / 900);
      return;
    }
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== lanesCanvas) {
      hint.hidden = false;
      clearTimeout(asleep);
      asleep = setTimeout(() => { hint.hidden = true; }, 1400);
      return;
    }
    event.preventDefault();
    hint.hidden = true;
    zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 240), timeAt(event.offsetX, canvas.clientWidth));
  }, { passive: false });
}

// usePointer pans by dragging, chooses by a click, and zooms with two fingers.
function usePointer(canvas) {
  const down = new Map();
  let moved = false, spread = 0;
  const xs = () => [...down.values()];
  canvas.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, event.offsetX);
    if (down.size === 1) moved = false;
    if (down.size === 2) spread = Math.abs(xs()[0] - xs()[1]);
    canvas.setPointerCapture(event.pointerId);
    lanesCanvas.focus({ preventScroll: true });
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) { hover(canvas, event); return; }
    const before = down.get(event.pointerId);
    if (Math.abs(event.offsetX - before) < 3 && !moved && down.size === 1) return;
    moved = true;
    tip.hidden = true;
    down.set(event.pointerId, event.offsetX);
    if (down.size === 1) pan((before - event.offsetX) / (canvas.clientWidth - GUTTER - MARGIN));
    if (down.size === 2) {
      const now = Math.max(10, Math.abs(xs()[0] - xs()[1]));
      zoom(Math.max(10, spread) / now, timeAt((xs()[0] + xs()[1]) / 2, canvas.clientWidth));
      spread = now;
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    down.delete(event.pointerId);
    if (!moved && canvas === lanesCanvas) choose(opAt(event.offsetX, event.offsetY, canvas.clientWidth));
  });
  canvas.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
  canvas.addEventListener("dblclick", (event) => zoom(.4, timeAt(event.offsetX, canvas.clientWidth)));
  canvas.addEventListener("pointerleave", () => { state.pointer = null; tip.hidden = true; changed(); });
}

function hover(canvas, event) {
  const { offsetX: x, offsetY: y } = event, width = canvas.clientWidth;
  state.pointer = x > GUTTER ? timeAt(x, width) : null;
  state.hover = canvas === lanesCanvas ? opAt(x, y, width) : -1;
  canvas.style.cursor = state.hover >= 0 ? "pointer" : "";
  const fault = canvas === lanesCanvas ? faultAt(x, y, width) : -1;
  const top = canvas.offsetTop + y;
  if (state.hover >= 0) placeTip(x, top, ...tipOfOp(state.hover));
  else if (fault >= 0) placeTip(x, top, ...tipOfFault(run.faults[fault]));
  else if (canvas === stripsCanvas && state.pointer !== null) placeTip(x, top, ...intervalTip(state.pointer));
  else placeTip(x, top);
  changed();
}

function intervalTip(time) {
  const words = intervalWords(time);
  if (!words) return [];
  return [element("b", { textContent: words[0] }), ...words.slice(1).map((text) => element("small", { textContent: text }))];
}

const keys = {
  ArrowLeft: () => pan(-.15), ArrowRight: () => pan(.15), "+": () => zoom(.6), "=": () => zoom(.6), "-": () => zoom(1 / .6), "0": showAll,
  n: () => walk(1), b: () => walk(-1), p: toProof, l: () => setLanes(state.lanes === "client" ? "node" : "client"), "/": () => keyInput.focus(),
  Escape: () => { keyInput.value = ""; setKey(""); choose(-1); },
};

// useKeys takes them anywhere on the page, except where someone writes, or scrolls sideways in something else.
function useKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target === keyInput && event.key !== "Escape")) return;
    if (event.key.startsWith("Arrow") && document.activeElement !== lanesCanvas) return;
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
}

function useControls() {
  const on = (id, act) => document.getElementById(id).addEventListener("click", act);
  on("by-client", () => setLanes("client"));
  on("by-node", () => setLanes("node"));
  on("zoom-in", () => zoom(.5));
  on("zoom-out", () => zoom(2));
  on("zoom-fit", showAll);
  on("to-proof", toProof);
  on("theme", () => { document.documentElement.style.colorScheme = dark() ? "light" : "dark"; readTheme(); paintProof(); });
  on("download", download);
  on("copy", copy);
  keyInput.addEventListener("input", () => setKey(keyInput.value));
  for (const canvas of [lanesCanvas, stripsCanvas]) { useWheel(canvas); usePointer(canvas); }
  brush();
  useKeys();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); paintProof(); });
  new ResizeObserver(changed).observe(stage);
}

function download() {
  const address = URL.createObjectURL(new Blob([exported()], { type: "application/x-ndjson" }));
  const file = (run.title || "run").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "") || "run";
  element("a", { href: address, download: `${file}${run.seed && "-seed-" + run.seed}.jsonl` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// copy falls back to choosing the text, where a page from a file may not write the clipboard.
function copy() {
  const told = (text) => { document.getElementById("copy").textContent = text; };
  navigator.clipboard.writeText(run.replay).then(() => told("copied"), () => {
    getSelection().selectAllChildren(document.getElementById("command"));
    told("chosen");
  });
}
