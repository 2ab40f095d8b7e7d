"use strict";
// The counterexample: the few operations of a proof, a lane for each client, and the arrows that bind them. Time is in order
// but not to scale: operations that lie far apart would else be too small to read.

const picture = document.getElementById("proof-picture");
const pictureRow = { height: 92, bar: 34, top: 46 };
let shownVerdict = null;

function measured(text, font) {
  const context = measured.context = measured.context || document.createElement("canvas").getContext("2d");
  context.font = font;
  return context.measureText(text).width;
}

// warp gives each call and return a place, so that every bar has room for its label, and every arrow in time for its words.
function warp(proof, width) {
  const times = [...new Set(proof.ops.flatMap((op) => [op.call, op.return]))].sort((a, b) => a - b);
  const at = new Map(times.map((t, k) => [t, k]));
  const gaps = times.slice(1).map((t, k) => 22 + 5 * Math.log10(1 + (t - times[k]) / 1000));
  const needs = proof.ops.map((op) => [at.get(op.call), at.get(op.return), labelWidth(op)]);
  for (const arrow of proof.arrows) {
    const a = proof.ops[arrow.from], b = proof.ops[arrow.to];
    if (a.return < b.call) needs.push([at.get(a.return), at.get(b.call), a.client === b.client ? measured(arrow.label, "11.5px sans-serif") + 34 : 40]);
  }
  for (const [from, to, need] of needs.sort((a, b) => (a[1] - a[0]) - (b[1] - b[0]))) {
    const have = gaps.slice(from, to).reduce((sum, gap) => sum + gap, 0);
    for (let k = from; k < to && have < need; k++) gaps[k] += (need - have) / (to - from);
  }
  const total = gaps.reduce((sum, gap) => sum + gap, 0) || 1;
  const stretch = Math.max(1, width / total);
  const places = [0];
  for (const gap of gaps) places.push(places[places.length - 1] + gap * stretch);
  return { times, places, width: places[places.length - 1] };
}

function labelWidth(op) { return measured(op.label, `600 12.5px ${monoFont()}`) + 48; }
function monoFont() { return getComputedStyle(document.documentElement).getPropertyValue("--mono"); }

// placeIn finds a time that may lie between the operations, or outside them.
function placeIn(warped, time) {
  const { times, places } = warped;
  if (time <= times[0]) return time < times[0] ? -24 : 0;
  for (let k = 1; k < times.length; k++) {
    if (time <= times[k]) return places[k - 1] + (time - times[k - 1]) / (times[k] - times[k - 1]) * (places[k] - places[k - 1]);
  }
  return warped.width + 24;
}

function paintProof() {
  if (!shownVerdict) return;
  const proof = shownVerdict.proof;
  const clients = [...new Set(proof.ops.map((op) => op.client))];
  const left = 92, right = 34;
  const warped = warp(proof, Math.max(420, picture.clientWidth - 30) - left - right);
  const bands = bandsOf(proof);
  const top = 10 + bands.length * 20;
  const width = left + warped.width + right, height = top + clients.length * pictureRow.height + 14;
  const svg = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "the operations of the proof" }, arrowHeads());
  const x = (time) => left + placeIn(warped, time);
  paintBands(svg, bands, x, height);
  clients.forEach((client, n) => {
    const y = top + n * pictureRow.height + pictureRow.top + pictureRow.bar / 2;
    svg.append(shape("text", { class: "lane", x: 4, y: y + 4 }, "client " + client),
      shape("line", { class: "rail", x1: left - 12, x2: width - 6, y1: y, y2: y }));
  });
  const boxes = proof.ops.map((op) => ({ left: x(op.call), right: x(op.return), top: top + clients.indexOf(op.client) * pictureRow.height + pictureRow.top }));
  const read = proof.arrows.some((arrow) => kindOf(arrow) === "value" && boxes[arrow.from].top === boxes[arrow.to].top);
  const words = proof.arrows.map((arrow) => paintArrow(svg, arrow, boxes, read));
  proof.ops.forEach((op, n) => svg.append(opShape(op, n, boxes[n])));
  svg.append(...words);
  picture.replaceChildren(svg);
}

