// The report in a real browser: no word on the console, no request beyond the file, every part is there, the keyboard steps, a link
// leads to its step, the IOTLB's slider goes back in time, axe finds nothing serious, light and dark. Screenshots are for people to
// look at.
//
//   npm install puppeteer-core axe-core, then: node tests/report/check.mjs PAGE.html SCREENSHOT-FOLDER
import puppeteer from "puppeteer-core";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { strict as assert } from "node:assert";

const [page_path, shots] = process.argv.slice(2);
const url = pathToFileURL(page_path).href;
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: ["--no-sandbox", "--disable-gpu"],
});
try {
  const page = await browser.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => { if (request.url().split("#")[0] !== url) said.push("asks for " + request.url()); });
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const width of [1280, 3840]) {
      await page.setViewport({ width, height: Math.round(width * 9 / 16) });
      await page.goto(url);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `at ${width} the page is ${wide} pixels too wide`);
      await page.screenshot({ path: `${shots}/${scheme}-${width}.png`, fullPage: true });
    }
    await page.addScriptTag({ path: axe });
    const found = await page.evaluate(() => window.axe.run());
    const serious = found.violations.filter((each) => ["serious", "critical"].includes(each.impact));
    assert.deepEqual(serious.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(" ")}`), [], scheme);
  }
  const count = () => page.$eval(".controls .soft", (node) => node.textContent);
  await page.setViewport({ width: 1280, height: 720 });
  await page.goto(url);
  assert.match(await count(), /^step 1 of /);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  assert.match(await count(), /^step 3 of /);
  await page.keyboard.press("ArrowLeft");
  assert.match(await count(), /^step 2 of /);
  const parts = [
    ".board .lit", ".step .plain", ".step dt", ".stages button", ".walk .box .field.set", ".fields.address .field", ".timeline .band",
    ".timeline .mark.step-of", "#iotlb .cell.full", "#iotlb .strip .hit", "#iotlb .strip .miss", "#latency .bar", "#mappings .ribbon",
    "#figures td",
  ];
  for (const part of parts) assert.ok(await page.$(part), `there is no ${part}`);
  assert.ok(!(await page.$eval("body", (body) => body.innerText)).includes("[object"), "an object shows as such");
  const link = await page.evaluate(() => location.href);
  await page.$$eval(".timeline .mark.step-of", (marks) => marks[0].dispatchEvent(new MouseEvent("click")));
  assert.notEqual(await page.evaluate(() => location.href), link, "a click on the timeline steps");
  const cached = () => page.$$eval("#iotlb .cell.full", (cells) => cells.length);
  const atTheEnd = await cached();
  await page.$eval("#iotlb-time", (slider) => { slider.value = 0; slider.dispatchEvent(new Event("input")); });
  assert.ok(await cached() < atTheEnd, "the IOTLB was emptier in the beginning");
  await page.focus(".journey");
  await page.keyboard.press("End");
  const [, at, of] = (await count()).match(/^step (\d+) of (\d+)/);
  assert.equal(at, of);
  const other = await browser.newPage();
  await other.goto(link);
  assert.match(await other.$eval(".controls .soft", (node) => node.textContent), /^step 2 of /);
  assert.deepEqual(said.filter((words) => !words.includes("axe")), []);
  console.log("the report is right: keyboard, links, axe, light and dark, 1280 and 3840");
} finally {
  await browser.close();
}
