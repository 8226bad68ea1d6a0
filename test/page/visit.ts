import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect, inject } from 'vitest';

export const WIDTHS = [360, 768, 1440] as const;
export const SCHEMES = ['light', 'dark'] as const;
const HEIGHT = 900;
/** Longer than any answer, and than a stream that was cut takes to come back. */
const PATIENCE_MS = 60_000;
const ROWS_MOST = 200;
const LOAD_MOST_BYTES = 150_000;

/** Pictures go there, where somebody wants to look at them. */
const PICTURES = process.env['PAGE_PICTURES'];

let browser: Promise<Browser> | undefined;

export type VisitOptions = {
  /** Of the scene, in the names of pictures. */
  readonly scene: string;
  readonly url: string;
  /** True where requests fail since something is dead: the browser says so in its console. */
  readonly areCut?: boolean;
};

/** The page of a daemon in a window of its own, and all that is wrong with it. */
export class Visit {
  readonly page: Page;
  readonly #context: BrowserContext;
  readonly #options: VisitOptions;
  readonly #faults: string[] = [];

  private constructor(context: BrowserContext, page: Page, options: VisitOptions) {
    this.#context = context;
    this.page = page;
    this.#options = options;
    const origin = new URL(options.url).origin;
    page.on('console', (message) => {
      const text = message.text();
      if (message.type() !== 'error') return;
      if (options.areCut === true && text.startsWith('Failed to load resource: net::')) return;
      this.#faults.push(`console: ${text}`);
    });
    page.on('pageerror', (error) => this.#faults.push(`broke: ${error.message}`));
    page.on('dialog', (dialog) => {
      this.#faults.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith('data:') && new URL(url).origin !== origin)
        this.#faults.push(`left the origin: ${url}`);
    });
  }

  static async open(options: VisitOptions): Promise<Visit> {
    browser ??= chromium.connect(inject('chromium'));
    const context = await (await browser).newContext({
      ...{ viewport: { width: 1440, height: HEIGHT }, colorScheme: 'light', reducedMotion: 'reduce' },
      locale: 'en-GB',
    });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    return new Visit(context, page, options);
  }

  /** The tabs of the page, as they stand in its address; the page is opened for it. */
  async tabs(): Promise<readonly string[]> {
    await this.page.goto(this.#options.url);
    await this.shown();
    return await this.page.evaluate<string[]>(
      "[...document.querySelectorAll('nav a')].map(({ hash }) => hash.slice(2))",
    );
  }

  /** Opens a tab, and waits until what it shows is there. */
  async tab(path: string): Promise<void> {
    const { page } = this;
    const url = `${this.#options.url}/#/${path}`;
    if (page.url().startsWith(this.#options.url)) await page.evaluate(`location.hash = '#/${path}'`);
    else await page.goto(url);
    await this.shown(`[href="#/${path}"]`);
  }

  /** Waits until a tab stands, and nothing of it is still read. */
  async shown(which = ''): Promise<void> {
    const { page } = this;
    await page.locator(`nav a[aria-current=page]${which}`).waitFor({ state: 'attached' });
    await page.locator('main > :nth-child(2)').waitFor({ state: 'attached' });
    await page.locator('.waiting').first().waitFor({ state: 'detached' });
  }

  /** At every width, in both themes: nothing is too wide, and axe finds nothing serious. */
  async look(tab: string, isThorough = true): Promise<void> {
    const { page } = this;
    const found: string[] = [];
    for (const scheme of SCHEMES) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: HEIGHT });
        const at = `${tab}, ${width} px, ${scheme}`;
        const { wide, rows } = await page.evaluate<{ wide: number; rows: number }>(LAYOUT);
        if (wide > 0) found.push(`${at}: ${wide} px too wide`);
        if (rows > ROWS_MOST) found.push(`${at}: ${rows} rows`);
        // Colours follow from the theme, and what there is from the width.
        const isExtreme = (scheme === 'light') === (width === 1440) && width !== 768;
        if (isThorough || isExtreme)
          for (const serious of await this.#serious()) found.push(`${at}: ${serious}`);
        await this.#picture(`${tab}-${width}-${scheme}`);
      }
    }
    await page.emulateMedia({ colorScheme: 'light' });
    expect(found, this.#options.scene).toEqual([]);
    this.expectSound();
  }

  /** Every element that does something can be reached by the key Tab alone. */
  async expectReachable(): Promise<void> {
    const { page } = this;
    await page.setViewportSize({ width: 1440, height: HEIGHT });
    const wanted = await page.evaluate<number>(NAME_REACHABLE);
    const reached = new Set<string>();
    for (let press = 0; press < wanted * 2 + 20 && reached.size < wanted; press += 1) {
      await page.keyboard.press('Tab');
      const name = await page.evaluate<string | null>('document.activeElement?.dataset.reach ?? null');
      if (name !== null) reached.add(name);
    }
    const missed = await page.evaluate<string[]>(
      `[...document.querySelectorAll('[data-reach]')]
        .filter((element) => !${JSON.stringify([...reached])}.includes(element.dataset.reach))
        .map((element) => element.outerHTML.slice(0, 120))`,
    );
    expect(missed).toEqual([]);
    expect(wanted).toBeGreaterThan(3);
  }

  /** Nothing was said in the console, nothing broke, and nothing left the origin. */
  expectSound(): void {
    expect(this.#faults, this.#options.scene).toEqual([]);
  }

  async close(): Promise<void> {
    await this.#context.close();
  }

  async #serious(): Promise<string[]> {
    const { page } = this;
    // Beside the page, whose policy lets nothing in.
    if ((await page.evaluate<string>('typeof axe')) === 'undefined') await page.evaluate(axe.source);
    const { violations } = await page.evaluate<axe.AxeResults>(
      "axe.run(document, { resultTypes: ['violations'] })",
    );
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(' ')}`));
  }

  async #picture(name: string): Promise<void> {
    if (PICTURES === undefined) return;
    const folder = join(PICTURES, this.#options.scene);
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  }
}

const LAYOUT = `({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  rows: document.querySelectorAll('tr, [role=row]').length,
})`;

/** Numbers all that can be acted on and is seen; gives how many there are. */
const NAME_REACHABLE = `[...document.querySelectorAll(
    'a[href], button:not(:disabled), input:not(:disabled), select, textarea, summary, [tabindex="0"]')]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }))
  .map((element, at) => { element.dataset.reach = at; return at; }).length`;

/** Bytes on the wire until a page stands, by their transfer size: what a browser without any of it loads. */
export async function bytesOfFirstLoad(scene: string, url: string): Promise<number> {
  const visit = await Visit.open({ scene, url });
  const session = await visit.page.context().newCDPSession(visit.page);
  await session.send('Network.enable');
  let bytes = 0;
  session.on('Network.loadingFinished', ({ encodedDataLength }) => {
    bytes += encodedDataLength;
  });
  await visit.page.goto(url);
  await visit.shown();
  await visit.page.waitForLoadState('load');
  await visit.close();
  expect(bytes, 'the first load').toBeGreaterThan(10_000);
  expect(bytes, 'the first load').toBeLessThan(LOAD_MOST_BYTES);
  return bytes;
}

/** Opens a page, and closes it when `look` is done. */
export async function visiting<T>(options: VisitOptions, look: (visit: Visit) => Promise<T>): Promise<T> {
  const visit = await Visit.open(options);
  try {
    return await look(visit);
  } finally {
    await visit.close();
  }
}
