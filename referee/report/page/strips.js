"use strict";
// Latency and answers over time, on the axis of the lanes. They are of the whole run, counted in Go in fixed intervals.

const stripsCanvas = document.getElementById("strips");
const latencyStrip = { top: 30, bottom: 112 };
const answerStrip = { top: 148, bottom: 206 };
const intervals = run.intervals;
const percentiles = [["p99", .5, 1], ["p95", .75, 1.2], ["p50", 1, 2]];

// The scale of latencies is logarithmic, over whole powers of ten.
const latencyScale = (() => {
  const known = [...intervals.p50, ...intervals.p99].filter((v) => v > 0);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity), high = known.reduce((a, b) => Math.max(a, b), 1);
  const from = Math.floor(Math.log10(Number.isFinite(low) ? low : 1)), to = Math.max(from + 1, Math.ceil(Math.log10(high)));
  return { from, to, y: (ns) => latencyStrip.bottom - (Math.log10(Math.max(1, ns)) - from) / (to - from) * (latencyStrip.bottom - latencyStrip.top) };
})();

const mostAnswers = intervals.done.reduce((most, n, k) => Math.max(most, n + intervals.refused[k] + intervals.unknown[k]), 1);

function paintStrips() {
  const frame = sized(stripsCanvas, 216);
  paintStripNames(frame);
  clipToPlot(frame);
  paintLatency(frame);
  paintAnswers(frame);
  paintPointer(frame, frame.height);
  frame.context.restore();
}

function paintStripNames({ context, width }) {
  context.font = `12px ${theme.sans}`;
  context.textAlign = "left";
  context.fillStyle = theme.ink;
  context.fillText("latency of what was done", 14, 14);
  context.fillText("answers in each " + duration(intervals.width), 14, 132);
  let x = 14 + context.measureText("latency of what was done").width + 18;
  for (const [name, alpha, thick] of [...percentiles].reverse()) {
    context.globalAlpha = alpha;
    context.fillStyle = theme.write;
    context.fillRect(x, 14 - thick / 2, 14, thick);
    context.globalAlpha = 1;
    context.fillStyle = theme.soft;
    context.fillText(name, x + 19, 14);
    x += 58;
  }
  context.textAlign = "right";
  context.font = `11px ${theme.sans}`;
  for (let power = latencyScale.from; power <= latencyScale.to; power++) {
    const y = latencyScale.y(10 ** power);
    context.fillStyle = theme.grid;
    context.fillRect(GUTTER, Math.round(y), width - GUTTER, 1);
    context.fillStyle = theme.soft;
    if (latencyScale.to - latencyScale.from < 5 || power % 2 === 0) context.fillText(duration(10 ** power), GUTTER - 8, y);
  }
  context.fillText(number(mostAnswers), GUTTER - 8, answerStrip.top + 3);
  context.fillText("0", GUTTER - 8, answerStrip.bottom - 2);
  context.fillStyle = theme.line;
  context.fillRect(GUTTER, answerStrip.bottom, width - GUTTER, 1);
}

function inSight() {
  return [Math.max(0, Math.floor(state.from / intervals.width) - 1), Math.min(intervals.done.length - 1, Math.ceil(state.to / intervals.width) + 1)];
}

// middle is where an interval's figures stand.
function middle(k, width) { return placeOf((k + .5) * intervals.width, width); }

function paintLatency({ context, width }) {
  const [first, last] = inSight();
  context.fillStyle = context.strokeStyle = theme.write;
  context.globalAlpha = .09;
  for (let k = first; k < last; k++) paintSpread(context, k, width);
  for (const [name, alpha, thick] of percentiles) {
    context.globalAlpha = alpha;
    context.lineWidth = thick;
    context.lineJoin = "round";
    context.beginPath();
    let drawing = false;
    for (let k = first; k <= last; k++) {
      const value = intervals[name][k];
      if (value < 0) { drawing = false; continue; }
      const x = middle(k, width), y = latencyScale.y(value);
      if (drawing) context.lineTo(x, y); else { context.moveTo(x - 1, y); context.lineTo(x, y); }
      drawing = true;
    }
    context.stroke();
  }
  context.globalAlpha = 1;
}

// paintSpread fills what lies between the median and the slowest of a hundred, from the middle of an interval to that of the next.
function paintSpread(context, k, width) {
  if (intervals.p50[k] < 0 || intervals.p50[k + 1] < 0) return;
  context.beginPath();
  context.moveTo(middle(k, width), latencyScale.y(intervals.p50[k]));
  context.lineTo(middle(k + 1, width), latencyScale.y(intervals.p50[k + 1]));
  context.lineTo(middle(k + 1, width), latencyScale.y(intervals.p99[k + 1]));
  context.lineTo(middle(k, width), latencyScale.y(intervals.p99[k]));
  context.fill();
}

function paintAnswers({ context, width }) {
  const [first, last] = inSight(), height = answerStrip.bottom - answerStrip.top;
  for (let k = first; k <= last; k++) {
    const left = placeOf(k * intervals.width, width), wide = placeOf((k + 1) * intervals.width, width) - left;
    let y = answerStrip.bottom;
    for (const [list, color] of [[intervals.done, theme.holds], [intervals.refused, theme.refused], [intervals.unknown, theme.unknown]]) {
      if (!list[k]) continue;
      const tall = Math.max(1, list[k] / mostAnswers * height);
      context.fillStyle = color;
      context.globalAlpha = color === theme.holds ? .55 : .95;
      context.fillRect(left, y - tall, Math.max(.8, wide - (wide > 4 ? 1 : 0)), tall);
      y -= tall;
    }
  }
  context.globalAlpha = 1;
}

// intervalWords is what the strips say of a time.
function intervalWords(time) {
  const k = Math.floor(time / intervals.width);
  if (k < 0 || k >= intervals.done.length) return null;
  const total = intervals.done[k] + intervals.refused[k] + intervals.unknown[k];
  const title = `${moment(k * intervals.width, intervals.width)} and the ${duration(intervals.width)} after it`;
  if (!total) return [title, "no answers"];
  const words = [title, `${number(intervals.done[k])} done, ${number(intervals.refused[k])} refused, ${number(intervals.unknown[k])} unknown`];
  if (intervals.done[k]) words.push(percentiles.map(([name]) => `${name} ${duration(intervals[name][k])}`).reverse().join(", "));
  return words;
}
