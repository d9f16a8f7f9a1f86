"use strict";
// The page reads its data from the element below it and asks nobody for anything.
const data = JSON.parse(document.getElementById("data").textContent);

const SVG = "http://www.w3.org/2000/svg";
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
function drawn(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
function time(ps) {
  for (const [unit, size] of [["s", 1e12], ["ms", 1e9], ["us", 1e6], ["ns", 1e3]]) {
    if (Math.abs(ps) >= size) return (ps / size).toFixed(3) + " " + unit;
  }
  return ps + " ps";
}
function moment(ps) { return (ps / 1e9).toFixed(6) + " ms"; }

// The machine as blocks: where each stands, and which records light it.
const BLOCKS = [
  ["wire", "wire", 10, 70], ["nic", "e1000", 130, 70], ["iommu", "VT-d", 270, 70], ["memory", "memory", 410, 70],
  ["ioapic", "I/O APIC", 130, 150], ["remap", "remapping", 270, 150], ["lapic", "local APIC", 410, 150],
  ["cpu", "processor", 550, 110],
];
const WIRES = [
  "M110 95H130", "M240 95H270", "M380 95H410", "M185 120V150", "M240 175H270", "M380 175H410",
  "M520 95L550 125", "M520 175L550 145",
];
function block(step) {
  switch (step.event) {
    case "FrameIn": case "FrameOut": return "wire";
    case "DmaRead": case "DmaWrite": return "memory";
    case "IrteLookup": return "remap";
    default:
  }
  const source = step.source.replace(/[.]?\d+$/, "");
  return { e1000: "nic", wire: "wire", iommu: "iommu", ioapic: "ioapic", lapic: "lapic", cpu: "cpu" }[source] || "cpu";
}
function board() {
  const svg = drawn("svg", { class: "board", viewBox: "0 40 670 180", role: "img", "aria-label": "the machine; the part of this step is lit" });
  for (const wire of WIRES) svg.append(drawn("path", { d: wire }));
  const groups = {};
  for (const [id, name, x, y] of BLOCKS) {
    const group = drawn("g", {});
    group.append(drawn("rect", { x, y, width: id === "wire" ? 100 : 110, height: 50, rx: 6 }));
    group.append(drawn("text", { x: x + (id === "wire" ? 50 : 55), y: y + 31 }, name));
    svg.append(group);
    groups[id] = group;
  }
  return [svg, groups];
}

class Journey {
  constructor(told, index) {
    Object.assign(this, { told, index, at: 0 });
    this.key = "step" + (index === 0 ? "" : index + 1);
    const [svg, groups] = board();
    this.groups = groups;
    this.panel = element("div", { class: "step", "aria-live": "polite" });
    this.count = element("span", { class: "soft" });
    const button = (words, to) => {
      const node = element("button", { type: "button" }, words);
      node.addEventListener("click", () => this.go(to()));
      return node;
    };
    const name = (told.direction === "in" ? "packet " : "frame out ") + told.packet;
    const heading = element("h3", { id: "journey-" + index }, name + ": " + (told.frame.summary || "frame"));
    this.node = element("article", { class: "journey", tabindex: "0", "aria-labelledby": heading.id }, heading);
    if (told.reply) this.node.append(element("p", { class: "soft" }, "answered by " + told.reply.summary));
    this.node.append(svg, this.stages(), element("div", { class: "controls" },
      button("Back", () => this.at - 1), button("Next", () => this.at + 1), this.count), this.panel, this.table());
    this.node.addEventListener("keydown", (event) => {
      const to = { ArrowRight: this.at + 1, ArrowLeft: this.at - 1, Home: 0, End: told.steps.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.go(to);
    });
  }
  // The place of the step that ends a stage; stages follow each other without gaps.
  endOf(stage) { return this.told.steps.findIndex((step) => step.id === stage.end); }
  stageAt(at) { return this.told.stages.findIndex((stage) => at <= this.endOf(stage)); }
  stages() {
    const strip = element("div", { class: "stages", role: "group", "aria-label": "stages, as wide as they take long" });
    this.buttons = this.told.stages.map((stage, n) => {
      const node = element("button", { type: "button", title: stage.name, "aria-label": stage.name + ", " + time(stage.took_ps), style: "flex-grow:" + Math.max(stage.share, 1) });
      node.addEventListener("click", () => this.go(n === 0 ? 0 : this.endOf(this.told.stages[n - 1]) + 1));
      strip.append(node);
      return node;
    });
    return strip;
  }
  table() {
    const body = element("tbody");
    for (const stage of this.told.stages) {
      body.append(element("tr", {}, element("td", {}, stage.name), element("td", { class: "num" }, time(stage.took_ps)), element("td", { class: "num" }, stage.share.toFixed(1) + " %")));
    }
    const head = element("tr", {}, element("th", { scope: "col" }, "stage"), element("th", { scope: "col", class: "num" }, "took"), element("th", { scope: "col", class: "num" }, "share"));
    return element("table", {}, element("thead", {}, head), body);
  }
  go(to, silent) {
    const { steps, stages } = this.told;
    this.at = Math.min(Math.max(to, 0), steps.length - 1);
    const step = steps[this.at];
    const lit = block(step);
    for (const [id, group] of Object.entries(this.groups)) group.setAttribute("class", id === lit ? "lit" : "");
    const stage = this.stageAt(this.at);
    this.buttons.forEach((node, n) => node.setAttribute("aria-current", String(n === stage)));
    this.count.textContent = "step " + (this.at + 1) + " of " + steps.length + (stage >= 0 ? " — " + stages[stage].name : "");
    const total = stages.reduce((sum, each) => sum + each.took_ps, 0) || 1;
    const delta = this.at === 0 ? 0 : step.time_ps - steps[this.at - 1].time_ps;
    const rows = [
      ["who", step.source + " (" + step.kind + ", " + step.event + ")"],
      ["when", moment(step.time_ps) + ", " + time(delta) + " after the step before, " + (delta * 100 / total).toFixed(1) + " % of the whole"],
      ["instructions", String(step.insns)],
    ];
    for (const words of step.meaning) rows.push(["means", words]);
    const list = element("dl");
    for (const [name, words] of rows) list.append(element("dt", {}, name), element("dd", {}, words));
    const cause = element("dd");
    const before = steps.findIndex((each) => each.id === step.cause);
    if (before >= 0) {
      const link = element("a", { href: "#" + this.key + "=" + step.cause }, "#" + step.cause + " " + steps[before].text);
      cause.append(link);
    } else {
      cause.append(step.cause === undefined ? "nothing in the machine" : "#" + step.cause + ", before this journey");
    }
    list.append(element("dt", {}, "because of"), cause, element("dt", {}, "more"), element("dd", {},
      element("code", {}, "glassbox explain record " + data.run + " " + step.id), element("br"),
      element("code", {}, "glassbox inspect " + data.run + " --at record=" + step.id + " cpu")));
    this.panel.replaceChildren(element("p", { class: "words" }, "#" + step.id + " " + step.text), list);
    if (!silent) history.replaceState(null, "", "#" + journeys.map((each) => each.key + "=" + each.told.steps[each.at].id).join("&"));
    if (this.index === 0) markTimeline(step.id);
  }
  goToHash() {
    const found = location.hash.slice(1).split("&").map((part) => part.split("=")).find(([key]) => key === this.key);
    const at = found ? this.told.steps.findIndex((step) => String(step.id) === found[1]) : 0;
    this.go(Math.max(at, 0), true);
  }
}

function walks() {
  const place = document.getElementById("walks");
  const names = { 6: "root entry", 5: "context entry" };
  const steps = data.journeys[0].steps;
  const byCause = new Map();
  for (const step of steps.filter((each) => each.event === "WalkStep")) {
    if (!byCause.has(step.cause)) byCause.set(step.cause, []);
    byCause.get(step.cause).push(step);
  }
  if (byCause.size === 0) place.append(element("p", {}, "No table was walked: the IOTLB and the context cache had every answer."));
  for (const [cause, entries] of byCause) {
    const asked = steps.find((step) => step.id === cause);
    place.append(element("h3", {}, asked ? asked.text : "walk of #" + cause));
    const row = element("div", { class: "walk" });
    for (const entry of entries) {
      const words = entry.meaning.join(" ");
      const kind = words.includes("page at") ? " leaf" : words.includes("not present") ? " fault" : "";
      row.append(element("div", { class: "box" + kind }, element("strong", {}, names[entry.level] || "level " + (entry.level + 1)), element("br"),
        element("code", {}, "at 0x" + entry.entry_gpa.toString(16)), element("br"), element("code", {}, (entry.text.match(/[0-9a-f]{16}/) || [""])[0]), element("br"), words));
    }
    place.append(row);
  }
}

let marks = new Map();
function markTimeline(id) {
  for (const [of, node] of marks) node.setAttribute("class", "mark" + (of === id ? " own" : ""));
}
function timeline() {
  const place = document.getElementById("timeline");
  const records = data.timeline;
  if (records.length === 0) return;
  const lanes = [...new Set(records.map((record) => record.lane))];
  const [first, last] = [records[0].time_ps, records[records.length - 1].time_ps];
  const [left, width, height] = [110, 1100, 30];
  const svg = drawn("svg", { viewBox: "0 0 " + (left + width + 20) + " " + (lanes.length * height + 30), width: "100%", style: "min-width:60rem", role: "img", "aria-label": "records of each part of the machine over time" });
  lanes.forEach((lane, n) => {
    svg.append(drawn("text", { class: "lane-name", x: 4, y: n * height + 20 }, lane));
    svg.append(drawn("path", { d: "M" + left + " " + (n * height + 15) + "h" + width, stroke: "var(--line)" }));
  });
  for (const record of records) {
    const x = left + (record.time_ps - first) / (last - first || 1) * width;
    const mark = drawn("rect", { class: "mark", x, y: lanes.indexOf(record.lane) * height + 6, width: 3, height: 18 });
    mark.append(drawn("title", {}, "#" + record.id + " " + moment(record.time_ps) + " " + record.text));
    marks.set(record.id, mark);
    svg.append(mark);
  }
  svg.append(drawn("text", { class: "lane-name", x: left, y: lanes.length * height + 20 }, moment(first)));
  svg.append(drawn("text", { class: "lane-name", x: left + width - 90, y: lanes.length * height + 20 }, moment(last)));
  place.append(svg);
}

function iotlb() {
  const place = document.getElementById("iotlb");
  const events = data.iotlb.events;
  if (events.length === 0) { place.append(element("p", {}, "No address was translated.")); return; }
  const { sets, ways } = data.iotlb;
  const said = element("p", { "aria-live": "polite" });
  const grid = element("div", { class: "grid", style: "grid-template-columns:repeat(" + sets + ",minmax(6rem,1fr))" });
  const cells = Array.from({ length: ways }, () => Array.from({ length: sets }, () => grid.appendChild(element("div", { class: "cell mono" }))));
  const slider = element("input", { type: "range", min: 0, max: events.length - 1, value: events.length - 1, id: "iotlb-time" });
  const show = () => {
    const upTo = Number(slider.value);
    const held = Array.from({ length: ways }, () => Array(sets).fill(null));
    let [hits, misses] = [0, 0];
    for (const event of events.slice(0, upTo + 1)) {
      if (event.what === "hit") hits += 1;
      if (event.what === "miss") misses += 1;
      if (event.what === "insert") held[event.way][event.set] = event;
      if (event.what === "evict") held[event.way][event.set] = null;
      if (event.what === "invalidate") {
        const goes = (entry) => entry && (event.domain === undefined || entry.domain === event.domain) && (event.first === undefined || (entry.page >= event.first && entry.page < event.last));
        held.forEach((way) => way.forEach((entry, set) => { if (goes(entry)) way[set] = null; }));
      }
    }
    const event = events[upTo];
    cells.forEach((row, way) => row.forEach((cell, set) => {
      const entry = held[way][set];
      const now = event.set === set && event.way === way;
      cell.className = "cell mono" + (entry ? " full" : "") + (now ? " now" : "");
      cell.textContent = entry ? entry.iova : "";
      cell.title = "set " + set + " way " + way + (entry ? ", domain " + entry.domain + ", " + entry.iova + " -> " + entry.gpa : ", empty");
    }));
    said.textContent = moment(event.time_ps) + ", #" + event.id + ": " + event.text + ". " + hits + " hits and " + misses + " misses so far.";
  };
  slider.addEventListener("input", show);
  place.append(element("label", { for: "iotlb-time" }, "moment"), slider, said,
    element("p", { class: "soft" }, "A column is a set, a row a way; what was invalidated is gone. " + (data.iotlb.cut ? "Only the first " + events.length + " events are kept." : "")),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "IOTLB by set and way" }, grid));
  show();
}

