"use strict";
// What Go wrote: the page's data, and the run as lines of JSON, of which a line is parsed only when someone looks at it.

const run = JSON.parse(document.getElementById("data").textContent);

// The properties of operation i, each in an array of its own, which a frame can walk through 50,000 of.
const ops = {
  count: run.ops.id.length,
  id: Int32Array.from(run.ops.id),
  client: Int32Array.from(run.ops.client),
  node: Int32Array.from(run.ops.node),
  key: Int32Array.from(run.ops.key),
  call: Float64Array.from(run.ops.call),
  end: Float64Array.from(run.ops.return),
  style: Uint8Array.from(run.ops.style),
};

const WRITE = 1, REFUSED = 2, UNKNOWN = 4;

const indexOfID = new Map(run.ops.id.map((id, i) => [id, i]));

// The operations of each key, in the order of their calls.
const opsOfKey = run.keys.map(() => []);
for (let i = 0; i < ops.count; i++) for (const key of keysOf(i)) opsOfKey[key].push(i);

// What the proofs say, by the index of the operation: the sentence about the accused, "" about the others.
const proven = new Map();
for (const verdict of run.verdicts) {
  if (!verdict.proof) continue;
  for (const op of verdict.proof.ops) {
    const i = indexOfID.get(op.id);
    if (i !== undefined) proven.set(i, proven.get(i) || (op.accused ? sentenceOf(verdict) : ""));
  }
}

function sentenceOf(verdict) {
  return verdict.proof.sentence || verdict.why;
}

function keysOf(i) {
  const also = run.ops.also[i];
  return also ? [ops.key[i], ...also] : [ops.key[i]];
}

function touches(i, key) {
  return ops.key[i] === key || (run.ops.also[i] || []).includes(key);
}

let lines = null;
const parsed = new Map();

// operation is all that the history says of operation i. The first line is the run itself.
function operation(i) {
  lines = lines || document.getElementById("run").textContent.split("\n");
  if (!parsed.has(i)) parsed.set(i, JSON.parse(lines[i + 1]));
  return parsed.get(i);
}

// exported is the run as Run.Export writes it.
function exported() {
  return document.getElementById("run").textContent.trim() + "\n";
}

// firstAtOrAfter is the place of the first index in a list, sorted by call, that was called at a time or later.
function firstAtOrAfter(list, time) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ops.call[list[middle]] < time) low = middle + 1; else high = middle;
  }
  return low;
}
