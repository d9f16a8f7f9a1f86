// Tables, the map of what the card can reach, and the start of it all.
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

// A figure that is made of figures becomes one line.
function plain(value) {
  if (Array.isArray(value)) return value.map((each) => each.part ? each.part + ": " + each.counts.map((one) => one.count + " " + one.what).join(", ") : plain(each)).join("; ");
  if (value && typeof value === "object") return Object.entries(value).map(([name, count]) => count + " " + name).join(", ") || "none";
  return String(value);
}
function figures() {
  const place = document.getElementById("figures");
  if (data.figures) rows(place, ["figure", "value"], Object.entries(data.figures).map(([name, value]) => [name, plain(value)]));
  else place.append(element("p", {}, "The report was made from a trace file, which has no figures of the machine."));
}

const RIGHTS = { "r-": "read", "-w": "write", rw: "both" };
// Device addresses above, memory below, both in order and without the gaps; a ribbon is a range.
function ribbons(ranges) {
  const [width, height] = [1200, 150];
  const inMemory = [...ranges].sort((a, b) => a.at - b.at);
  const step = width / ranges.length;
  const svg = drawn("svg", { class: "ribbons", viewBox: "0 0 " + width + " " + (height + 40), role: "img", "aria-label": ranges.length + " ranges: device addresses above, memory below" });
  ranges.forEach((range, n) => {
    const [x, to] = [n * step, inMemory.indexOf(range) * step];
    const ribbon = drawn("path", { class: "ribbon " + RIGHTS[range.rights], d: "M" + x + " 20h" + step + "C" + (x + step) + " 90 " + (to + step) + " 80 " + (to + step) + " " + (height + 20) + "h" + -step + "C" + to + " 80 " + x + " 90 " + x + " 20Z" });
    ribbon.append(drawn("title", {}, range.iova + " -> " + range.gpa + ", " + range.rights));
    svg.append(ribbon);
  });
  const ends = (list, of, y) => {
    svg.append(drawn("text", { class: "lane-name", x: 0, y }, of(list[0])));
    svg.append(drawn("text", { class: "lane-name end", x: width, y }, of(list[list.length - 1])));
  };
  ends(ranges, (range) => range.iova.split("-")[0], 14);
  ends(inMemory, (range) => range.gpa, height + 36);
  svg.append(drawn("text", { class: "lane-name tick", x: width / 2, y: 14 }, "device addresses"), drawn("text", { class: "lane-name tick", x: width / 2, y: height + 36 }, "memory"));
  return svg;
}
function mappings() {
  const place = document.getElementById("mappings");
  if (!data.mappings) { place.append(element("p", {}, "The report was made from a trace file, which has no memory.")); return; }
  const ranges = data.mappings.map((row) => ({ ...row, at: Number(row.gpa) }));
  if (ranges.length === 0) { place.append(element("p", {}, "Nothing is mapped: the card can reach no memory.")); return; }
  const domains = [...new Set(data.iotlb.events.map((event) => event.domain).filter((domain) => domain !== undefined))];
  const table = element("details", {}, element("summary", {}, ranges.length + " ranges as a table"));
  rows(table, ["device address", "memory", "rights"], ranges.map((row) => [row.iova, row.gpa, row.rights]));
  place.append(element("p", {}, "00:02.0" + (domains.length > 0 ? ", domain " + domains.join(", ") : "") + ": " + ranges.length + " ranges"),
    ribbons(ranges), legend(["read", "the card may read"], ["write", "it may write"], ["both", "both"]), table);
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
mappings();
figures();
