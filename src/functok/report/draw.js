"use strict";
// Draws each chart from its JSON, in the colours and at the width of the page; if that fails, the
// static picture remains. Tables can be searched, and links open what is folded around their goal.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const NARROW = 520, LEAST = 0.12, TOKEN = 17, LONG = 12;
const charts = [...document.querySelectorAll("figure[data-chart]")].map((figure) => ({
  place: figure.querySelector(".chart"),
  spec: document.getElementById(figure.dataset.chart).textContent,
  whole: 0, view: null,
}));
let drawing = 0;

// The parts of a chart, and pixels of its plots side by side.

function parts(spec) {
  const lists = ["layer", "concat", "hconcat", "vconcat"].flatMap((name) => spec[name] || []);
  return spec.spec ? [...lists, spec.spec] : lists;
}

function each(spec, change) {
  change(spec);
  parts(spec).forEach((part) => each(part, change));
}

function across(spec, rows) {
  const inner = parts(spec).map((part) => across(part, rows));
  const widest = Math.max(0, ...inner, typeof spec.width === "number" ? spec.width : 0);
  if (spec.hconcat) return inner.reduce((sum, one) => sum + one, 0);
  if (spec.concat) return widest * Math.min(spec.columns || inner.length, inner.length);
  if (!spec.facet) return widest;
  const by = spec.facet.column || (spec.facet.field && spec.columns && spec.facet);
  if (!by) return widest;
  const panels = new Set(rows.map((row) => row[by.field])).size;
  return widest * Math.min(spec.columns || panels, panels);
}

function rowsOf(spec) {
  return Object.values(spec.datasets || {}).flat();
}

function scaled(spec, share) {
  each(spec, (part) => {
    if (typeof part.width === "number") part.width *= share;
  });
  return spec;
}

// What a chart is like where there is little room: one panel below the other, short names.

function narrowed(spec, room) {
  const limit = Math.round(0.36 * room);
  each(spec, (part) => {
    if (part.layer) part.layer = part.layer.filter((one) => !one.mark || one.mark.style !== "wide");
    if (part.facet && part.facet.column && !part.facet.row) part.facet = { ...part.facet.column };
    if (part.columns || (part.facet && part.facet.field)) part.columns = 1;
    for (const channel of Object.values(part.encoding || {})) {
      if (channel.axis) channel.axis.labelLimit = Math.min(channel.axis.labelLimit || 180, limit);
      if (channel.legend) channel.legend = { ...channel.legend, orient: "top", columns: 1 };
      if (channel.legend && channel.legend.gradientLength) channel.legend.gradientLength = 120;
    }
  });
  spec.config.axis.labelLimit = limit;
  spec.config.legend.columns = 1;
  return spec;
}

function coloured(spec) {
  const [ink, soft, line] = ["var(--ink)", "var(--soft)", "var(--line)"];
  const config = spec.config;
  config.background = "transparent";
  config.text = { ...config.text, color: ink };
  config.title = { ...config.title, color: ink, subtitleColor: soft };
  config.header = { ...config.header, labelColor: ink, titleColor: soft };
  config.legend = { ...config.legend, labelColor: ink, titleColor: soft };
  // More activation is more contrast with the page, whichever way round its colours are.
  if (dark.matches) config.range = { ...config.range, heatmap: ["#3a3354", "#d3c6fb"] };
  config.axis = {
    ...config.axis, labelColor: soft, titleColor: soft,
    domainColor: soft, tickColor: soft, gridColor: line,
  };
  return spec;
}

// A text that lies on another one is hidden: those of axes and legends come first.

function corners(text) {
  const box = text.getBBox(), matrix = text.getScreenCTM();
  if (!matrix || !box.width) return null;
  return [[0, 0], [1, 0], [1, 1], [0, 1]].map(([x, y]) => {
    const point = new DOMPoint(box.x + x * box.width, box.y + y * box.height);
    const at = point.matrixTransform(matrix);
    return [at.x, at.y];
  });
}

function apart(one, two) {
  const slack = 1.5;
  for (const [a, b] of [[one[0], one[1]], [one[1], one[2]], [two[0], two[1]], [two[1], two[2]]]) {
    const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
    const [x, y] = [(b[0] - a[0]) / length, (b[1] - a[1]) / length];
    const along = (box) => box.map(([px, py]) => px * x + py * y);
    const [first, second] = [along(one), along(two)];
    if (Math.max(...first) - slack <= Math.min(...second)) return true;
    if (Math.max(...second) - slack <= Math.min(...first)) return true;
  }
  return false;
}

