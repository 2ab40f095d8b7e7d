"use strict";
// What is said of one operation: a tip under the pointer, and a card for the chosen one.

const tip = document.getElementById("tip");
const details = document.getElementById("details");

function placeTip(x, y, ...content) {
  if (!content.length) { tip.hidden = true; return; }
  tip.replaceChildren(...content);
  tip.hidden = false;
  const stage = document.getElementById("stage");
  const left = x + 16 + tip.offsetWidth > stage.clientWidth ? x - tip.offsetWidth - 12 : x + 16;
  tip.style.left = Math.max(4, left) + "px";
  tip.style.top = Math.max(4, Math.min(y + 14, stage.clientHeight - tip.offsetHeight - 4)) + "px";
}

function tipOfOp(i) {
  const o = operation(i);
  const parts = [element("b", { textContent: shortLabel(o) }),
    element("small", { textContent: `${keyName(i)} · client ${o.client}${o.node ? " · node " + o.node : ""} · ${took(i)}` }),
    element("small", { textContent: outcomeWords(o) })];
  if (proven.get(i)) parts.push(element("small", { textContent: proven.get(i) }));
  return parts;
}

function tipOfFault(fault) {
  const when = fault.to > fault.from ? `${duration(fault.from)} to ${duration(fault.to)}, for ${duration(fault.to - fault.from)}` : "at " + duration(fault.from);
  return [element("b", { textContent: fault.words }), element("small", { textContent: when })];
}

function keyName(i) { return keysOf(i).map((key) => run.keys[key]).join(", "); }

function took(i) {
  return ops.style[i] & UNKNOWN ? `given up after ${duration(ops.end[i] - ops.call[i])}` : duration(ops.end[i] - ops.call[i]);
}

// choose opens the details of an operation and lights all of its key; -1 closes them.
function choose(i) {
  state.selected = i === undefined ? -1 : i;
  if (state.selected >= 0) {
    showDetails(i);
    reveal(ops.call[i], ops.end[i]);
    window.history.replaceState(null, "", "#op=" + ops.id[i]);
  } else {
    details.hidden = true;
    window.history.replaceState(null, "", "#");
  }
  changed();
}

// chooseProven shows an operation of the proof among all others of that time.
function chooseProven(id) {
  frameProof();
  choose(indexOfID.get(id));
  document.getElementById("timeline").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

// rows are the properties that the history tells of an operation, in the order in which people ask for them.
function rows(i, o) {
  const list = [["key", keyName(i)], ["client", o.client], ["session", o.session], ["node", o.node], ["asked for", o.level], ["met", o.met],
    ["called", moment(ops.call[i], (ops.end[i] - ops.call[i]) / 5)], ["took", took(i)], ["outcome", outcomeWords(o)],
    ["value", o.value], ["expected", o.expect], ["delta", o.delta], ["read", o.kind === "get" && o.code === "ok" ? o.got || "" : o.got], ["number", o.int],
    ["version", exact(i, "version")], ["stamp", o.stamp], ["position", exact(i, "position")], ["group", o.group], ["how", o.where]];
  for (const s of o.subs || []) list.push([s.kind, [s.key, s.value, s.got].filter(Boolean).join(" · ")]);
  return list.filter(([, value]) => value !== undefined && value !== null).map(([title, value]) => [title, shortened(String(value))]);
}

// exact is a number as the line has it: JavaScript's own end at 2^53. Within a text the quote before the colon is escaped.
function exact(i, property) {
  const found = lines[i + 1].match(new RegExp(`"${property}":(\\d+)`));
  return found ? found[1] : undefined;
}

function shortened(text, most = 400) {
  return text.length <= most ? text : `${text.slice(0, most / 2)} … ${text.slice(-most / 2)} (${number(text.length)} characters)`;
}

function showDetails(i) {
  const o = operation(i), same = opsOfKey[ops.key[i]], place = same.indexOf(i);
  const close = element("button", { className: "quiet close", type: "button", title: "close (Esc)", textContent: "×", onclick: () => choose(-1) });
  const parts = [close, element("h3", { textContent: `#${o.id} ${shortLabel(o)}` })];
  if (proven.get(i)) parts.push(element("p", { className: "accusation" }, ...withValues(proven.get(i))));
  parts.push(element("dl", {}, ...rows(i, o).flatMap(([title, value]) => [element("dt", { textContent: title }), element("dd", { textContent: value })])),
    element("div", { className: "walk" },
      element("button", { type: "button", textContent: "←", title: "last on this key (b)", onclick: () => walk(-1), disabled: place === 0 }),
      element("span", { textContent: `${number(place + 1)} of ${number(same.length)} on this key` }),
      element("button", { type: "button", textContent: "→", title: "next on this key (n)", onclick: () => walk(1), disabled: place === same.length - 1 })));
  details.replaceChildren(...parts);
  details.hidden = false;
  placeDetails();
  // On a narrow screen the card stands below the lanes.
  if (getComputedStyle(details).position === "static") details.scrollIntoView({ block: "nearest" });
}

// placeDetails keeps the card off the operation that it speaks of.
function placeDetails() {
  if (details.hidden || state.selected < 0) return;
  const width = details.parentElement.clientWidth;
  details.classList.toggle("left", placeOf(ops.end[state.selected], width) > width - details.offsetWidth - 40);
}

// walk goes to the next operation of the chosen one's key, or to the one before.
function walk(by) {
  const same = state.selected >= 0 ? opsOfKey[ops.key[state.selected]] : state.key >= 0 ? opsOfKey[state.key] : [];
  const next = same[state.selected >= 0 ? same.indexOf(state.selected) + by : 0];
  if (next !== undefined) choose(next);
}
