"use strict";
const element = (id) => document.getElementById(id);
const places = JSON.parse(element("places").textContent);

// a page that is opened from disk may load scripts, and nothing else
const loading = {};
const load = (file) => (loading[file] ??= new Promise((resolve, reject) => {
  const script = document.createElement("script");
  script.src = file;
  script.onload = resolve;
  script.onerror = () => reject(new Error(file + " is not there"));
  document.head.append(script);
}));

// the table: [html, words, how far it came, place, number, kind, ...scores] of each neuron
const [HTML, WORDS, CAME, PLACE, NUMBER, KIND, SCORES] = [0, 1, 2, 3, 4, 5, 6];
const AT_ONCE = 100;
const table = element("neurons");
const heads = [...table.querySelectorAll("th button")].map((button) => button.parentElement);
const [among, search, layer, kind] = ["among", "search", "layer", "kind"].map(element);
const limits = [...document.querySelectorAll("#filters input[data-column]")];
const field = (column) => [NUMBER, KIND, WORDS][column] ?? SCORES + column - 3;
let rows = window.tables?.found ?? [];
let found = rows;
let first = 0;

// sorting: what has none last, words by their letters
const { compare } = new Intl.Collator();
function sort() {
  const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
  const at = field(column);
  const sign = heads[column].getAttribute("aria-sort") === "descending" ? -1 : 1;
  rows.sort((a, b) => {
    const [x, y] = [a[at], b[at]];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "number" ? x - y : compare(x, y));
  });
}
heads.forEach((head) => head.querySelector("button").addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") !== "descending";
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  sort();
  filter();
}));

// filtering
function filter() {
  const words = search.value.trim().toLowerCase();
  const bounds = limits.filter((limit) => limit.value !== "").map((limit) =>
    [field(Number(limit.dataset.column)), Number(limit.value), limit.dataset.side === "most" ? -1 : 1]);
  const far = Number(among.value);
  const reached = rows.filter((row) => row[CAME] <= far && (!layer?.value || row[PLACE] === Number(layer.value)));
  found = reached.filter((row) => row[WORDS].includes(words) && (kind.value === "" || row[KIND] === kind.value)
    && bounds.every(([at, bound, side]) => row[at] !== null && side * (row[at] - bound) >= 0));
  const [some, all] = [found, reached].map((each) => each.length.toLocaleString("en"));
  element("shown").textContent = `${some} of ${all}`;
  show(0);
}
function show(from) {
  first = from;
  const last = Math.min(first + AT_ONCE, found.length);
  table.tBodies[0].innerHTML = found.slice(first, last).map((row) => row[HTML]).join("");
  element("pager").hidden = found.length <= AT_ONCE;
  element("part").textContent = `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")}`;
  element("previous").disabled = first === 0;
  element("next").disabled = last === found.length;
}
[["previous", -AT_ONCE], ["next", AT_ONCE]].forEach(([id, step]) => element(id).addEventListener("click", () => {
  show(first + step);
  element("found").scrollIntoView();
}));

// other neurons than feature neurons are loaded when they are asked for
async function reload() {
  const wanted = layer?.value ? [layer.value] : [...places.keys()];
  if (among.value !== "0") {
    element("shown").textContent = "loading";
    try {
      await Promise.all(wanted.map((place) => load(`table/${place}.js`)));
    } catch (error) {
      element("shown").textContent = error.message;
      return;
    }
  }
  rows = ["found", ...places.keys()].flatMap((name) => window.tables[name] ?? []);
  const kinds = [...new Set(rows.filter((row) => row[CAME] <= Number(among.value)).map((row) => row[KIND]))].sort();
  const chosen = kind.value;
  kind.replaceChildren(new Option("all", ""), ...kinds.map((name) => new Option(name)));
  kind.value = kinds.includes(chosen) ? chosen : "";
  sort();
  filter();
}
const choose = () => (among.value === "0" ? filter() : reload());
among.addEventListener("input", reload);
layer?.addEventListener("input", choose);
[search, kind, ...limits].forEach((given) => given.addEventListener("input", filter));
element("filters").addEventListener("submit", (event) => event.preventDefault());
document.querySelectorAll("#by-layer button").forEach((button) => button.addEventListener("click", () => {
  layer.value = button.dataset.place;
  choose();
  element("found").scrollIntoView();
}));
if (window.tables?.found) filter();
else element("shown").textContent = "table/found.js is not there; without it these are not filtered";

element("jump").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = element("number").value.trim();
  const [, where, number] = /^(?:(.*)\/)?0*(\d+)$/.exec(name) ?? [];
  const place = places.find((each) => each.name === (where ?? ""));
  const within = (ranges) => ranges?.some(([start, end]) => start <= Number(number) && Number(number) <= end);
  if (within(place?.paged)) location.href = `${place.folder}/${number}.html`;
  else if (within(place?.looked)) element("unknown").textContent =
    `neuron ${name} is no candidate and has no page, but is in the table of all neurons; report --all writes one`;
  else element("unknown").textContent = "the run did not look at neuron " + name;
});

// charts are drawn when they come near, in the page's colours
function draw(place) {
  const css = getComputedStyle(document.documentElement);
  const [text, line, link] = ["--text", "--line", "--link"].map((name) => css.getPropertyValue(name).trim());
  const figure = window.figures[Number(place.id.replace("chart-", ""))];
  const { panels } = figure.layout.meta;
  const columns = Math.ceil((panels || 1) / Math.ceil((panels || 1) / Math.max(1, Math.floor(place.clientWidth / 170))));
  const layout = { ...figure.layout, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    font: { color: text }, margin: { t: panels ? 25 : 10, r: 10, b: 45, l: 50 }, showlegend: false, autosize: true };
  for (let i = 0; i < (panels || 1); i++) {
    const number = i ? i + 1 : "";
    const axis = { gridcolor: line, zerolinecolor: line, automargin: true };
    const [x, y] = [figure.layout.xaxis, figure.layout.yaxis];
    const [below, left] = [i + columns >= (panels || 1), i % columns === 0];
    layout["xaxis" + number] = { ...axis, title: below ? x.title : undefined, showticklabels: below };
    layout["yaxis" + number] = { ...axis, title: left ? y.title : undefined, showticklabels: left };
    if (i) Object.assign(layout["xaxis" + number], { matches: "x" }), Object.assign(layout["yaxis" + number], { matches: "y" });
  }
  if (panels) {
    const lines = Math.ceil(panels / columns);
    layout.grid = { rows: lines, columns, pattern: "independent", xgap: 0.08, ygap: Math.min(0.3, 0.5 / lines) };
    place.style.height = `${lines * 9 + 4}rem`;
  }
  figure.data.forEach((trace) => { trace.marker = { ...trace.marker, color: link }; });
  Plotly.react(place, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  place.removeAllListeners?.("plotly_click");
  place.on("plotly_click", (event) => {
    const page = event.points[0].customdata;
    if (page) location.href = page;
  });
  place.dataset.columns = columns;
}
const drawn = new Set();
const near = new IntersectionObserver(async (entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting || drawn.has(target)) continue;
    drawn.add(target);
    await Promise.all([load("plotly.min.js"), load("charts.js")]);
    draw(target);
  }
}, { rootMargin: "400px" });
document.querySelectorAll(".chart").forEach((place) => near.observe(place));
const again = () => drawn.forEach((place) => { if (place.dataset.columns) draw(place); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
addEventListener("resize", () => { clearTimeout(again.timer); again.timer = setTimeout(again, 200); });
