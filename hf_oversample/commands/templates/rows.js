"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const byRow = new Map(data.rows.map(one => [one.row, one]));
const made = data.rows.filter(one => one.kind === "made");
const decisions = new Map();
const hidden = new Set();
const PAGE = 25;
let query = "", chosen = null, page = 0, listed = [], saved = true;
let zoom = 1, centre = [0, 0];

const make = (tag, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
};
const isShown = one => !hidden.has(one.kind) && (!query || one.text.toLowerCase().includes(query));

// ---- the map
const canvas = $("map"), pen = canvas.getContext("2d");
const spread = values => {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share => sorted[Math.round(share * (sorted.length - 1))];
  return [at(0.005), at(0.995)];
};
const [left, right] = spread(data.rows.map(one => one.x));
const [bottom, top_] = spread(data.rows.map(one => one.y));
const place = one => {
  const width = canvas.clientWidth, height = canvas.clientHeight, edge = 0.06;
  const x = (one.x - left) / (right - left || 1), y = (one.y - bottom) / (top_ - bottom || 1);
  const on = (value, middle, size) =>
    size / 2 + ((value - 0.5) * (1 - 2 * edge) - middle) * size * zoom;
  return [on(x, centre[0], width), on(1 - y, centre[1], height)];
};
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
const SHAPES = {
  majority: (x, y, r) => pen.arc(x, y, r * 0.7, 0, 7),
  rare: (x, y, r) => pen.arc(x, y, r, 0, 7),
  difficult: (x, y, r) => { pen.moveTo(x, y - r * 1.5); pen.lineTo(x + r * 1.5, y);
    pen.lineTo(x, y + r * 1.5); pen.lineTo(x - r * 1.5, y); pen.closePath(); },
  made: (x, y, r) => { pen.moveTo(x, y - r * 1.3); pen.lineTo(x + r * 1.2, y + r);
    pen.lineTo(x - r * 1.2, y + r); pen.closePath(); },
  repeated: (x, y, r) => pen.rect(x - r, y - r, 2 * r, 2 * r),
};
const dot = (one, r) => {
  pen.beginPath();
  SHAPES[one.kind](...place(one), r);
};
function draw() {
  const sharp = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * sharp;
  canvas.height = canvas.clientHeight * sharp;
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  for (const kind of Object.keys(SHAPES)) {
    pen.fillStyle = colour(kind);
    pen.globalAlpha = kind === "majority" ? 0.45 : 0.8;
    for (const one of data.rows)
      if (one.kind === kind && isShown(one)) { dot(one, 3.2); pen.fill(); }
  }
  pen.globalAlpha = 1;
  if (!chosen) return;
  const start = place(chosen);
  const line = (row, dash) => {
    const other = byRow.get(row);
    if (!other) return;
    pen.beginPath();
    pen.setLineDash(dash);
    pen.moveTo(...start);
    pen.lineTo(...place(other));
    pen.stroke();
    pen.setLineDash([]);
    dot(other, 5);
    pen.fillStyle = colour(other.kind);
    pen.fill();
    pen.stroke();
  };
  pen.strokeStyle = colour("text");
  pen.lineWidth = 1;
  chosen.neighbors.forEach(row => line(row, [3, 3]));
  pen.lineWidth = 2;
  line(chosen.parent, []);
  dot(chosen, 7);
  pen.fillStyle = colour(chosen.kind);
  pen.fill();
  pen.stroke();
}
function nearest(event) {
  const box = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  let best = null, least = 14 ** 2;
  for (const one of data.rows) {
    if (!isShown(one)) continue;
    const [a, b] = place(one);
    const far = (a - x) ** 2 + (b - y) ** 2 - (one.kind === "majority" ? 0 : 9);
    if (far < least) [best, least] = [one, far];
  }
  return best;
}
function scale(factor) {
  zoom = Math.min(40, Math.max(1, zoom * factor));
  if (chosen && factor > 1) {
    const x = (chosen.x - left) / (right - left || 1), y = (chosen.y - bottom) / (top_ - bottom || 1);
    centre = [(x - 0.5) * 0.88, (0.5 - y) * 0.88];
  }
  if (zoom === 1) centre = [0, 0];
  draw();
}
canvas.addEventListener("pointermove", event => {
  if (event.buttons === 1) {
    centre[0] -= event.movementX / (canvas.clientWidth * zoom);
    centre[1] -= event.movementY / (canvas.clientHeight * zoom);
    return draw();
  }
  const one = nearest(event);
  if (one && one !== chosen) choose(one);
});
canvas.addEventListener("click", event => { const one = nearest(event); if (one) choose(one); });
canvas.addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (event.key === "+" || event.key === "=") scale(1.6);
  else if (event.key === "-") scale(1 / 1.6);
  else if (step) {
    const some = made.length ? made.filter(isShown) : data.rows.filter(isShown);
    if (!some.length) return;
    const at = some.indexOf(chosen);
    choose(some[(at + step + some.length) % some.length]);
  } else if (!decideByKey(event)) return;
  event.preventDefault();
});
$("closer").onclick = () => scale(1.6);
$("farther").onclick = () => scale(1 / 1.6);
$("whole").onclick = () => { zoom = 1; centre = [0, 0]; draw(); };

