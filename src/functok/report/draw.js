"use strict";
// Draws each chart from its JSON, in the colours and at the width of the page.
// If that fails, the static picture remains.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const drawn = [];

function fitted(spec, room) {
  if (spec.vconcat) {
    for (const panel of spec.vconcat) fixed(panel, Math.min(room - 70, 660));
  } else if (spec.spec && spec.facet && spec.facet.column) {
    const rows = spec.datasets[spec.data.name];
    const panels = new Set(rows.map((row) => row[spec.facet.column.field])).size;
    fixed(spec.spec, (room - 80) / panels - 24);
  } else if (spec.spec && spec.columns) {
    fixed(spec.spec, (room - 150) / spec.columns - 24);  // names at the left of the first
  } else if (spec.spec) {
    fixed(spec.spec, Math.min(room - 200, 560));  // facets have their names at the left
  } else if (!(spec.usermeta && spec.usermeta.scroll)) {
    spec.width = "container";
  }
  if (room < 520) spec.config.legend.columns = 1;
  return spec;
}

function fixed(panel, width) {
  if ("width" in panel) panel.width = width;
  for (const layer of panel.layer || []) fixed(layer, width);
}

function coloured(spec) {
  const ink = dark.matches ? "#e4e5e8" : "#1c1d1f";
  const soft = dark.matches ? "#a0a4ab" : "#5c6066";
  const line = dark.matches ? "#565b63" : "#c4c7cc";
  const config = spec.config;
  config.background = "transparent";
  config.text = { ...config.text, color: ink };
  config.title = { ...config.title, color: ink, subtitleColor: soft };
  config.legend = { ...config.legend, labelColor: ink, titleColor: soft };
  // More activation is more contrast with the page, whichever way round its colours are.
  if (dark.matches) config.range = { ...config.range, heatmap: ["#3a3354", "#d3c6fb"] };
  config.axis = {
    ...config.axis, labelColor: soft, titleColor: soft,
    domainColor: line, tickColor: line, gridColor: line,
  };
  return spec;
}

async function draw() {
  for (const view of drawn.splice(0)) view.finalize();
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const place = figure.querySelector(".chart");
    const spec = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
    const stage = document.createElement("div");
    const picture = place.firstElementChild;
    place.append(stage);
    picture.hidden = true;
    try {
      drawn.push(await vegaEmbed(stage, coloured(fitted(spec, place.clientWidth)), {
        mode: "vega-lite", ast: true, actions: false, renderer: "svg",
        tooltip: { theme: dark.matches ? "dark" : "light" },
      }));
      picture.remove();
    } catch (error) {
      stage.remove();
      picture.hidden = false;
      console.error(figure.dataset.chart, error);
    }
  }
  document.documentElement.dataset.drawn = drawn.length;
}

dark.addEventListener("change", draw);
draw();
