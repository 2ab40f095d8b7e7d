"use strict";
// The lanes: faults behind, operations before them, those of a proof on top.

const lanesCanvas = document.getElementById("lanes");

function paintLanes() {
  const frame = sized(lanesCanvas, layout.height);
  paintLaneNames(frame);
  paintAxis(frame);
  clipToPlot(frame);
  paintFaults(frame);
  for (const lane of layout.lanes) paintLane(frame, lane);
  paintProven(frame);
  paintPointer(frame, layout.height);
  frame.context.restore();
}

function clipToPlot({ context, width, height }) {
  context.save();
  context.beginPath();
  context.rect(GUTTER, 0, width - GUTTER - MARGIN + 6, height);
  context.clip();
}

function paintLaneNames({ context, width }) {
  context.font = `12px ${theme.sans}`;
  context.textAlign = "left";
  let last = -Infinity;
  layout.lanes.forEach((lane, n) => {
    if (n % 2) {
      context.fillStyle = theme.stripe;
      context.fillRect(0, lane.y, width, lane.height);
    }
    const middle = lane.y + lane.height / 2;
    if (middle - last < 13) return; // a name that would lie on another says nothing
    last = middle;
    context.fillStyle = theme.soft;
    context.fillText(lane.name, 14, middle, GUTTER - 20);
  });
}

function paintAxis({ context, width, height }) {
  const { step, list } = ticks(width);
  context.font = `11.5px ${theme.sans}`;
  context.textAlign = "center";
  for (const t of list) {
    const x = Math.round(placeOf(t, width)) + .5;
    context.fillStyle = theme.grid;
    context.fillRect(x - .5, HEAD - 4, 1, height - HEAD);
    context.fillStyle = theme.soft;
    if (x > GUTTER + 18 && x < width - 24) context.fillText(moment(t, step), x, HEAD / 2);
  }
}

// paintFaults draws a band over the lanes that a fault concerns: those of its nodes, or all if lanes are clients.
function paintFaults({ context, width }) {
  run.faults.forEach((fault, n) => {
    const left = placeOf(fault.from, width), right = placeOf(fault.to, width);
    if (right < GUTTER || left > width) return;
    const color = theme[family(fault.kind)];
    context.fillStyle = color;
    const concerned = layout.lanes.filter((lane) => lane.node < 0 || fault.nodes.length === 0 || fault.nodes.includes(lane.node));
    for (const lane of concerned) {
      context.globalAlpha = bandOpacity(fault, .1);
      context.fillRect(left, lane.y, Math.max(1, right - left), lane.height);
    }
    if (fault.to > fault.from && right - left > 3) {
      context.globalAlpha = bandOpacity(fault, .4);
      for (const x of [left, right - 1]) context.fillRect(x, layout.top, 1, layout.bottom - layout.top);
    }
    paintFaultLabel(context, fault, layout.tracks.track[n], left, right, width);
    context.globalAlpha = 1;
  });
}

function paintFaultLabel(context, fault, track, left, right, width) {
  if (track < 0) return;
  const y = HEAD + track * TRACK;
  context.globalAlpha = 1;
  if (fault.to === fault.from) {
    context.beginPath();
    context.moveTo(left - 4.5, y + 5);
    context.lineTo(left + 4.5, y + 5);
    context.lineTo(left, y + 13);
    context.fill();
    return;
  }
  context.globalAlpha = .22;
  context.fillRect(left, y, Math.max(2, right - left), TRACK - 3);
  context.globalAlpha = 1;
  const from = Math.max(left, GUTTER) + 6, room = Math.min(right, width) - from - 4;
  context.font = `11.5px ${theme.sans}`;
  context.textAlign = "left";
  const words = [fault.words, fault.words.split(": ")[0], fault.kind].find((w) => context.measureText(w).width <= room);
  if (!words) return;
  context.fillStyle = theme.ink;
  context.fillText(words, from, y + (TRACK - 3) / 2 + .5);
}

