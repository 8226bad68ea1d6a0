import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, it } from 'vitest';
import { until } from '../e2e/evidence.ts';
import { apiOf } from './figures.ts';
import { type Crowd, startCrowd, Undo } from './scenes.ts';
import { type Visit, visiting } from './visit.ts';

const undo = new Undo();
let crowd: Crowd;

beforeAll(async () => {
  crowd = await startCrowd(undo);
});

type Workers = { readonly total: number; readonly items: readonly { readonly name: string }[] };

const workersBy = (query: string): Promise<Workers> => apiOf(crowd.url, `/workers?${query}`);
const byName = (offset: number): Promise<Workers> =>
  workersBy(`sort=name&order=ascending&offset=${offset}&limit=1`);

/** Waits for a row of the table, and gives the name in it. */
async function rowAt({ page }: Visit, index: number): Promise<string> {
  const row = page.locator(`table tr[aria-rowindex="${index}"]`);
  await row.waitFor({ state: 'attached' });
  return (await row.locator('.text').first().getAttribute('title'))!;
}

/** Scrolls the table so that a part of it is above what is seen: 1 is its end. */
async function scroll({ page }: Visit, part: number): Promise<void> {
  await page.evaluate(`{
    const box = document.querySelector('.table');
    box.scrollTo(0, ${part} * (box.scrollHeight - box.clientHeight));
  }`);
}

describe.each([
  [500, 500],
  [5_000, 4_500],
])('with %i miners, the page of the proxy', (miners, more) => {
  it('is sound, counts them all, and has few of their rows in the document', async () => {
    await crowd.grow(more);
    const { sessions } = await apiOf<{ sessions: number }>(crowd.url, '/status?miners=0');
    expect(sessions).toBe(miners);
    expect((await workersBy('limit=0')).total).toBe(miners);
    await visiting({ scene: `crowd-${miners}`, url: crowd.url }, async (visit) => {
      for (const tab of await visit.tabs()) {
        await visit.tab(tab);
        await visit.look(tab, false);
      }
    });
  });

  it('shows those that are scrolled to, sorted and filtered by the daemon', async () => {
    await visiting({ scene: `crowd-${miners}`, url: crowd.url }, async (visit) => {
      const { page } = visit;
      await visit.tab('miners');
      const table = page.locator('table[aria-rowcount]').first();
      const counted = (rows: number) =>
        until(`${rows} rows`, async () =>
          Number(await table.getAttribute('aria-rowcount')) === rows + 1 ? true : undefined,
        );
      await counted(miners);
      // From its end to its beginning.
      await page.getByRole('button', { name: 'Worker' }).click();
      await page.locator('th[aria-sort=descending]', { hasText: 'Worker' }).waitFor();
      await page.getByRole('button', { name: 'Worker' }).click();
      for (const [part, index] of [
        [1, miners - 1],
        [0.5, miners / 2],
        [0, 0],
      ] as const) {
        await scroll(visit, part);
        const [wanted] = (await byName(index)).items;
        await until('the row at its place', async () =>
          (await rowAt(visit, index + 2)) === wanted!.name ? true : undefined,
        );
        await visit.look(`at ${part}`, false);
      }
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('button', { name: 'CSV' }).click(),
      ]);
      const lines = (await text(await download.createReadStream())).trimEnd().split('\r\n');
      expect(lines.length).toBe(miners + 1);
      expect(new Set(lines).size).toBe(miners + 1);
      const [last] = (await byName(miners - 1)).items;
      await page.getByRole('searchbox').fill(last!.name.toUpperCase());
      await counted(1);
      expect(await rowAt(visit, 2)).toBe(last!.name);
      await page.getByRole('button', { name: 'more about this row' }).click();
      await page.locator('tr.more').getByText('from 127.').waitFor();
      await page.getByRole('searchbox').fill('nobody is called so');
      await counted(0);
      visit.expectSound();
    });
  });
});
