/** A real browser, Debian's Chromium, and pages that record all their errors. */
import { existsSync } from 'node:fs';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { Test } from 'tap';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** Where a Chromium is, by `CHROMIUM` or where systems put it; undefined where there is none. */
const chromiumPath = (): string | undefined =>
  [process.env.CHROMIUM ?? '', ...PLACES].find((place) => place !== '' && existsSync(place));

/** For `skip` of a test: false, or what is missing. */
export const noChromium = (): string | false =>
  chromiumPath() === undefined && 'no Chromium here: install it (Debian: apt-get install chromium), or set CHROMIUM';

interface PageOptions {
  theme?: 'light' | 'dark';
  width?: number;
  height?: number;
  /** Console errors that belong to the test. */
  expected?: RegExp;
}

interface Opened {
  page: Page;
  /** Errors, violations of the Content-Security-Policy, and requests to other hosts, so far. */
  problems: () => Promise<string[]>;
}

export interface Chromium {
  browser: Browser;
  open: (url: string, options?: PageOptions) => Promise<Opened>;
}

/** Launches a browser that ends with the test. */
export async function startChromium(t: Pick<Test, 'teardown'>): Promise<Chromium> {
  const executablePath = chromiumPath();
  if (executablePath === undefined) throw new Error('no Chromium');
  // As root, as in containers, it refuses its own sandbox.
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  t.teardown(() => browser.close());
  return { browser, open: (url, options) => openPage(browser, url, options) };
}

async function openPage(
  browser: Browser,
  url: string,
  { theme = 'light', width = 1440, height = 900, expected }: PageOptions = {},
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme });
  await context.addInitScript(
    `self.violations = []; addEventListener('securitypolicyviolation', (event) =>
       self.violations.push(event.violatedDirective + ' ' + event.blockedURI));`,
  );
  const page = await context.newPage();
  const found: string[] = [];
  const { host } = new URL(url);
  page.on('pageerror', (error) => found.push(`error: ${error.stack ?? error.message}`));
  page.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !expected?.test(text)) found.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    if (new URL(request.url()).host !== host) found.push(`request to another host: ${request.url()}`);
  });
  await page.goto(url);
  return {
    page,
    problems: async () => [...found, ...(await page.evaluate<string[]>('self.violations')).map((v) => `policy: ${v}`)],
  };
}

/** As when its tab goes to the back, or to the front again: a browser without windows has no such tabs. */
export async function showPage(page: Page, state: 'hidden' | 'visible'): Promise<void> {
  await page.evaluate(`Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'))`);
}

/** What axe-core finds wrong: one sentence a rule, with the first place of each. */
export async function axeViolations(page: Page): Promise<string[]> {
  // Evaluated by the debugger, which no policy of the page concerns.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>('axe.run(document, { resultTypes: ["violations"] })');
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0]?.html} ${nodes[0]?.failureSummary ?? ''}`);
}
