// A page walk, drawn: the address with the bits that choose each entry, and the entries as boxes with their fields.
const TABLES = { 5: "context entry", 6: "root entry", 7: "PASID table entry", 8: "PASID directory entry", 9: "context entry", 10: "root entry" };
function levelName(level) {
  if (TABLES[level]) return TABLES[level];
  return level >= 16 ? "first-stage level " + (level - 15) : "level " + (level + 1);
}
// Fields of an entry by the specification's names (9.1, 9.3, 9.8): name, highest bit, lowest bit, what it says when set.
const PAGES = [
  ["ADDR", 51, 12, ""], ["SNP", 11, 11, "snooped"], ["PS", 7, 7, "a page, no table"], ["W", 1, 1, "may be written"], ["R", 0, 0, "may be read"],
];
const FIELDS = {
  6: [["CTP", 63, 12, "context table"], ["P", 0, 0, "present"]],
  5: [["DID", 87, 72, "domain"], ["AW", 66, 64, "levels of tables, minus 2"], ["ADDR", 63, 12, "page tables"], ["TT", 3, 2, "how it is translated"], ["FPD", 1, 1, "faults not recorded"], ["P", 0, 0, "present"]],
};
function bitsOf(raw, high, low) { return raw >> BigInt(low) & (1n << BigInt(high - low + 1)) - 1n; }
// The page's numbers are exact up to 53 bits; an entry is taken from its text, which is exact.
function rawOf(step) {
  const digits = step.text.match(/is ([0-9a-f]{16})/);
  return BigInt("0x" + (digits ? digits[1] : "0")) | BigInt(step.entry[1]) << 64n;
}
function fieldsOf(step) {
  const row = element("div", { class: "fields" });
  const raw = rawOf(step);
  for (const [name, high, low, says] of FIELDS[step.level] || (step.level < 5 ? PAGES : [])) {
    const value = bitsOf(raw, high, low);
    const places = high === low ? "bit " + low : "bits " + high + ":" + low;
    const shown = high === low ? String(value) : "0x" + (name === "ADDR" || name === "CTP" ? value << 12n : value).toString(16);
    row.append(element("span", { class: "field" + (value ? " set" : ""), title: places + (says ? ": " + says : "") },
      element("b", {}, name), element("code", {}, shown)));
  }
  return row;
}
// Bits of the address that choose the entry of a level: nine each, from bit 12 on.
function address(iova, levels, offset) {
  const row = element("div", { class: "fields address" });
  const value = BigInt(iova);
  for (const level of levels) {
    const low = 12 + 9 * level;
    row.append(element("span", { class: "field", title: "bits " + (low + 8) + ":" + low + " choose the entry of level " + (level + 1) },
      element("b", {}, "L" + (level + 1) + " index"), element("code", {}, String(bitsOf(value, low + 8, low)))));
  }
  row.append(element("span", { class: "field", title: "bits " + (offset - 1) + ":0 stay as they are" },
    element("b", {}, "offset"), element("code", {}, "0x" + bitsOf(value, offset - 1, 0).toString(16))));
  return row;
}
function walks() {
  const place = document.getElementById("walks");
  const steps = data.journeys[0].steps;
  const walked = new Map();
  for (const step of steps.filter((each) => each.event === "WalkStep")) {
    if (!walked.has(step.cause)) walked.set(step.cause, []);
    walked.get(step.cause).push(step);
  }
  if (walked.size === 0) place.append(element("p", {}, "No table was walked: the IOTLB and the context cache had every answer."));
  for (const [cause, entries] of walked) {
    const asked = steps.find((step) => step.id === cause);
    place.append(element("h3", {}, asked ? asked.text : "walk of #" + cause));
    const iova = ((asked && asked.text.match(/iova (0x[0-9a-f]+)/)) || [])[1];
    const levels = entries.map((entry) => entry.level).filter((level) => level < 5);
    if (iova && levels.length > 0) place.append(address(iova, levels, 12 + 9 * levels[levels.length - 1]));
    const row = element("div", { class: "walk scroll", tabindex: "0", role: "region", "aria-label": "entries read, in order" });
    entries.forEach((entry, n) => {
      const words = entry.meaning.join(" ");
      const kind = words.includes("page at") ? " leaf" : words.includes("not present") ? " fault" : "";
      if (n > 0) row.append(element("span", { class: "then", "aria-hidden": "true" }, "→"));
      row.append(element("div", { class: "box" + kind }, element("strong", {}, levelName(entry.level)),
        element("a", { class: "soft", href: "#step=" + entry.id }, "#" + entry.id), element("code", {}, "at " + hex(entry.entry_gpa)), fieldsOf(entry), element("span", {}, words)));
    });
    place.append(row);
  }
}
