// Looks at every page in a real Chromium, against the pretend server: `npm run test:browser`.
// Where Chromium is not at /usr/bin/chromium, CHROMIUM says where it is.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const PORT = 8790;
const ORIGIN = `http://localhost:${PORT}`;
const PAGES = ["status", "stream", "progress", "graph", "headroom", "workers", "errors", "about"];
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath}`;
const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];

let server;
let browser;

before(async () => {
  if (skip) return;
  server = spawn("node", [new URL("../mock/server.mjs", import.meta.url).pathname, String(PORT)]);
  await new Promise((ready) => server.stdout.once("data", ready));
  browser = await chromium.launch({ executablePath, args: ARGUMENTS });
});

after(async () => {
  await browser?.close();
  server?.kill();
});

/** Opens a page and gives it together with what went wrong on it. */
async function opened(path, { colorScheme = "light", wait = ".answer" } = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, colorScheme });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(ORIGIN) && !request.url().startsWith("data:"))
      wrong.push(`outside: ${request.url()}`);
  });
  await page.goto(ORIGIN + path);
  await page.waitForSelector(wait);
  return { page, wrong, close: () => context.close() };
}

for (const run of ["normal", "empty", "noworkers", "weird", "errors"]) {
  test(`every page of the run "${run}" is drawn without an error and without an empty panel`, {
    skip,
  }, async () => {
    for (const name of PAGES) {
      const { page, wrong, close } = await opened(`/${run}/${name}`, {
        colorScheme: run === "weird" ? "dark" : "light",
      });
      await page.waitForTimeout(700);
      assert.deepEqual(wrong, [], `${run}/${name}`);
      const panels = await page.locator(".panel").all();
      for (const panel of panels)
        assert.ok((await panel.innerText()).trim().length > 8, `${run}/${name} has an empty panel`);
      const wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth");
      assert.equal(wide, false, `${run}/${name} is wider than the window`);
      await close();
    }
  });
}

test("the first page says the limit and the time left", { skip }, async () => {
  const { page, close } = await opened("/gil/status");
  assert.match(await page.locator("h1").innerText(), /GIL limits this run/);
  assert.match(await page.locator(".numbers").innerText(), /time left\s+\d/);
  await close();
});

test("a thread that computes has the colour of its group, one that waits the background", {
  skip,
}, async () => {
  const { page, close } = await opened("/ended/stream?t0=0&t1=2", { wait: ".chip" });
  await page.waitForTimeout(700);
  const pixel = (x) =>
    page.evaluate((at) => {
      const canvas = document.querySelector(".stream-box canvas");
      return Array.from(canvas.getContext("2d").getImageData(at, 5, 1, 1).data.slice(0, 3));
    }, x);
  const width = await page.evaluate("document.querySelector('.stream-box canvas').width");
  const at = (seconds) => Math.round(124 + ((width - 124) * seconds) / 2);
  assert.deepEqual(await pixel(at(0.1)), [0xec, 0xee, 0xf1], "before the first task");
  const [red, green, blue] = await pixel(at(0.345));
  assert.ok(red < 120 && green > 120 && blue > 220, `in the first group: ${[red, green, blue]}`);
  await close();
});

test("wheel, back, keys and a click do what the help says", { skip }, async () => {
  const { page, wrong, close } = await opened("/ended/stream", { wait: ".chip" });
  const box = await page.locator(".stream-box canvas").boundingBox();
  await page.mouse.move(box.x + 500, box.y + 10);
  await page.mouse.wheel(0, -300);
  await page.waitForURL(/t0=.*t1=/);
  await page.goBack();
  await page.waitForURL((url) => !url.search.includes("t0"));
  await page.mouse.click(box.x + 500, box.y + 10);
  await page.waitForSelector(".tip.pinned");
  await page.keyboard.press("Escape");
  await page.waitForSelector(".tip.pinned", { state: "detached" });
  await page.keyboard.press("6");
  await page.waitForURL(/\/ended\/workers$/);
  await page.keyboard.press("?");
  await page.waitForSelector("dialog[open]");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog[open]", { state: "detached" });
  assert.deepEqual(wrong, []);
  await close();
});

test("a thousand workers make a table of a few dozen rows", { skip }, async () => {
  const { page, close } = await opened("/big/workers", { wait: ".fixed-rows tbody tr" });
  assert.match(await page.locator("h1").innerText(), /^1,000 workers/);
  const count = () => page.locator(".fixed-rows tbody tr").count();
  assert.ok((await count()) < 80);
  await page.evaluate("document.querySelector('.table-box.scroll').scrollTop = 20000");
  await page.waitForTimeout(300);
  assert.ok((await count()) < 80);
  assert.match(await page.locator(".fixed-rows tbody").innerText(), /node-7/);
  await close();
});

test("the page keeps its last picture when the cluster has ended", { skip }, async () => {
  const { page, close } = await opened("/gone/status", { wait: ".numbers" });
  await page.waitForSelector(".dot.ended", { timeout: 20_000 });
  assert.match(await page.locator(".numbers").innerText(), /tasks done/);
  await close();
});
