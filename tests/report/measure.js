// Runs first in a copy of the page. When all charts are drawn it measures the page as it opens and
// again with everything unfolded, and posts what it found.
(() => {
const errors = [], dialogs = [];
addEventListener("error", (event) => errors.push(String(event.message)), true);
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => {
  errors.push(`${event.violatedDirective} ${event.blockedURI}`);
});
for (const level of ["error", "warn"]) {
  const told = console[level].bind(console);
  console[level] = (...said) => { errors.push(said.map(String).join(" ")); told(...said); };
}
for (const name of ["alert", "confirm", "prompt", "open"]) window[name] = () => dialogs.push(name);

function quad(text) {
  const box = text.getBBox(), matrix = text.getScreenCTM();
  const ends = [[box.x, box.y], [box.x + box.width, box.y],
    [box.x + box.width, box.y + box.height], [box.x, box.y + box.height]];
  return ends.map(([x, y]) => {
    const at = new DOMPoint(x, y).matrixTransform(matrix);
    return [at.x, at.y];
  });
}

// Whether two turned rectangles share an area, beyond a hair's breadth.
function share(one, two) {
  for (const box of [one, two]) {
    for (const index of [0, 1]) {
      const [x, y] = [box[index + 1][0] - box[index][0], box[index + 1][1] - box[index][1]];
      const length = Math.hypot(x, y);
      if (!length) return false;
      const along = (corners) => corners.map(([px, py]) => (px * x + py * y) / length);
      const [first, second] = [along(one), along(two)];
      if (Math.min(Math.max(...first), Math.max(...second)) -
          Math.max(Math.min(...first), Math.min(...second)) < 2) return false;
    }
  }
  return true;
}

function hidden(element) {
  const style = getComputedStyle(element);
  return style.visibility === "hidden" || style.opacity === "0" || style.display === "none";
}

function overlaps(svg) {
  const texts = [...svg.querySelectorAll("text")].filter(
    (one) => one.textContent.trim() && !hidden(one) && one.getBBox().width);
  const boxes = texts.map(quad), found = [];
  for (let i = 0; i < boxes.length; i++) {
    for (let j = 0; j < i; j++) {
      if (share(boxes[i], boxes[j])) found.push(`${texts[j].textContent} | ${texts[i].textContent}`);
    }
  }
  return found;
}

function colour(text) {
  const numbers = (text.match(/-?[\d.]+/g) || []).map(Number);
  const unit = text.startsWith("color(") ? 255 : 1;
  const [r, g, b, a = 1] = text.startsWith("color(") ? numbers.slice(-4).length === 4 && text.includes("/")
    ? numbers.slice(-4) : numbers.slice(-3) : numbers;
  return [r * unit, g * unit, b * unit, a];
}

function over(top, below) {
  const a = top[3];
  return [0, 1, 2].map((one) => top[one] * a + below[one] * (1 - a)).concat(1);
}

function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map((one) => {
    const share = one / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}

function ground(element) {
  const layers = [];
  for (let one = element; one; one = one.parentElement) {
    layers.push(colour(getComputedStyle(one).backgroundColor));
    if (layers.at(-1)[3] === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
}

function contrast(element) {
  const style = getComputedStyle(element), below = ground(element);
  const ink = over(colour(element.closest("svg") ? style.fill : style.color), below);
  const [light, dark] = [luminance(ink), luminance(below)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function pale() {
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("script, style, title")) continue;
    if (hidden(element) || !element.checkVisibility()) continue;
    const size = parseFloat(getComputedStyle(element).fontSize);
    const ratio = contrast(element);
    if (ratio < (size >= 24 ? 3 : 4.5)) {
      found.add(`${ratio.toFixed(2)} ${element.tagName} ${node.textContent.trim().slice(0, 40)}`);
    }
  }
  return [...found];
}

function charts() {
  const edge = document.documentElement.clientWidth;
  return [...document.querySelectorAll("figure[data-chart]")].map((figure) => {
    const place = figure.querySelector(".chart"), svg = place.querySelector("svg");
    const column = place.getBoundingClientRect();
    const picture = svg ? svg.getBoundingClientRect() : { width: -1 };
    return {
      name: figure.dataset.chart, seen: column.width > 0, drawn: Boolean(svg),
      scrolled: place.classList.contains("scroll"), reached: place.tabIndex === 0,
      named: Boolean(place.getAttribute("aria-label")),
      column: column.width, picture: picture.width, beyond: Math.max(0, column.right - edge),
      overlaps: svg ? overlaps(svg) : [],
    };
  });
}

function order() {
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")]
    .filter((one) => one.checkVisibility())
    .map((one) => [Number(one.tagName[1]), one.textContent.slice(0, 40)]);
  return levels.slice(1).filter(([level], index) => level > levels[index][0] + 1).map((one) => one[1]);
}

function state() {
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const links = [...document.querySelectorAll("a[href^='#']")];
  return {
    height: document.documentElement.scrollHeight,
    beyond: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    charts: charts(), pale: pale(), order: order(),
    twice: ids.filter((one, index) => ids.indexOf(one) !== index),
    dead: links.map((one) => one.getAttribute("href").slice(1)).filter(
      (goal) => !document.getElementById(decodeURIComponent(goal))),
    unreached: [...document.querySelectorAll(".wide, .chart, pre")].filter(
      (one) => one.scrollWidth > one.clientWidth + 1 && one.tabIndex !== 0).map((one) => one.className),
    jumps: document.querySelectorAll("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").length,
    images: document.images.length,
  };
}

const pause = (time) => new Promise((resume) => setTimeout(resume, time));

addEventListener("load", async () => {
  const page = document.documentElement;
  for (let tries = 0; tries < 500 && !page.dataset.drawn; tries++) await pause(100);
  const opening = state();
  for (const one of document.querySelectorAll("details")) one.open = true;
  await pause(500);
  const whole = state();
  const fetched = performance.getEntriesByType("resource").map((one) => one.name);
  parent.postMessage(JSON.stringify({
    drawn: Number(page.dataset.drawn || 0), errors, dialogs, fetched, opening, whole,
    dark: matchMedia("(prefers-color-scheme: dark)").matches, width: innerWidth,
  }), "*");
});
})();
