"use strict";
// Times, numbers and operations in words, and the making of elements. Text from the run enters the page only as text.

function element(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) e.setAttribute(name, value); else e[name] = value;
  }
  e.append(...children);
  return e;
}

function shape(tag, attributes = {}, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

const units = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];

// duration has three digits: 1.23 ms, 45.6 s.
function duration(ns) {
  for (const [name, size] of units) {
    if (Math.abs(ns) >= size || size === 1) {
      const n = ns / size;
      return (Math.abs(n) >= 100 || size === 1 ? Math.round(n) : Number(n.toPrecision(3))) + " " + name;
    }
  }
}

// moment is a time on the axis, with so many digits as tell two marks apart that are a step from each other.
function moment(ns, step) {
  const digits = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(Math.max(1, step)) + 1e-9)));
  return (ns / 1e9).toFixed(digits) + " s";
}

const thousands = new Intl.NumberFormat("en-US");
function number(n) { return thousands.format(n); }

function quoted(value, most = 28) {
  const q = JSON.stringify(value);
  return q.length <= most + 2 ? q : q.slice(0, most / 3) + "…" + q.slice(q.length - most * 2 / 3);
}

// withValues sets what stands in quotes apart: short values are not broken over lines.
function withValues(sentence) {
  return sentence.split(/("(?:[^"\\]|\\.)*")/).map((part, n) => n % 2 ? element("span", { className: part.length < 30 ? "quoted" : "quoted long", textContent: part }) : part);
}

// shortLabel is an operation in the fewest words; long values are for the details.
function shortLabel(o) {
  const done = o.outcome === "done";
  switch (o.kind) {
    case "get":
      if (!done) return "get";
      return "get " + (o.code === "ok" ? quoted(o.got || "") : o.code === "not found" ? "nothing" : o.code);
    case "delete": return "delete";
    case "cas": return "cas " + quoted(o.expect || "") + " → " + quoted(o.value || "");
    case "incr": return "incr by " + (o.delta || 0) + (done && o.code === "ok" ? " = " + (o.int || 0) : "");
    case "txn": return "txn of " + o.subs.length;
  }
  return o.kind + " " + quoted(o.value || "");
}

function toneOf(style) {
  if (style & UNKNOWN) return "unknown";
  if (style & REFUSED) return "refused";
  return style & WRITE ? "write" : "read";
}

function outcomeWords(o) {
  if (o.outcome === "unknown") return "unknown: perhaps executed, perhaps later";
  if (o.outcome === "refused") return "refused: " + o.code + "; certainly not executed";
  return o.code === "ok" ? "done" : "done: " + o.code;
}

// family is the colour of a fault, by what it strikes.
const families = [
  ["network", /cut|partition|flap|link|drop|delay|isolat|reorder|duplicate|straggle|network|coup/],
  ["disk", /disk|sync|damage|unfit|flush|roll|wipe|full|corrupt/],
  ["clock", /clock|wall|rate|skew|jump/],
  ["process", /crash|kill|pause|stop|restart|hang|power|overload/],
];

function family(kind) {
  const found = families.find(([, pattern]) => pattern.test(kind));
  return found ? found[0] : "moment";
}
