import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Where Debian puts its browser. */
const CHROMIUM = '/usr/bin/chromium';
export const WIDTHS = [360, 768, 1440] as const;
export const SCHEMES = ['light', 'dark'] as const;

export async function openBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
}

/** What the console of a page said that is an error, and what broke. */
export function complaintsOf(page: Page): string[] {
  const said: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') said.push(message.text());
  });
  page.on('pageerror', (error) => said.push(String(error)));
  return said;
}

/** What axe finds that is serious: `rule: where`. It is run beside the page, whose policy lets nothing in. */
export async function seriousOf(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = (await page.evaluate('axe.run()')) as axe.AxeResults;
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(' ')}`));
}

/** `node test/page/look.ts URL FOLDER [TAB...]`: pictures of a page that runs, and what is wrong with it. */
async function look(url: string, folder: string, tabs: readonly string[]): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const browser = await openBrowser();
  for (const colorScheme of SCHEMES) {
    for (const width of WIDTHS) {
      const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
      const complaints = complaintsOf(page);
      for (const tab of tabs) {
        await page.goto(`${url}/#/${tab}`);
        await page.waitForTimeout(1_500);
        await page.screenshot({ path: join(folder, `${tab}-${width}-${colorScheme}.png`), fullPage: true });
        const wide = Number(await page.evaluate('document.documentElement.scrollWidth'));
        const serious = await seriousOf(page);
        const wrong = [...(wide > width ? [`${wide} px wide`] : []), ...serious, ...complaints.splice(0)];
        process.stdout.write(
          `${tab} ${width} ${colorScheme}: ${wrong.length === 0 ? 'well' : wrong.join('; ')}\n`,
        );
      }
      await page.close();
    }
  }
  await browser.close();
}

const [, script, url, folder, ...tabs] = process.argv;
if (script?.endsWith('look.ts') === true && url !== undefined && folder !== undefined)
  await look(url, folder, tabs.length === 0 ? ['now'] : tabs);
