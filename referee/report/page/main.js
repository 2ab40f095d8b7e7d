"use strict";
// Fills the page and starts it.

function text(id, words) { document.getElementById(id).textContent = words; }

// A value that is a sentence has lines of its own.
const LONG = 24;

function defined(id, list) {
  document.getElementById(id).append(...list.map(({ name: title, value }) => element("div", { className: value.length > LONG ? "long" : "" }, element("dt", { textContent: title }), element("dd", { textContent: value }))));
}

function fillVerdict() {
  document.getElementById("verdict").classList.add(run.decision);
  text("mark", { holds: "✓", broken: "✗", undecided: "?" }[run.decision]);
  const eyebrow = document.getElementById("eyebrow");
  eyebrow.append(element("b", { textContent: run.consistency }), run.keyspace ? ` keyspace ${run.keyspace}` : "", ` · ${run.world}`, run.seed ? ` · seed ${run.seed}` : "");
  text("headline", run.headline);
  document.getElementById("sentence").append(...withValues(run.sentence));
  const promise = document.getElementById("promise");
  if (run.promise) promise.append(element("b", { textContent: run.consistency + ": " }), run.promise[0].toLowerCase() + run.promise.slice(1));
  defined("facts", run.facts);
  document.getElementById("where").append(element("b", { textContent: run.title }));
}

function fillChecks() {
  document.querySelector("#verdicts tbody").append(...run.verdicts.map((v) => element("tr", {},
    element("td", { textContent: v.check }),
    element("td", {}, element("span", { className: "badge " + v.decision, textContent: v.decision })),
    element("td", { className: "number", textContent: v.judged ? number(v.judged) : "–" }),
    element("td", {}, element("p", { className: "asks", textContent: v.doc || "" }),
      element("p", { className: "found", textContent: [v.pattern, v.key && "key " + v.key, v.why].filter(Boolean).join(" · ") })))));
  document.getElementById("checks").hidden = run.verdicts.length === 0;
}

function fillLegend() {
  const kinds = [["read", "read"], ["write", "write"], ["refused", "refused"], ["unknown", "unknown, open end"]];
  const words = { process: "process", network: "network", disk: "disk", clock: "clock", moment: "other event" };
  const struck = Object.keys(words).filter((name) => run.faults.some((f) => family(f.kind) === name));
  document.getElementById("legend").append(
    ...kinds.map(([tone, title]) => element("li", { className: "tone-" + tone }, element("i"), title)),
    ...struck.map((name) => {
      const item = element("li", { className: "fault" }, element("i"), words[name]);
      item.style.setProperty("--tone", `var(--${name})`);
      return item;
    }));
}

function fillTimeline() {
  text("timeline-note", run.sampled || `Each bar is an operation, from its call to its return. Click one to light all of its key.`);
  document.getElementById("keys").append(...run.keys.slice(0, 2000).map((key) => element("option", { value: key })));
  document.getElementById("to-proof").hidden = !shownVerdict;
}

function replayWords() {
  if (!run.seed) return "The run was made without a seed; its history can be judged again.";
  if (run.world === "simulated") return `The run is a function of its seed, ${run.seed}: the same command gives the same run, to the last message.`;
  return `Workload and faults follow from the seed, ${run.seed}; how the machines answered does not.`;
}

function fillReplay() {
  text("replay-words", replayWords());
  text("command", run.replay);
  document.getElementById("replay-line").hidden = !run.replay;
  text("download-words", run.sampled ? "as JSON lines: the sample that is drawn" : "as JSON lines: the run, then an operation a line");
  defined("counters", run.counters);
  document.getElementById("counted").hidden = run.counters.length === 0;
  document.querySelector(".pair").classList.toggle("single", run.counters.length === 0);
}

// openAddressed opens the operation that the address names, so that a link can point at one.
function openAddressed() {
  const found = location.hash.match(/^#op=(\d+)$/);
  if (found && indexOfID.has(Number(found[1]))) choose(indexOfID.get(Number(found[1])));
}

readTheme();
arrange();
painters.push(paintMinimap, paintLanes, paintStrips, placeDetails);
fillVerdict();
startProof();
fillChecks();
fillLegend();
fillTimeline();
fillReplay();
useControls();
openAddressed();
changed();

// For people at the console, and for tests: where an operation is drawn, in pixels of the lanes' canvas.
window.report = {
  run, state, show, choose, operation,
  pointOf(id) {
    const i = indexOfID.get(id), lane = laneOf(i);
    return { x: placeOf((ops.call[i] + ops.end[i]) / 2, lanesCanvas.clientWidth), y: topOf(i, lane) + layout.bar / 2 };
  },
};
