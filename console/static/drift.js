"use strict";
const LEVELS = [-30, -10, -3, 0, 3, 10, 30, 100];
// Replaces the chart of the page by one that names the values under the pointer and opens a window.
(async () => {
  const place = document.querySelector("figure.drift");
  if (!place || typeof uPlot === "undefined") return;
  const answer = await fetch(place.dataset.source);
  if (!answer.ok) return;
  const { statistics, windows } = await answer.json();
  const judged = windows.filter((window) => Object.keys(window.z).length);
  if (!judged.length) return;

  const styles = getComputedStyle(document.documentElement);
  const colour = (name) => styles.getPropertyValue(name).trim();
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 } };
  const levels = {
    ...axis,
    splits: (_plot, _axis, low, high) => LEVELS.filter((z) => low <= z && z <= high),
    filter: (_, splits) => splits,
  };
  const shares = {
    ...axis,
    grid: { show: false },
    size: 60,
    scale: "share",
    side: 1,
    values: (_, all) => all.map((share) => `${Math.round(100 * share)} %`),
  };
  const series = statistics.map((name, number) => ({
    label: name.replaceAll("_", " "),
    stroke: colour(`--series-${number}`),
    width: 2,
    value: (_, z) => (z == null ? "" : z.toFixed(1)),
  }));
  const limit = { label: "alarm above", stroke: colour("--ink"), dash: [6, 4] };
  const labels = {
    label: "labels (right axis)",
    scale: "share",
    stroke: colour("--soft"),
    dash: [2, 3],
    value: (_, share) => (share == null ? "" : `${Math.round(100 * share)} %`),
  };
  const data = [
    judged.map((window) => Date.parse(window.end) / 1000),
    ...statistics.map((name) => judged.map((window) => window.z[name] ?? null)),
    judged.map((window) => window.limit),
    judged.map((window) => window.labels),
  ];
  const box = document.createElement("div");
  const options = {
    width: place.clientWidth,
    height: 340,
    scales: {
      y: { distr: 4, asinh: 3 },
      share: { range: (_, _low, high) => [0, Math.max(high ?? 0, 1)] },
    },
    axes: [{ ...axis, values: "{YYYY}-{MM}-{DD}", space: 100 }, levels, shares],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    series: [{ label: "window until", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...series, limit, labels],
  };
  const chart = new uPlot(options, data, box);
  place.querySelector("svg").replaceWith(box);
  place.querySelectorAll(".key").forEach((key) => key.remove());   // the chart has its own legend
  chart.over.addEventListener("click", () => {
    const index = chart.cursor.idx;
    if (index != null) location.assign(`${place.dataset.page}/${judged[index].number}`);
  });
  addEventListener("resize", () => chart.setSize({ width: place.clientWidth, height: 340 }));
})();