function arrowHeads() {
  return shape("defs", {}, ...["time", "value", "against"].map((kind) => shape("marker",
    { id: "head-" + kind, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
    shape("path", { d: "M0 .6 7.4 4 0 7.4z", fill: { time: theme.soft, value: theme.write, against: theme.broken }[kind] }))));
}

// bandsOf are the faults of that time, the longest first; of many only a few, the timeline has them all.
function bandsOf(proof) {
  const from = Math.min(...proof.ops.map((op) => op.call)), to = Math.max(...proof.ops.map((op) => op.return));
  return run.faults.filter((f) => f.to > f.from && f.from < to && f.to > from).sort((a, b) => (b.to - b.from) - (a.to - a.from)).slice(0, 3);
}

function paintBands(svg, bands, x, height) {
  bands.forEach((fault, n) => {
    const left = Math.max(84, x(fault.from)), right = x(fault.to), y = 4 + n * 20;
    const text = shape("text", { x: left + 8, y: y + 14 }, fault.words);
    svg.append(shape("g", { class: "band" }, shape("rect", { x: left, y, width: Math.max(2, right - left), height: height - y - 6, rx: 5 }), text));
    svg.lastChild.style.setProperty("--tone", theme[family(fault.kind)]);
  });
}

function opShape(op, n, box) {
  const wide = Math.max(14, box.right - box.left), tone = "tone-" + toneOf(op.style);
  const g = shape("g", { class: `op ${tone}${op.accused ? " accused" : ""}`, "data-id": op.id, "data-step": n, tabindex: 0, role: "button", "aria-label": op.words });
  g.append(shape("rect", { x: box.left, y: box.top, width: wide, height: pictureRow.bar, rx: 6 }),
    shape("circle", { cx: box.left + 18, cy: box.top + pictureRow.bar / 2, r: 9.5 }),
    shape("text", { class: "number", x: box.left + 18, y: box.top + pictureRow.bar / 2 + 4, "text-anchor": "middle" }, `${n + 1}`),
    shape("text", { x: box.left + 34, y: box.top + pictureRow.bar / 2 + 4.5 }, op.label));
  if (op.style & UNKNOWN) g.firstChild.setAttribute("stroke-dasharray", "5 4");
  g.addEventListener("click", () => chooseProven(op.id));
  g.addEventListener("keydown", (event) => { if (event.key === "Enter") chooseProven(op.id); });
  g.addEventListener("pointerenter", () => light(n));
  g.addEventListener("pointerleave", () => light(-1));
  return g;
}

// kindOf is how an arrow is drawn: the order in time, a value that was read, or an order that follows from what was read.
function kindOf(arrow) {
  if (arrow.relation === "real time" || arrow.relation === "program order") return "time";
  return arrow.relation === "reads-from" ? "value" : "against";
}

// paintArrow returns the arrow's words, which are drawn last so that no line crosses them. The room above a lane belongs to
// the values that were read, if there are any.
function paintArrow(svg, arrow, boxes, read) {
  const a = boxes[arrow.from], b = boxes[arrow.to];
  const kind = kindOf(arrow);
  const { path, x, y } = kind === "time" ? alongTime(a, b) : overTime(a, b, kind === "value" || !read ? -1 : 1);
  svg.append(shape("path", { class: "arrow " + kind, d: path, "marker-end": `url(#head-${kind})` }));
  return shape("text", { class: "said " + kind, x, y, "text-anchor": "middle" }, arrow.label);
}

// alongTime goes from the end of one bar to the beginning of another.
function alongTime(a, b) {
  const from = { x: a.right, y: a.top + pictureRow.bar / 2 }, to = { x: b.left - 3, y: b.top + pictureRow.bar / 2 };
  const x = (from.x + to.x) / 2, y = (from.y + to.y) / 2;
  if (from.y === to.y) return { path: `M${from.x} ${from.y}H${to.x}`, x, y: y - 7 };
  const bend = Math.max(26, (to.x - from.x) / 2);
  return { path: `M${from.x} ${from.y}C${from.x + bend} ${from.y} ${to.x - bend} ${to.y} ${to.x} ${to.y}`, x, y: y + 4 };
}

// overTime goes from bar to bar past what lies between them: in an arc over the bars of one lane, and else down or up beside the
// first bar's beginning and along the other's lane, where arrows in time do not run.
function overTime(a, b, side) {
  const above = side < 0, middle = pictureRow.bar / 2;
  if (a.top === b.top) {
    const from = { x: (a.left + a.right) / 2, y: above ? a.top : a.top + pictureRow.bar }, to = { x: Math.min(b.left + 22, (b.left + b.right) / 2), y: above ? b.top - 3 : b.top + pictureRow.bar + 3 };
    const depth = from.y + side * 42, onward = Math.sign(to.x - from.x);
    return { path: `M${from.x} ${from.y}C${from.x + 30 * onward} ${depth} ${to.x - 30 * onward} ${depth} ${to.x} ${to.y}`, x: (from.x + to.x) / 2, y: from.y + side * 31 - 7 };
  }
  const down = b.top > a.top, x = a.left + (above ? 18 : 34), lane = b.top + middle + (above ? 10 : -10);
  const end = b.right < x ? b.right + 3 : b.left - 3, onward = Math.sign(end - x);
  const round = Math.min(14, Math.max(0, Math.abs(end - x) - 4));
  const path = `M${x} ${down ? a.top + pictureRow.bar : a.top}V${lane + (down ? -round : round)}Q${x} ${lane} ${x + round * onward} ${lane}H${end}`;
  return { path, x: x + (round + 40) * onward, y: lane + (above ? 17 : -8) };
}

// light marks a step in the picture and in the list.
function light(n) {
  for (const e of document.querySelectorAll("#proof [data-step]")) e.classList.toggle("lit", Number(e.dataset.step) === n);
}

function listSteps() {
  const proof = shownVerdict.proof, list = document.getElementById("proof-steps");
  list.replaceChildren(...proof.ops.map((op, n) => {
    const item = element("li", { className: "tone-" + toneOf(op.style) + (op.accused ? " accused" : ""), "data-step": n }, ...withValues(op.words),
      element("small", { textContent: `#${op.id}, ${moment(op.call, (op.return - op.call) / 5)} to ${op.style & UNKNOWN ? "?" : moment(op.return, (op.return - op.call) / 5)}` }));
    item.addEventListener("click", () => chooseProven(op.id));
    item.addEventListener("pointerenter", () => light(n));
    item.addEventListener("pointerleave", () => light(-1));
    return item;
  }));
  for (const arrow of proof.arrows.filter((a) => a.why)) list.append(element("li", { className: "reason", textContent: `${arrow.from + 1} before ${arrow.to + 1}: ${arrow.why}` }));
  if (proof.more) list.append(element("li", { className: "reason", textContent: `The checker named ${number(proof.more)} more around them.` }));
}

function showProof(verdict) {
  shownVerdict = verdict;
  document.getElementById("proof-note").textContent = [verdict.check, verdict.pattern, verdict.key && "key " + verdict.key, "time is in order, not to scale"].filter(Boolean).join(" · ");
  for (const button of document.querySelectorAll("#proof-choice button")) button.setAttribute("aria-pressed", button.verdict === verdict);
  listSteps();
  paintProof();
}

function startProof() {
  const proofs = run.verdicts.filter((v) => v.proof);
  if (!proofs.length) return;
  document.getElementById("proof").hidden = false;
  if (proofs.length > 1) {
    document.getElementById("proof-choice").append(...proofs.map((v) => {
      const button = element("button", { type: "button", textContent: v.check, onclick: () => showProof(v) });
      button.verdict = v;
      return button;
    }));
  }
  showProof(proofs.find((v) => v.proof.sentence === run.sentence) || proofs[0]);
  new ResizeObserver(paintProof).observe(picture);
}
