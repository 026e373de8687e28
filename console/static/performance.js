// Draws accuracy and weighted F1 over the weeks, with their intervals. The table says the same.
"use strict";

const figure = document.getElementById("over-time");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function columns(rows, key) {
  return rows.map((row) => row[key]);
}

function options(width) {
  const ink = colour("--soft");
  const line = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: ink, grid: line, ticks: line };
  const accent = colour("--accent");
  const warn = colour("--warn");
  const edge = (label, stroke) => ({ label, stroke, width: 0.5, spanGaps: true, points: { show: false }, class: "edge" });
  const middle = (label, stroke) => ({ label, stroke, width: 2, spanGaps: true, points: { show: true } });
  return {
    width,
    height: 280,
    padding: [null, 40, null, null],   // the last date stands half beside the plot
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { y: { range: (plot, low, high) => [Math.max(0, low - 0.02), Math.min(1, high + 0.02)] } },
    axes: [{ ...axis, values: "{YYYY}-{MM}-{DD}", space: 100 }, { ...axis, size: 60 }],
    series: [
      { label: "week from", value: "{YYYY}-{MM}-{DD}" },
      middle("accuracy", accent),
      edge("accuracy, low", accent),
      edge("accuracy, high", accent),
      middle("weighted F1", warn),
      edge("weighted F1, low", warn),
      edge("weighted F1, high", warn),
      { label: "estimate", stroke: ink, dash: [6, 4], spanGaps: true },
    ],
    bands: [
      { series: [3, 2], fill: accent + "22" },
      { series: [6, 5], fill: warn + "22" },
    ],
  };
}

async function draw() {
  const answer = await fetch(figure.dataset.source);
  if (!answer.ok) return;
  const rows = (await answer.json()).performance;
  if (!rows.length) return;
  const keys = ["accuracy", "accuracy_low", "accuracy_high"];
  keys.push("weighted_f1", "weighted_f1_low", "weighted_f1_high", "estimated_accuracy");
  const data = [rows.map((row) => Date.parse(row.week) / 1000), ...keys.map((key) => columns(rows, key))];
  figure.hidden = false;
  const plot = new uPlot(options(figure.clientWidth), data, figure);
  new ResizeObserver(() => plot.setSize({ width: figure.clientWidth, height: 280 })).observe(figure);
}

if (figure) draw();
