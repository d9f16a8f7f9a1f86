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
    if (Math.abs(ps) >= size) return (ps / size).toFixed(3).replace(/[.]?0+$/, "") + " " + unit;
  }
  return ps + " ps";
}
function moment(ps) { return (ps / 1e9).toFixed(6) + " ms"; }
function hex(number) { return "0x" + number.toString(16); }
function legend(...entries) {
  const node = element("p", { class: "legend" });
  for (const [kind, words] of entries) node.append(element("span", { class: "key " + kind }), words);
  return node;
}
