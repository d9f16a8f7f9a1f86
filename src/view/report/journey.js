// The machine as blocks: where each stands, and which records light it.
const BLOCKS = [
  ["wire", "wire", 10, 70], ["nic", "e1000", 130, 70], ["iommu", "VT-d", 270, 70], ["memory", "memory", 410, 70],
  ["ioapic", "I/O APIC", 130, 150], ["remap", "remapping", 270, 150], ["lapic", "local APIC", 410, 150],
  ["cpu", "processor", 550, 110],
];
const WIRES = [
  ["wire", "nic", "M110 95H130"], ["nic", "iommu", "M240 95H270"], ["iommu", "memory", "M380 95H410"], ["nic", "ioapic", "M185 120V150"],
  ["ioapic", "remap", "M240 175H270"], ["remap", "lapic", "M380 175H410"], ["memory", "cpu", "M520 95H535V125H550"], ["lapic", "cpu", "M520 175H535V145H550"],
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
  const wires = WIRES.map(([from, to, d]) => ({ ends: [from, to], node: svg.appendChild(drawn("path", { d })) }));
  const groups = {};
  for (const [id, name, x, y] of BLOCKS) {
    const group = drawn("g", {});
    group.append(drawn("rect", { x, y, width: id === "wire" ? 100 : 110, height: 50, rx: 6 }));
    group.append(drawn("text", { x: x + (id === "wire" ? 50 : 55), y: y + 31 }, name));
    svg.append(group);
    groups[id] = group;
  }
  return [svg, groups, wires];
}

class Journey {
  constructor(told, index) {
    Object.assign(this, { told, index, at: 0 });
    this.key = "step" + (index === 0 ? "" : index + 1);
    const [svg, groups, wires] = board();
    Object.assign(this, { groups, wires });
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
    const cameFrom = steps.find((each) => each.id === step.cause);
    const seen = new Set(steps.slice(0, this.at).map(block));
    for (const [id, group] of Object.entries(this.groups)) group.setAttribute("class", id === lit ? "lit" : seen.has(id) ? "seen" : "");
    for (const { ends, node } of this.wires) node.setAttribute("class", cameFrom && ends.includes(lit) && ends.includes(block(cameFrom)) && lit !== block(cameFrom) ? "lit" : "");
    const stage = this.stageAt(this.at);
    this.buttons.forEach((node, n) => node.setAttribute("aria-current", String(n === stage)));
    this.count.textContent = "step " + (this.at + 1) + " of " + steps.length + (stage >= 0 ? ", " + stages[stage].name : "");
    const total = stages.reduce((sum, each) => sum + each.took_ps, 0) || 1;
    const delta = this.at === 0 ? 0 : step.time_ps - steps[this.at - 1].time_ps;
    const rows = [
      ["where", step.source + " (" + step.kind + ", " + step.event + ")"],
      ["when", moment(step.time_ps) + ", " + time(delta) + " after the step before, " + (delta * 100 / total).toFixed(1) + " % of the whole"],
      ["position", "record=" + step.id + ", insns=" + step.insns],
    ];
    for (const words of step.meaning) rows.push(["bits", words]);
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
    this.panel.replaceChildren(element("p", { class: "words" }, step.text), element("p", { class: "plain" }, step.plain), list);
    if (!silent) history.replaceState(null, "", "#" + journeys.map((each) => each.key + "=" + each.told.steps[each.at].id).join("&"));
    if (this.index === 0) markTimeline(step.id);
  }
  goToId(id) { this.go(this.told.steps.findIndex((step) => step.id === id)); }
  goToHash() {
    const found = location.hash.slice(1).split("&").map((part) => part.split("=")).find(([key]) => key === this.key);
    const at = found ? this.told.steps.findIndex((step) => String(step.id) === found[1]) : 0;
    this.go(Math.max(at, 0), true);
  }
}