// paintLane draws operations that are wide enough one by one. Of those that share a pixel of a line only the first, and the
// first of each worse outcome, is drawn: that bounds a frame by the width of the screen, however long the history is.
function paintLane({ context, width }, lane) {
  const last = new Int32Array(lane.depth).fill(-1), worst = new Uint8Array(lane.depth);
  const height = Math.max(2, layout.bar - (layout.bar > 8 ? 3 : 1));
  for (let k = firstAtOrAfter(lane.list, state.from - lane.longest); k < lane.list.length; k++) {
    const i = lane.list[k];
    if (ops.call[i] > state.to) break;
    if (proven.has(i) || i === state.selected) continue;
    const left = placeOf(ops.call[i], width), right = placeOf(ops.end[i], width);
    if (right < GUTTER - 60) continue;
    const line = layout.line[i], rank = 1 + (ops.style[i] >> 1) * 2 + (dimmed(i) ? 0 : 1);
    if (right - left < 1.5) {
      if (last[line] === Math.floor(left) && worst[line] >= rank) continue;
      worst[line] = last[line] === Math.floor(left) ? Math.max(rank, worst[line]) : rank;
      last[line] = Math.floor(left);
    }
    context.globalAlpha = dimmed(i) ? .13 : 1;
    paintBar(context, i, left, right, topOf(i, lane), height);
  }
  context.globalAlpha = 1;
}

// tail is how far an open end fades, in pixels: no further than the bar is long, so that many of them leave room to see.
function tail(wide) { return Math.min(46, Math.max(4, wide)); }

function paintBar(context, i, left, right, y, height) {
  const style = ops.style[i], wide = Math.max(1.4, right - left);
  context.fillStyle = theme[toneOf(style)];
  if (style & UNKNOWN) {
    const open = height >= 5 && wide >= 3; // below that no fading can be seen
    if (open) context.fillStyle = fade(context, left, wide);
    context.fillRect(left, y, wide + (open ? tail(wide) : 1), height);
  } else if (style & REFUSED) {
    if (wide < 5 || height < 5) context.fillRect(left, y, wide, height);
    else {
      context.strokeStyle = context.fillStyle;
      context.lineWidth = 1.2;
      context.strokeRect(left + .6, y + .6, wide - 1.2, height - 1.2);
    }
  } else if (wide > 6 && height > 6) {
    context.beginPath();
    context.roundRect(left, y, wide - .6, height, Math.min(2.5, wide / 6));
    context.fill();
  } else {
    context.fillRect(left, y, wide > 3 ? wide - .6 : wide, height);
  }
  if (wide > 44 && height > 12) paintBarLabel(context, i, left, right, y, height);
}

function fade(context, left, wide) {
  const gradient = context.createLinearGradient(left, 0, left + wide + tail(wide), 0);
  // Of its own colour without any opacity: "transparent" is black, and would darken on the way.
  const full = theme.unknown, clear = full.replace("rgb(", "rgba(").replace(")", ", 0)");
  gradient.addColorStop(0, full);
  gradient.addColorStop(wide / (wide + tail(wide)) * .6, full);
  gradient.addColorStop(1, clear);
  return gradient;
}

function paintBarLabel(context, i, left, right, y, height) {
  const from = Math.max(left, GUTTER) + 5, room = right - from - 4;
  const text = shortLabel(operation(i));
  context.font = `11px ${theme.sans}`;
  context.textAlign = "left";
  if (context.measureText(text).width > room) return;
  context.fillStyle = ops.style[i] & (REFUSED | UNKNOWN) ? theme.ink : theme.card;
  context.fillText(text, from, y + height / 2 + .5);
}

// paintProven draws the operations of the proofs and the chosen one, so that they are seen at any zoom.
function paintProven({ context, width }) {
  const list = [...proven.keys()].sort((a, b) => Boolean(proven.get(a)) - Boolean(proven.get(b)));
  for (const i of state.selected >= 0 ? [...list, state.selected] : list) {
    const lane = laneOf(i), y = topOf(i, lane), height = Math.max(3, layout.bar - (layout.bar > 8 ? 3 : 1));
    const left = placeOf(ops.call[i], width), right = Math.max(left + 3, placeOf(ops.end[i], width));
    if (right < GUTTER || left > width) continue;
    context.globalAlpha = dimmed(i) && i !== state.selected ? .4 : 1;
    paintBar(context, i, left, right, y, height);
    const accused = Boolean(proven.get(i)), color = accused || proven.has(i) ? theme.broken : theme.ink;
    context.strokeStyle = color;
    context.lineWidth = i === state.selected ? 2.4 : 1.6;
    context.strokeRect(left - 2, y - 2, right - left + 4, height + 4);
    if (accused) paintFlag(context, (left + right) / 2, y - 4);
    context.globalAlpha = 1;
  }
}

function paintFlag(context, x, y) {
  context.fillStyle = theme.broken;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x - 6, y - 9);
  context.lineTo(x + 6, y - 9);
  context.fill();
}

function paintPointer({ context, width }, height) {
  if (state.pointer === null) return;
  context.fillStyle = theme.soft;
  context.globalAlpha = .5;
  context.fillRect(Math.round(placeOf(state.pointer, width)), 0, 1, height);
  context.globalAlpha = 1;
}
