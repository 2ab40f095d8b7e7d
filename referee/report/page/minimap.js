"use strict";
// The whole run in small, with a window that can be dragged.

const minimapCanvas = document.getElementById("minimap");
const MAP = 46;

function mapPlace(time, width) { return GUTTER + time / run.span * (width - GUTTER - MARGIN); }
function mapTime(x, width) { return (x - GUTTER) / (width - GUTTER - MARGIN) * run.span; }

function paintMinimap() {
  const { context, width } = sized(minimapCanvas, MAP);
  context.font = `12px ${theme.sans}`;
  context.textAlign = "left";
  context.fillStyle = theme.soft;
  context.fillText("all", 14, MAP / 2);
  paintMapFaults(context, width);
  intervals.done.forEach((done, k) => {
    const left = mapPlace(k * intervals.width, width), wide = Math.max(1, mapPlace((k + 1) * intervals.width, width) - left - .5);
    const bad = intervals.refused[k] + intervals.unknown[k];
    const tall = (done + bad) / mostAnswers * (MAP - 14), part = bad / mostAnswers * (MAP - 14);
    context.fillStyle = theme.refused;
    context.globalAlpha = .65;
    context.fillRect(left, MAP - 4 - tall, wide, tall);
    context.fillStyle = theme.unknown;
    context.globalAlpha = 1;
    if (bad) context.fillRect(left, MAP - 4 - tall, wide, Math.max(2, part));
  });
  for (const i of proven.keys()) {
    context.fillStyle = theme.broken;
    context.fillRect(mapPlace(ops.call[i], width) - 1, 3, 2, MAP - 6);
  }
  paintWindow(context, width);
}

function paintMapFaults(context, width) {
  for (const fault of run.faults) {
    const left = mapPlace(fault.from, width);
    context.fillStyle = theme[family(fault.kind)];
    context.globalAlpha = bandOpacity(fault, .14);
    context.fillRect(left, 4, Math.max(1, mapPlace(fault.to, width) - left), MAP - 8);
  }
  context.globalAlpha = 1;
}

function paintWindow(context, width) {
  const left = mapPlace(state.from, width), right = mapPlace(state.to, width);
  context.fillStyle = theme.card;
  context.globalAlpha = .7;
  context.fillRect(GUTTER, 0, left - GUTTER, MAP);
  context.fillRect(right, 0, width - MARGIN - right, MAP);
  context.globalAlpha = 1;
  context.strokeStyle = theme.soft;
  context.lineWidth = 1;
  context.strokeRect(left + .5, 2.5, Math.max(2, right - left - 1), MAP - 5);
  context.fillStyle = theme.soft;
  for (const x of [left, right]) {
    context.beginPath();
    context.roundRect(x - 3, MAP / 2 - 9, 6, 18, 3);
    context.fill();
  }
}

// brush moves the window, one of its ends, or draws a new one, by where the drag begins.
function brush() {
  let drag = null;
  const at = (event) => {
    const box = minimapCanvas.getBoundingClientRect();
    return { x: event.clientX - box.left, time: mapTime(event.clientX - box.left, box.width), width: box.width };
  };
  minimapCanvas.addEventListener("pointerdown", (event) => {
    const { x, time, width } = at(event);
    const left = mapPlace(state.from, width), right = mapPlace(state.to, width);
    const whole = state.to - state.from >= run.span;
    if (Math.abs(x - left) < 8) drag = { fixed: state.to };
    else if (Math.abs(x - right) < 8) drag = { fixed: state.from };
    else if (x > left && x < right && !whole) drag = { offset: time - state.from };
    else drag = { fixed: time };
    minimapCanvas.setPointerCapture(event.pointerId);
  });
  minimapCanvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const { time } = at(event);
    if (drag.offset !== undefined) show(time - drag.offset, time - drag.offset + state.to - state.from);
    else show(Math.min(time, drag.fixed), Math.max(time, drag.fixed));
  });
  const end = () => { drag = null; };
  minimapCanvas.addEventListener("pointerup", end);
  minimapCanvas.addEventListener("pointercancel", end);
  minimapCanvas.addEventListener("dblclick", showAll);
}
