"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);

// charts follow the page's colours
function draw() {
  const css = getComputedStyle(document.documentElement);
  const [text, line, link] = ["--text", "--line", "--link"].map((name) => css.getPropertyValue(name).trim());
  read("figures").forEach((figure, i) => {
    const axis = { gridcolor: line, zerolinecolor: line, automargin: true };
    const layout = { ...figure.layout, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      font: { color: text }, margin: { t: 10, r: 10, b: 45, l: 50 }, showlegend: false, autosize: true };
    layout.xaxis = { ...figure.layout.xaxis, ...axis };
    layout.yaxis = { ...figure.layout.yaxis, ...axis };
    figure.data.forEach((trace) => { trace.marker = { ...trace.marker, color: link }; });
    const place = document.getElementById("chart-" + i);
    Plotly.react(place, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    place.removeAllListeners?.("plotly_click");
    place.on("plotly_click", (event) => {
      const page = event.points[0].customdata;
      if (page !== undefined) location.href = page;
    });
  });
}
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

// sorting: numbers with what has none last, words by their letters
const body = document.querySelector("#neurons tbody");
const heads = [...document.querySelectorAll("#neurons th")];
const value = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent;
  return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : cell.dataset.value === "" ? null : text;
};
heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") !== "descending";
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const sign = down ? -1 : 1;
  const order = (a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "number" ? x - y : x.localeCompare(y));
  };
  body.append(...[...body.rows].sort(order));
}));

// filtering
const search = document.getElementById("search");
const kind = document.getElementById("kind");
const limits = [...document.querySelectorAll("#filters input[data-of]")];
function filter() {
  const words = search.value.trim().toLowerCase();
  const within = (row) => limits.every((limit) => {
    const text = row.dataset[limit.dataset.of];
    if (limit.value === "") return true;
    const above = Number(text) - Number(limit.value);
    return text !== "" && (limit.dataset.side === "most" ? above <= 0 : above >= 0);
  });
  let shown = 0;
  for (const row of body.rows) {
    row.hidden = !(row.dataset.words.includes(words)
      && (kind.value === "" || row.dataset.kind === kind.value) && within(row));
    shown += !row.hidden;
  }
  document.getElementById("shown").textContent = `${shown} of ${body.rows.length}`;
}
[search, kind, ...limits].forEach((field) => field.addEventListener("input", filter));
document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
filter();

document.getElementById("jump").addEventListener("submit", (event) => {
  event.preventDefault();
  const number = document.getElementById("number").value.trim().replace(/^0+(?=\d)/, "");
  const pages = read("looked-at");
  if (Object.hasOwn(pages, number)) location.href = pages[number];
  else document.getElementById("unknown").textContent = "the run did not look at neuron " + number;
});
