// Drives a real Chromium for tests in another language: orders come in as lines of JSON, answers go out the same way.
// Knows nothing of Oxidask's pages; what they must be like is said by the tests, in tests/browser.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
// Each launch has a fresh profile, which ends with it.
const browser = await chromium.launch({
  executablePath,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Small containers have little of it.
    "--disable-dev-shm-usage",
  ],
});

/** Pages by number; each has a context, and so cookies, of its own. */
const pages = new Map();
let opened = 0;

const ORDERS = {
  async open({ url, scheme = "light", width = 1400, height = 900 }) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
    const page = await context.newPage();
    const problems = [];
    const origin = new URL(url).origin;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => problems.push(`exception: ${error.message}`));
    page.on("requestfailed", (request) => {
      // Whoever leaves a view takes back what it asked for.
      const why = request.failure()?.errorText;
      if (why !== "net::ERR_ABORTED") problems.push(`failed: ${request.url()} ${why}`);
    });
    page.on("response", (response) => {
      if (response.status() >= 400) problems.push(`answer ${response.status()}: ${response.url()}`);
    });
    page.on("request", (request) => {
      const target = new URL(request.url());
      if (target.protocol !== "data:" && target.origin !== origin) problems.push(`outside: ${target}`);
    });
    page.on("dialog", (dialog) => {
      problems.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    pages.set(++opened, { page, context, problems });
    await page.goto(url);
    return opened;
  },
  goto: ({ page }, { url }) => page.goto(url).then(() => null),
  js: ({ page }, { text }) => page.evaluate(text),
  async until({ page }, { text, seconds = 20 }) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const value = await page.evaluate(text);
      if (value) return value;
      if (Date.now() > end) {
        const seen = await page.evaluate("document.body.innerText.slice(0, 1500)");
        throw new Error(`waited ${seconds} s for: ${text}\nthe page says:\n${seen}`);
      }
      await page.waitForTimeout(30);
    }
  },
  press: ({ page }, { key }) => page.keyboard.press(key).then(() => null),
  click: ({ page }, { selector }) =>
    page
      .locator(selector)
      .first()
      .click()
      .then(() => null),
  hover: ({ page }, { selector }) =>
    page
      .locator(selector)
      .first()
      .hover()
      .then(() => null),
  async mouse({ page }, { moves }) {
    for (const [what, ...values] of moves) {
      if (what === "key") await page.keyboard[values[0]](values[1]);
      else await page.mouse[what](...values);
    }
    return null;
  },
  async axe({ page }) {
    await page.evaluate(`${AXE}; null`);
    const found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })");
    return found.violations.map((rule) => ({
      rule: rule.id,
      help: rule.help,
      where: rule.nodes.slice(0, 5).map((node) => node.html.slice(0, 200)),
    }));
  },
  walk: ({ page }) => walk(page),
  problems: (state) => state.problems,
  forget: (state) => {
    state.problems.length = 0;
    return null;
  },
  /** From now on, answers of the server with that in their address have this status. */
  answer: ({ page }, { pattern, status }) =>
    page.route(pattern, (route) => route.fulfill({ status, body: "" })).then(() => null),
  /** What is to be seen of the page, down to the end of an element. */
  async screenshot({ page }, { path, end = "body" }) {
    await page.mouse.move(0, 0);
    const { width, height } = page.viewportSize();
    const bottom = await page.evaluate(
      `Math.ceil(document.querySelector(${JSON.stringify(end)}).getBoundingClientRect().bottom)`,
    );
    const clip = { x: 0, y: 0, width, height: Math.min(height, bottom) };
    await page.screenshot({ path, animations: "disabled", clip });
    return null;
  },
  async close(state, { page }) {
    pages.delete(page);
    await state.context.close();
    return null;
  },
};

/** Presses Tab until the focus is through the page: which controls it missed, and where it could not be seen. */
async function walk(page) {
  await page.evaluate(() => {
    // A click elsewhere would be where Tab goes on from.
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute("tabindex");
    const selector = "a[href], button:not(:disabled), input, select, textarea, summary, [tabindex='0']";
    window.walked = { controls: [...document.querySelectorAll(selector)], seen: new Set(), hidden: [] };
    window.walked.controls = window.walked.controls.filter((control) => control.checkVisibility());
  });
  const count = await page.evaluate(() => window.walked.controls.length);
  for (let i = 0; i < count + 3; i++) {
    await page.keyboard.press("Tab");
    const on = await page.evaluate(() => {
      const control = document.activeElement;
      if (!control || control === document.body) return false;
      window.walked.seen.add(control);
      const style = getComputedStyle(control);
      const outlined = style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2;
      const frame = control.querySelector(".frame");
      const framed = frame && Number.parseFloat(getComputedStyle(frame).strokeWidth) >= 5;
      const place = control.getBoundingClientRect();
      const inSight =
        place.bottom > 0 && place.top < innerHeight && place.right > 0 && place.left < innerWidth;
      if ((!outlined && !framed) || !inSight) window.walked.hidden.push(control.outerHTML.slice(0, 160));
      return true;
    });
    if (!on) break;
  }
  return page.evaluate(() => ({
    controls: window.walked.controls.length,
    missed: window.walked.controls
      .filter((control) => !window.walked.seen.has(control))
      .map((control) => control.outerHTML.slice(0, 160)),
    hidden: window.walked.hidden,
  }));
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  let answer;
  try {
    const state = order.page === undefined ? null : pages.get(order.page);
    const act = ORDERS[order.do];
    const value = state ? await act(state, order) : await act(order);
    answer = { value: value ?? null };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
