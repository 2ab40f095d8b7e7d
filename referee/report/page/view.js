"use strict";
// What is shown: from when to when, in which lanes, what is chosen. Everything that draws follows it.

const state = {
  from: 0, to: run.span,
  lanes: "client", // or "node"
  key: -1, // the key that the filter lets through; -1: all
  selected: -1, // an operation, whose key is lit
  hover: -1,
  pointer: null, // the time under the pointer
};

const GUTTER = 78; // room for the names of lanes
const MARGIN = 14; // and on the right
const spanMin = 2000; // two microseconds fill the screen

const painters = [];
let waiting = false;

// changed draws anew, once for each frame.
function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const paint of painters) paint();
  });
}

function show(from, to) {
  const width = Math.min(run.span, Math.max(spanMin, to - from));
  state.from = Math.max(0, Math.min(from, run.span - width));
  state.to = state.from + width;
  changed();
}

function showAll() { show(0, run.span); }

// zoom keeps the time at its place. A factor below 1 zooms in.
function zoom(factor, at = (state.from + state.to) / 2) {
  const width = Math.min(run.span, Math.max(spanMin, (state.to - state.from) * factor));
  const share = (at - state.from) / (state.to - state.from);
  show(at - width * share, at + width * (1 - share));
}

function pan(share) {
  const by = (state.to - state.from) * share;
  show(state.from + by, state.to + by);
}

// reveal moves what is shown so that a time span is well in sight, at the zoom that there is.
function reveal(from, to) {
  const width = state.to - state.from, edge = width * .04;
  if (from >= state.from + edge && to <= state.to - edge) return;
  const middle = Math.min((from + to) / 2, from + width / 2);
  show(middle - width / 2, middle + width / 2);
}

// frame shows a time span with room on both sides.
function frame(from, to) {
  const room = Math.max((to - from) * 1.2, spanMin * 20);
  show(from - room, to + room);
}

function timeAt(x, width) {
  return state.from + (x - GUTTER) / (width - GUTTER - MARGIN) * (state.to - state.from);
}

function placeOf(time, width) {
  return GUTTER + (time - state.from) / (state.to - state.from) * (width - GUTTER - MARGIN);
}

// Canvases know no CSS variables, so an element is asked what they are in this theme.
const theme = {};
const probe = document.body.appendChild(element("i", { className: "spoken" }));
function readTheme() {
  for (const name of ["paper", "card", "ink", "soft", "line", "grid", "stripe", "read", "write", "unknown", "refused", "holds", "broken",
    "network", "process", "disk", "clock", "moment", "tint"]) {
    probe.style.color = `var(--${name})`;
    theme[name] = getComputedStyle(probe).color;
  }
  theme.sans = getComputedStyle(document.body).fontFamily;
  changed();
}

function dark() {
  const set = document.documentElement.style.colorScheme;
  return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// sized makes a canvas as large as the screen's own dots, and gives its context in CSS pixels.
function sized(canvas, height) {
  const ratio = devicePixelRatio || 1, width = canvas.parentElement.clientWidth;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = height + "px";
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.textBaseline = "middle";
  return { context, width, height };
}

// ticks are round times in sight, about a hundred pixels apart, on a narrow screen less.
function ticks(width) {
  const want = (state.to - state.from) / Math.max(2, (width - GUTTER) / (width < 600 ? 64 : 110));
  const power = 10 ** Math.floor(Math.log10(want));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= want);
  const list = [];
  for (let t = Math.ceil(state.from / step) * step; t <= state.to; t += step) list.push(t);
  return { step, list };
}
