"use strict";
// Draws the figures of each .chart from its JSON, in the colours of the page, and switches between them. A box of the
// legend shows and hides the traces of its legendgroup; where a figure has no points of it, there is no box.
const narrow = matchMedia("(max-width: 560px)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const config = { responsive: true, displayModeBar: false };

function styled(figure) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), tickcolor: colour("--line") };
  const bars = { color: colour("--ink"), thickness: 1.5 };
  const layout = figure.layout;
  return {
    data: figure.data.map((trace) => {
      // Translucent points are too faint on a dark page.
      if (dark.matches && trace.marker) trace = { ...trace, marker: { ...trace.marker, opacity: 1 } };
      if (trace.type === "bar") return { ...trace, error_x: { ...trace.error_x, ...bars } };
      // Beside the points of a narrow plot there is no room for names; the legend has them.
      return narrow.matches && trace.text ? { ...trace, mode: "markers" } : trace;
    }),
    layout: {
      ...layout,
      // Names in the plot stand on the page's colour, so that no line runs through them.
      annotations: (layout.annotations || []).map((note) => ({ ...note, bgcolor: colour("--paper") })),
      // What names no colour is in ink.
      colorway: [colour("--ink")],
      font: { family: "system-ui, sans-serif", size: 12, color: colour("--ink") },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis },
    },
  };
}

function show(chart) {
  const views = JSON.parse(chart.querySelector("script").textContent);
  const chosen = chart.querySelector("fieldset input:checked");
  const figure = styled(views[chosen ? Number(chosen.value) : 0]);
  for (const box of chart.querySelectorAll(".legend input")) {
    const ours = figure.data.filter((trace) => trace.legendgroup === box.value && trace.x.length);
    box.closest("li").hidden = !ours.length;
    for (const trace of ours) trace.visible = box.checked;
  }
  return Plotly.react(chart.querySelector(".canvas"), figure.data, figure.layout, config);
}

const charts = [...document.querySelectorAll(".chart")];
for (const chart of charts) chart.addEventListener("change", () => show(chart));
for (const query of [narrow, dark]) query.addEventListener("change", () => charts.forEach(show));
Promise.all(charts.map(show)).then(() => document.documentElement.setAttribute("data-drawn", charts.length));
