"use strict";
// Which operation lies in which lane, and how high. Operations of one lane that overlap lie under each other.

const TRACK = 19; // the height of a line of fault labels
const TRACKS = 4; // so many lines of them at most; what finds no room has its band alone
const HEAD = 24; // the axis
const deepest = 10; // lines in a lane; beyond, operations share a line

let layout = null;

// arrange places everything that does not depend on what part of the time is in sight.
function arrange() {
  const byNode = state.lanes === "node";
  const names = byNode ? [...run.nodes, ""] : run.clients.map((c) => "client " + c);
  const of = byNode ? ops.node : ops.client;
  const members = names.map(() => []);
  for (let i = 0; i < ops.count; i++) members[of[i] < 0 ? names.length - 1 : of[i]].push(i);
  const line = new Int32Array(ops.count);
  const lanes = names.map((name, n) => ({ name: name || "elsewhere", node: byNode ? n : -1, list: members[n], ...stack(members[n], line) }));
  if (byNode && members[names.length - 1].length === 0) lanes.pop();
  measure(lanes, line);
}

// stack gives each operation of a lane the first line that is free at its call.
function stack(list, line) {
  const free = [];
  let longest = 0;
  for (const i of list) {
    let at = free.findIndex((end) => end <= ops.call[i]);
    if (at < 0) at = free.length < deepest ? free.push(0) - 1 : free.indexOf(Math.min(...free));
    free[at] = Math.max(free[at], ops.end[i]);
    line[i] = at;
    longest = Math.max(longest, ops.end[i] - ops.call[i]);
  }
  return { depth: Math.max(1, free.length), longest };
}

function measure(lanes, line) {
  const depth = lanes.reduce((sum, lane) => sum + lane.depth, 0);
  const height = Math.max(3, Math.min(24, Math.floor(470 / depth)));
  const gap = height > 12 ? 9 : height > 5 ? 4 : 2;
  const tracks = packFaults();
  let y = HEAD + tracks.count * TRACK + (tracks.count ? 7 : 0);
  const top = y;
  for (const lane of lanes) {
    lane.y = y;
    lane.height = lane.depth * height + gap;
    y += lane.height;
  }
  layout = { lanes, line, bar: height, gap, top, bottom: y, height: y + 6, tracks };
}

// packFaults gives each lasting fault a line above the lanes, where its label fits.
function packFaults() {
  const ends = [], track = run.faults.map((f) => {
    let at = ends.findIndex((end) => end <= f.from);
    if (at < 0) at = ends.length < TRACKS ? ends.push(0) - 1 : -1;
    if (at >= 0) ends[at] = Math.max(f.to, f.from + run.span / 200);
    return at;
  });
  return { track, count: ends.length };
}

// crowd is how many faults go on at once where they are most. Bands that lie over each other must not hide what they are behind.
const crowd = (() => {
  const turns = run.faults.filter((f) => f.to > f.from).flatMap((f) => [[f.from, 1], [f.to, -1]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let now = 0, most = 0;
  for (const [, by] of turns) most = Math.max(most, now += by);
  return most;
})();
const marks = run.faults.filter((f) => f.to === f.from).length;

// bandOpacity is full for a few bands, and shared among many.
function bandOpacity(fault, full) {
  return fault.to > fault.from ? Math.min(full, full * 4 / crowd) : Math.min(.45, 9 / marks);
}

function topOf(i, lane) {
  return lane.y + layout.gap / 2 + layout.line[i] * layout.bar;
}

function laneOf(i) {
  const of = state.lanes === "node" ? ops.node[i] : ops.client[i];
  return layout.lanes[of < 0 ? layout.lanes.length - 1 : of];
}

// opAt is the operation under a point; short ones count as a few pixels wide, and those of a proof come first.
function opAt(x, y, width) {
  const lane = layout.lanes.find((l) => y >= l.y && y < l.y + l.height);
  if (!lane) return -1;
  const time = timeAt(x, width), slack = 4 * (state.to - state.from) / (width - GUTTER - MARGIN);
  const line = Math.min(lane.depth - 1, Math.max(0, Math.floor((y - lane.y - layout.gap / 2) / layout.bar)));
  let best = -1, nearest = Infinity;
  for (let k = firstAtOrAfter(lane.list, time - lane.longest - slack); k < lane.list.length; k++) {
    const i = lane.list[k];
    if (ops.call[i] > time + slack) break;
    if (layout.line[i] !== line || ops.end[i] < time - slack) continue;
    const distance = Math.max(0, ops.call[i] - time, time - ops.end[i]) - (proven.has(i) ? slack : 0) - (dimmed(i) ? 0 : slack);
    if (distance < nearest) [best, nearest] = [i, distance];
  }
  return best;
}

// faultAt is the fault whose label lies under a point.
function faultAt(x, y, width) {
  if (y < HEAD || y >= layout.top) return -1;
  const time = timeAt(x, width), slack = 5 * (state.to - state.from) / (width - GUTTER - MARGIN);
  const track = Math.floor((y - HEAD) / TRACK);
  return run.faults.findIndex((f, n) => layout.tracks.track[n] === track && f.from - slack <= time && f.to + slack >= time);
}

// litKey is the key to which everything else steps back; -1 if none.
function litKey() {
  if (state.key >= 0) return state.key;
  return state.selected >= 0 ? ops.key[state.selected] : -1;
}

function dimmed(i) {
  const key = litKey();
  return key >= 0 && !touches(i, key);
}