function bars(place, rows) {
  const most = Math.max(...rows.map((row) => row[1]), 1);
  const node = element("div", { class: "bars" });
  for (const [name, count] of rows) {
    node.append(element("span", {}, name), element("span", { class: "bar", style: "width:" + count * 100 / most + "%" }), element("span", { class: "mono" }, String(count)));
  }
  place.append(node);
}

function latency() {
  const place = document.getElementById("latency");
  if (data.latencies.length === 0) { place.append(element("p", {}, "No interrupt was taken.")); return; }
  for (const each of data.latencies) {
    place.append(element("h3", {}, "vector 0x" + each.vector.toString(16) + ": " + each.count + " times, from pending to taken; median " + time(each.median_ps) + ", longest " + time(each.max_ps)));
    bars(place, each.buckets.map((bucket) => ["under " + time(bucket.under_ps), bucket.count]));
  }
}

function rows(place, names, lines) {
  const head = element("tr");
  for (const name of names) head.append(element("th", { scope: "col" }, name));
  const body = element("tbody");
  for (const line of lines) {
    const row = element("tr");
    for (const cell of line) row.append(element("td", { class: "mono" }, String(cell)));
    body.append(row);
  }
  place.append(element("table", {}, element("thead", {}, head), body));
}

function figures() {
  const place = document.getElementById("figures");
  if (data.figures) rows(place, ["figure", "value"], Object.entries(data.figures));
  else place.append(element("p", {}, "The report was made from a trace file, which has no figures of the machine."));
  const maps = document.getElementById("mappings");
  if (!data.mappings) maps.append(element("p", {}, "The report was made from a trace file, which has no memory."));
  else {
    const map = element("div", { class: "map", role: "img", "aria-label": data.mappings.length + " ranges, by device address; coloured by rights" });
    for (const row of data.mappings) map.append(element("span", { class: "range " + { "r-": "read", "-w": "write", rw: "both" }[row.rights], title: row.iova + " -> " + row.gpa + ", " + row.rights }));
    const table = element("details", {}, element("summary", {}, data.mappings.length + " ranges as a table"));
    rows(table, ["device address", "memory", "rights"], data.mappings.map((row) => [row.iova, row.gpa, row.rights]));
    maps.append(map, element("p", { class: "legend" }, element("span", { class: "range read" }), " read ", element("span", { class: "range write" }), " write ", element("span", { class: "range both" }), " both"), table);
  }
}

document.title = data.title;
document.getElementById("title").textContent = data.title;
document.getElementById("subtitle").textContent = "glassbox " + data.version + ", " + data.run;
timeline();
const journeys = data.journeys.map((told, index) => new Journey(told, index));
for (const journey of journeys) document.getElementById("journeys").append(journey.node);
for (const journey of journeys) journey.goToHash();
addEventListener("hashchange", () => journeys.forEach((journey) => journey.goToHash()));
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, button, .scroll")) return;
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (by) { event.preventDefault(); journeys[0].go(journeys[0].at + by); }
});
walks();
iotlb();
latency();
figures();