// ---- one row, with what it came from
function about(one, title) {
  const part = document.createDocumentFragment();
  part.append(make("h3", title));
  const text = make("p", one.text, "text");
  text.append(" ", make("span", one.label, "tag"));
  part.append(text);
  return part;
}
function choose(one) {
  chosen = one;
  const box = $("detail");
  box.replaceChildren(about(one, `Row ${one.row}: ${data.words[one.kind]}`));
  const parent = byRow.get(one.parent);
  if (parent) box.append(about(parent, `Parent, row ${parent.row}`));
  if (one.copy >= 0) {
    const copy = byRow.get(one.copy);
    const share = Math.round(100 * one.copy_share);
    box.append(make("h3", `Nearest copy: ${share} % of their words`));
    const line = make("p", copy ? copy.text : `row ${one.copy}`);
    if (one.is_copy) line.append(" ", make("span", "counts as a copy", "tag copy"));
    box.append(line);
  }
  const neighbors = one.neighbors.map(row => byRow.get(row)).filter(Boolean);
  if (neighbors.length) {
    box.append(make("h3", "Nearest real rows"));
    const list = make("ol");
    for (const other of neighbors) {
      const item = make("li", other.text);
      item.append(" ", make("span", other.label, "tag"));
      list.append(item);
    }
    box.append(list);
  }
  for (const line of document.querySelectorAll("#list tr"))
    line.classList.toggle("chosen", Number(line.dataset.row) === one.row);
  draw();
}

// ---- decisions
function decide(one, what) {
  if (what) decisions.set(one.row, what); else decisions.delete(one.row);
  saved = decisions.size === 0;
  const line = document.querySelector(`#list tr[data-row="${one.row}"]`);
  if (line) mark(line, one);
  count();
}
function decideByKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !chosen || chosen.kind !== "made") return false;
  const what = { a: "accept", r: "reject", u: "" }[event.key.toLowerCase()];
  if (what === undefined) return false;
  decide(chosen, what);
  return true;
}
function mark(line, one) {
  const what = decisions.get(one.row);
  line.classList.toggle("rejected", what === "reject");
  for (const button of line.querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.className === what));
}
function count() {
  const rejected = [...decisions.values()].filter(what => what === "reject").length;
  $("status").textContent =
    `${decisions.size - rejected} accepted, ${rejected} rejected, ${made.length - decisions.size} undecided`;
}
function list() {
  const which = $("which").value;
  listed = made.filter(one => (!query || one.text.toLowerCase().includes(query)) && (
    which === "all" || (which === "open" && !decisions.has(one.row)) ||
    (which === "copy" && one.is_copy) || decisions.get(one.row) === which));
  if ($("order").value === "copy") listed.sort((a, b) => b.copy_share - a.copy_share || a.row - b.row);
  const pages = Math.max(1, Math.ceil(listed.length / PAGE));
  page = Math.min(page, pages - 1);
  const lines = listed.slice(page * PAGE, (page + 1) * PAGE).map(one => {
    const line = make("tr");
    line.dataset.row = one.row;
    line.tabIndex = 0;
    const copy = make("td", `${Math.round(100 * one.copy_share)} %`);
    if (one.is_copy) copy.append(" ", make("span", "copy", "tag copy"));
    const choice = make("td");
    for (const what of ["accept", "reject"]) {
      const button = make("button", what === "accept" ? "Accept" : "Reject", what);
      button.type = "button";
      button.setAttribute("aria-label", `${button.textContent} row ${one.row}`);
      button.onclick = () => decide(one, decisions.get(one.row) === what ? "" : what);
      choice.append(button, " ");
    }
    line.append(make("td", one.row), make("td", one.text), make("td", one.label), copy, choice);
    line.addEventListener("focusin", () => choose(one));
    line.addEventListener("pointerenter", () => choose(one));
    line.addEventListener("keydown", event => {
      const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (step) line[step]?.focus();
      else if (!decideByKey(event)) return;
      event.preventDefault();
    });
    mark(line, one);
    return line;
  });
  if (!lines.length) {
    const none = make("td", "No made row is like that.");
    none.colSpan = 5;
    lines.push(make("tr"));
    lines[0].append(none);
  }
  $("list").replaceChildren(...lines);
  $("page").textContent = `${listed.length} rows, page ${page + 1} of ${pages}`;
  $("before").disabled = page === 0;
  $("after").disabled = page >= pages - 1;
}

// ---- what is taken away
function download(name, type, text) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  saved = true;
}
const decided = () => made.filter(one => decisions.has(one.row)).map(one => (
  { row: one.row, decision: decisions.get(one.row), label: one.label, parent: one.parent, text: one.text }));
const asJsonl = () => decided().map(one => JSON.stringify(one) + "\n").join("");
const quoted = value => `"${String(value).replaceAll('"', '""')}"`;
const asCsv = () => ["row,decision,label,parent,text", ...decided().map(one =>
  [one.row, one.decision, quoted(one.label), one.parent, quoted(one.text)].join(","))].join("\r\n") + "\r\n";

for (const box of document.querySelectorAll("[data-kind]"))
  box.onchange = () => { box.checked ? hidden.delete(box.dataset.kind) : hidden.add(box.dataset.kind); draw(); };
$("search").oninput = event => { query = event.target.value.trim().toLowerCase(); page = 0; if (made.length) list(); draw(); };
if (made.length) {
  $("which").onchange = $("order").onchange = () => { page = 0; list(); };
  $("before").onclick = () => { page -= 1; list(); };
  $("after").onclick = () => { page += 1; list(); };
  $("jsonl").onclick = () => download("decisions.jsonl", "application/jsonl", asJsonl());
  $("csv").onclick = () => download("decisions.csv", "text/csv", asCsv());
  window.addEventListener("beforeunload", event => { if (!saved) event.preventDefault(); });
  list();
  count();
}
new ResizeObserver(draw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