function decluttered(place) {
  const texts = [...place.querySelectorAll("svg text")].filter(
    (text) => text.textContent.trim() && getComputedStyle(text).opacity !== "0");
  const isMark = (text) => Boolean(text.closest(".role-mark"));
  const kept = [];
  for (const text of [...texts.filter((one) => !isMark(one)), ...texts.filter(isMark)]) {
    const box = corners(text);
    const free = !box || kept.every((other) => apart(box, other));
    text.style.visibility = free ? "" : "hidden";
    if (box && free) kept.push(box);
  }
}

async function embedded(chart, spec) {
  const stage = document.createElement("div");
  chart.place.append(stage);
  try {
    const view = await vegaEmbed(stage, coloured(spec), {
      mode: "vega-lite", ast: true, actions: false, renderer: "svg",
      tooltip: { theme: dark.matches ? "dark" : "light" },
    });
    return { stage, view, width: Number(stage.querySelector("svg").getAttribute("width")) };
  } catch (error) {
    stage.remove();
    throw error;
  }
}

async function drawn(chart, room) {
  const made = () => {
    const spec = JSON.parse(chart.spec);
    return room < NARROW ? narrowed(spec, room) : spec;
  };
  const picture = chart.place.querySelector("img");
  if (picture) {
    await picture.decode().catch(() => {});
    chart.whole = picture.naturalWidth;
    picture.hidden = true;
  }
  const spec = made(), rows = rowsOf(spec), plots = across(spec, rows) || 1;
  const tokens = spec.usermeta && spec.usermeta.scroll ? plots / 26 : 0;
  const least = tokens ? TOKEN * tokens / plots : LEAST, most = tokens ? 1.5 : Infinity;
  const before = across(JSON.parse(chart.spec), rows) || 1;
  const fitting = (wanted) => Math.min(most, Math.max(least, wanted));
  let share = fitting(chart.whole ? (room - (chart.whole - before)) / plots : 1);
  let found = null;
  for (let round = 0; round < 3; round++) {
    const next = await embedded(chart, scaled(made(), share));
    if (found) { found.view.finalize(); found.stage.remove(); }
    found = next;
    const over = found.width - room;
    if ((over <= 0 && over > -40) || (over <= 0 && round)) break;
    const last = share;
    share = fitting(share - (over + (over > 0 ? 2 : 8)) / plots);
    if (share === last) break;
  }
  chart.place.classList.toggle("scroll", Boolean(tokens) && found.width > room);
  if (chart.view) { chart.view.view.finalize(); chart.view.stage.remove(); }
  chart.view = found;
  if (picture) picture.remove();
  decluttered(chart.place);
}

function room(place) {
  const column = place.closest("figure").clientWidth || document.querySelector("main").clientWidth;
  return Math.floor(place.clientWidth || Math.min(column, 736));
}

async function draw() {
  const mine = ++drawing;
  const folded = (chart) => Boolean(chart.place.closest("details:not([open])"));
  const order = [...charts.filter((one) => !folded(one)), ...charts.filter(folded)];
  let count = 0;
  for (const chart of order) {
    try {
      await drawn(chart, room(chart.place));
      count += 1;
    } catch (error) {
      const picture = chart.place.querySelector("img");
      if (picture) picture.hidden = false;
      console.error(chart.place.getAttribute("aria-label"), error);
    }
    await new Promise((resume) => setTimeout(resume));  // the page answers in between
    if (mine !== drawing) return;
  }
  reachable();
  document.documentElement.dataset.drawn = count;
}

// What is scrolled can be reached by the keyboard.

function reachable() {
  for (const one of document.querySelectorAll(".wide, .chart, pre")) {
    if (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1) {
      one.tabIndex = 0;
    } else {
      one.removeAttribute("tabindex");
    }
  }
}

function searchable() {
  for (const wide of document.querySelectorAll("details .wide")) {
    const rows = [...wide.querySelectorAll("tbody tr")];
    if (rows.length <= LONG) continue;
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "Search these rows";
    field.setAttribute("aria-label", "Search the rows of this table");
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    wide.before(field);
  }
}

function opened() {
  const goal = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!goal) return;
  for (let one = goal; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  goal.scrollIntoView();
}

document.addEventListener("toggle", (event) => {
  if (!event.target.open) return;
  for (const place of event.target.querySelectorAll(".chart")) decluttered(place);
  reachable();
}, true);
document.addEventListener("click", (event) => {
  const link = event.target.closest && event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) opened();
});
window.addEventListener("hashchange", opened);
let width = window.innerWidth, waiting = 0;
window.addEventListener("resize", () => {
  if (Math.abs(window.innerWidth - width) < 16) return;
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(draw, 300);
});
dark.addEventListener("change", draw);
searchable();
opened();
draw();
