// What happened when: the timeline, the IOTLB over time, how long interrupts waited.
let marks = new Map();
function markTimeline(id) {
  for (const [of, node] of marks) node.classList.toggle("own", of === id);
}
function timeline() {
  const place = document.getElementById("timeline");
  const records = data.timeline;
  if (records.length === 0) { place.append(element("p", {}, "Nothing happened then.")); return; }
  const lanes = [...new Set(records.map((record) => record.lane))];
  const [first, last] = [records[0].time_ps, records[records.length - 1].time_ps];
  const [left, width, height, top] = [110, 1100, 30, 26];
  const at = (ps) => left + (ps - first) / (last - first || 1) * width;
  const bottom = top + lanes.length * height;
  const svg = drawn("svg", { class: "timeline", viewBox: "0 0 " + (left + width + 45) + " " + (bottom + 30), role: "img", "aria-label": "records of each part of the machine over time" });
  data.journeys[0].stages.forEach((stage, n) => {
    const [x, end] = [at(Math.max(stage.begin_ps, first)), at(Math.min(stage.begin_ps + stage.took_ps, last))];
    if (end <= x || x > left + width) return;
    const band = drawn("rect", { class: "band" + (n % 2 ? " odd" : ""), x, y: top - 4, width: end - x, height: bottom - top + 4 });
    band.append(drawn("title", {}, stage.name + ", " + time(stage.took_ps)));
    svg.append(band);
    if (end - x > stage.name.length * 6.6) svg.append(drawn("text", { class: "band-name", x: (x + end) / 2, y: 15 }, stage.name));
  });
  lanes.forEach((lane, n) => {
    svg.append(drawn("text", { class: "lane-name", x: 4, y: top + n * height + 19 }, lane));
    svg.append(drawn("path", { class: "lane", d: "M" + left + " " + (top + n * height + 14) + "h" + width }));
  });
  // Records of one moment in one lane lie on each other: those that come first lie above.
  const inJourney = new Set(data.journeys[0].steps.map((step) => step.id));
  for (const record of [...records].reverse()) {
    const mark = drawn("rect", { class: "mark " + record.kind, x: at(record.time_ps) - 2, y: top + lanes.indexOf(record.lane) * height + 5, width: 4, height: 18, rx: 1.5 });
    mark.append(drawn("title", {}, "#" + record.id + " " + moment(record.time_ps) + " " + record.text));
    if (inJourney.has(record.id)) {
      mark.classList.add("step-of");
      mark.addEventListener("click", () => journeys[0].goToId(record.id));
    }
    marks.set(record.id, mark);
    svg.append(mark);
  }
  for (let n = 0; n <= 4; n += 1) {
    const x = left + width * n / 4;
    svg.append(drawn("path", { class: "lane", d: "M" + x + " " + bottom + "v5" }));
    svg.append(drawn("text", { class: "lane-name tick", x, y: bottom + 20 }, n === 0 ? moment(first) : "+" + time((last - first) * n / 4)));
  }
  place.append(svg);
  const kinds = [...new Set(records.map((record) => record.kind))].sort();
  document.getElementById("timeline-legend").append(legend(...kinds.map((kind) => ["mark-" + kind, kind])));
}

