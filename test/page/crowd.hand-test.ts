import { beforeAll, describe, expect, it } from 'vitest';
import { until } from '../e2e/evidence.ts';
import { apiOf } from './figures.ts';
import { type Crowd, startCrowd, Undo } from './scenes.ts';
import { visiting } from './visit.ts';

const undo = new Undo();
let crowd: Crowd;

beforeAll(async () => {
  crowd = await startCrowd(undo);
});

describe.each([
  [500, 500],
  [5_000, 4_500],
])('with %i miners, the page of the proxy', (miners, more) => {
  it('is sound, counts them all, and has few of their rows in the document', async () => {
    await crowd.grow(more);
    const { sessions } = await apiOf<{ sessions: number }>(crowd.url, '/status');
    expect(sessions).toBe(miners);
    await visiting({ scene: `crowd-${miners}`, url: crowd.url }, async (visit) => {
      for (const tab of await visit.tabs()) {
        await visit.tab(tab);
        await visit.look(tab, false);
      }
      await visit.tab('miners');
      const table = visit.page.locator('table[aria-rowcount]').first();
      await until('a row for each', async () =>
        Number(await table.getAttribute('aria-rowcount')) === miners + 1 ? true : undefined,
      );
      // To its end, where others stand in the document.
      await visit.page.locator('.table').first().evaluate('(box) => box.scrollTo(0, box.scrollHeight)');
      await table.locator(`tr[aria-rowindex="${miners + 1}"]`).waitFor({ state: 'attached' });
      await visit.look('end', false);
    });
  });
});