// The IOTLB's contents after the events up to `upTo`.
function iotlbAt(upTo) {
  const { sets, ways, events } = data.iotlb;
  const held = Array.from({ length: ways }, () => Array(sets).fill(null));
  let [hits, misses] = [0, 0];
  for (const event of events.slice(0, upTo + 1)) {
    if (event.what === "hit") hits += 1;
    if (event.what === "miss") misses += 1;
    if (event.what === "insert") held[event.way][event.set] = event;
    if (event.what === "evict") held[event.way][event.set] = null;
    if (event.what === "invalidate") {
      const goes = (entry) => entry && (event.domain === undefined || entry.domain === event.domain)
        && (event.first === undefined || (entry.page < event.last && entry.page + entry.pages > event.first));
      held.forEach((way) => way.forEach((entry, set) => { if (goes(entry)) way[set] = null; }));
    }
  }
  return { held, hits, misses };
}
// Hits and misses of the whole run as a strip over time; wide where much happened.
function iotlbStrip(events) {
  const columns = Math.min(events.length, 240);
  const svg = drawn("svg", { class: "strip", viewBox: "0 0 " + columns + " 20", preserveAspectRatio: "none", role: "img", "aria-label": "hits and misses in the order in which they happened" });
  for (let column = 0; column < columns; column += 1) {
    const part = events.slice(Math.floor(column * events.length / columns), Math.floor((column + 1) * events.length / columns));
    const [hits, misses] = ["hit", "miss"].map((what) => part.filter((event) => event.what === what).length);
    const share = hits + misses ? hits / (hits + misses) : 0;
    if (hits) svg.append(drawn("rect", { class: "hit", x: column, y: 20 - 20 * share, width: 1, height: 20 * share }));
    if (misses) svg.append(drawn("rect", { class: "miss", x: column, y: 0, width: 1, height: 20 - 20 * share }));
    if (part.some((event) => event.what === "invalidate")) svg.append(drawn("rect", { class: "gone", x: column, y: 0, width: 1, height: 4 }));
  }
  return svg;
}
function iotlb() {
  const place = document.getElementById("iotlb");
  const { sets, ways, events } = data.iotlb;
  if (events.length === 0) { place.append(element("p", {}, "No address was translated.")); return; }
  const said = element("p", { "aria-live": "polite" });
  const grid = element("div", { class: "grid", style: "grid-template-columns:max-content repeat(" + sets + ",minmax(5.6rem,1fr))" });
  grid.append(element("span"));
  for (let set = 0; set < sets; set += 1) grid.append(element("span", { class: "soft head" }, "set " + set));
  const cells = Array.from({ length: ways }, (_, way) => {
    grid.append(element("span", { class: "soft head" }, "way " + way));
    return Array.from({ length: sets }, () => grid.appendChild(element("div", { class: "cell mono" })));
  });
  const slider = element("input", { type: "range", min: 0, max: events.length - 1, value: events.length - 1, id: "iotlb-time" });
  const show = () => {
    const upTo = Number(slider.value);
    const { held, hits, misses } = iotlbAt(upTo);
    const event = events[upTo];
    cells.forEach((row, way) => row.forEach((cell, set) => {
      const entry = held[way][set];
      const answers = event.what === "hit" && entry && entry.domain === event.domain && event.page >= entry.page && event.page < entry.page + entry.pages;
      const now = answers ? " hit" : event.set === set && event.way === way ? " now" : "";
      cell.className = "cell mono" + (entry ? " full" : "") + now;
      cell.textContent = entry ? entry.iova : "";
      cell.title = "set " + set + " way " + way + (entry ? ", domain " + entry.domain + ", " + entry.iova + " -> " + entry.gpa : ", empty");
    }));
    said.textContent = moment(event.time_ps) + ", #" + event.id + ": " + event.text + ". " + hits + " hits and " + misses + " misses so far.";
  };
  slider.addEventListener("input", show);
  place.append(iotlbStrip(events), legend(["hit", "hit"], ["miss", "miss"], ["gone", "something was invalidated"]),
    element("label", { for: "iotlb-time" }, "moment"), slider, said,
    element("p", { class: "soft" }, "What was invalidated or evicted is gone; the entry that answers, or changes, is framed." + (data.iotlb.cut ? " Only the first " + events.length + " events are kept." : "")),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "IOTLB by set and way" }, grid));
  show();
}

// One bar for each power of two nanoseconds between the shortest and the longest.
function histogram(buckets) {
  const powers = buckets.map((bucket) => Math.round(Math.log2(bucket.under_ps / 1000)));
  const [low, high] = [Math.min(...powers), Math.max(...powers)];
  const most = Math.max(...buckets.map((bucket) => bucket.count));
  const [step, tall] = [84, 120];
  const svg = drawn("svg", { class: "histogram", viewBox: "0 0 " + ((high - low + 1) * step + 10) + " " + (tall + 50), style: "max-width:" + ((high - low + 1) * 5.4 + 1) + "rem", role: "img", "aria-label": buckets.map((bucket) => bucket.count + " under " + time(bucket.under_ps)).join(", ") });
  for (let power = low; power <= high; power += 1) {
    const bucket = buckets[powers.indexOf(power)];
    const count = bucket ? bucket.count : 0;
    const [x, bar] = [(power - low) * step + 5, count ? Math.max(count / most * tall, 2) : 0];
    svg.append(drawn("rect", { class: "bar", x: x + 4, y: 20 + tall - bar, width: step - 8, height: bar }));
    if (count) svg.append(drawn("text", { x: x + step / 2, y: 15 + tall - bar }, String(count)));
    svg.append(drawn("text", { class: "lane-name tick", x: x + step / 2, y: tall + 38 }, "< " + time(1000 * 2 ** power)));
  }
  svg.append(drawn("path", { class: "lane", d: "M5 " + (20 + tall) + "H" + ((high - low + 1) * step + 5) }));
  return svg;
}
function latency() {
  const place = document.getElementById("latency");
  if (data.latencies.length === 0) { place.append(element("p", {}, "No interrupt was taken.")); return; }
  place.append(element("p", { class: "soft" }, "From the moment at which an interrupt is pending in the local APIC to the one at which the processor takes it. A processor that sleeps takes it at once; one that works in a handler, or with interrupts off, lets it wait."));
  for (const each of data.latencies) {
    place.append(element("h3", {}, "vector " + hex(each.vector) + ": " + each.count + (each.count === 1 ? " time" : " times") + "; median " + time(each.median_ps) + ", longest " + time(each.max_ps)), histogram(each.buckets));
  }
}
