import { beforeAll, describe, expect, it } from 'vitest';
import { Switchboard } from '../base/switchboard.ts';
import { answer } from '../cli/program.ts';
import type { AuditorStage } from '../e2e/auditor-stage.ts';
import { until } from '../e2e/evidence.ts';
import { apiOf, expectFigures } from './figures.ts';
import { type Role, startDemo, Undo, type Urls } from './scenes.ts';
import { bytesOfFirstLoad, visiting } from './visit.ts';

const ROLES = ['proxy', 'maker', 'auditor'] as const satisfies readonly Role[];
const undo = new Undo();
let urls: Urls;
let life: AuditorStage;

beforeAll(async () => {
  ({ urls, life } = await startDemo(undo));
});

type Contract = {
  readonly contract_id: string;
  readonly verified_work_hashes: string;
  readonly unsigned_sat: string;
  readonly paid_sat: string;
  readonly acked_n: number;
  readonly n: number;
};
type Book = {
  readonly exposure: { readonly locked_sat: string };
  readonly inventory_hashes: string;
  readonly rate: { readonly now_hps: string };
  readonly contracts: readonly { readonly open_hashes: string; readonly locked_sat: string }[];
};

const contractsOf = async (): Promise<readonly Contract[]> =>
  (await apiOf<{ items: Contract[] }>(urls.maker, '/contracts')).items;

/** Nothing is delivered any more, and what was is signed for as far as it will be. */
async function stop(): Promise<Contract> {
  life.fleet.setRate(0, 0);
  let before = '';
  return await until('a contract at rest', async () => {
    const [contract] = await contractsOf();
    const now = JSON.stringify([contract?.verified_work_hashes, contract?.paid_sat, contract?.acked_n]);
    const isAtRest = now === before && contract?.acked_n === contract?.n;
    before = now;
    return isAtRest ? contract : undefined;
  });
}

describe.each(ROLES)('while a contract is delivered to, the page of the %s', (role) => {
  it('is sound at every width, in both themes, and all of it is reached by keys', async () => {
    await visiting({ scene: `demo-${role}`, url: urls[role] }, async (visit) => {
      for (const tab of await visit.tabs()) {
        await visit.tab(tab);
        await visit.look(tab);
        await visit.expectReachable();
      }
      expect(await visit.page.title()).not.toContain('▲');
      if (role !== 'proxy') return;
      await visit.tab('now');
      const timeline = visit.page.getByRole('region', { name: 'timeline' });
      await visit.page.getByRole('button', { name: 'all', exact: true }).click();
      // The oldest are last.
      await until('the start of the proxy', async () => {
        await timeline.evaluate((box: { scrollTo(x: number, y: number): void }) => box.scrollTo(0, 1e6));
        return (await timeline.getByText('The proxy started').count()) === 1 ? true : undefined;
      });
      await timeline.getByText('The channel of first is open').waitFor();
    });
  });

  it('is loaded with less than 150 kB', async () => {
    await bytesOfFirstLoad(`demo-${role}`, urls[role]);
  });
});

describe('when the miners stopped, the page of the maker', () => {
  it('shows the figures of the API, and those of the ledger', async () => {
    const contract = await stop();
    const { contract_id: id } = contract;
    await visiting({ scene: 'demo-figures', url: urls.maker }, async (visit) => {
      const look = async () => {
        const [[now], book] = await Promise.all([contractsOf(), apiOf<Book>(urls.maker, '/book')]);
        return { now: now!, book, booked: book.contracts[0]! };
      };
      await visit.tab('book');
      const shown = await expectFigures(visit, async () => {
        const { now, book, booked } = await look();
        return {
          'status.paid_sat': now.paid_sat,
          'status.unsigned_sat': now.unsigned_sat,
          'book.inventory_hashes': book.inventory_hashes,
          'book.rate.now_hps': book.rate.now_hps,
          [`contracts.${id}.verified_work_hashes`]: now.verified_work_hashes,
          [`contracts.${id}.open_hashes`]: booked.open_hashes,
          [`contracts.${id}.paid_sat`]: now.paid_sat,
        };
      });
      await visit.tab('risk');
      await expectFigures(visit, async () => {
        const { now, book, booked } = await look();
        return {
          'book.exposure.locked_sat': book.exposure.locked_sat,
          'risk.owed_sat': now.unsigned_sat,
          [`risk.${id}.locked_sat`]: booked.locked_sat,
          [`risk.${id}.unsigned_sat`]: now.unsigned_sat,
        };
      });
      await visit.tab('miners');
      await expectFigures(visit, async () => ({
        'miners.count': 1,
        'miners.delivered_hashes': (await look()).now.verified_work_hashes,
      }));
      await visit.tab('pools');
      await expectFigures(visit, async () => {
        const { items } = await apiOf<{ items: { name: string; credited_work_hashes: string }[] }>(
          urls.maker,
          '/pools',
        );
        return { 'pools.maker-pool.credited_work_hashes': items[0]!.credited_work_hashes };
      });
      const ledger = await answer<{
        readonly paid_sat: string;
        readonly work: { readonly verified_hashes: string };
      }>(['contract', 'show', '--config', life.stage.maker.configFile]);
      expect({
        paid: shown[`contracts.${id}.paid_sat`],
        verified: shown[`contracts.${id}.verified_work_hashes`],
      }).toEqual({ paid: ledger.paid_sat, verified: ledger.work.verified_hashes });
      expect(BigInt(ledger.paid_sat)).toBeGreaterThan(0n);
      visit.expectSound();
    });
  });
});

describe.each(ROLES)('when its stream is cut, the page of the %s', (role) => {
  it('says that what it shows is old, goes on when it is there again, and is sound', async () => {
    const relay = await Switchboard.listen(Number(new URL(urls[role]).port));
    undo.add(() => relay.close());
    const url = `http://127.0.0.1:${relay.port}`;
    await visiting({ scene: `down-${role}`, url, areCut: true }, async (visit) => {
      const tabs = await visit.tabs();
      const heard = visit.page.locator('.heard');
      await heard.getByText('as of').waitFor();
      relay.cut();
      await heard.getByText('stale data').waitFor();
      await until('a mark in the title', async () =>
        (await visit.page.title()).includes('▲') ? true : undefined,
      );
      const late = visit.page.locator('main').getByText('data of');
      await late.waitFor();
      expect(await late.innerText()).toMatch(/data of \d\d:\d\d:\d\d/);
      await visit.look(tabs[0]!, false);
      relay.mend();
      await heard.getByText('stale data').waitFor({ state: 'detached' });
      await late.waitFor({ state: 'detached' });
      for (const tab of tabs) await visit.tab(tab);
      visit.expectSound();
    });
  });
});

describe('when the maker is dead', () => {
  it('the page of the proxy says so, in its title too, and is sound', async () => {
    await life.kill('maker');
    await visiting({ scene: 'dead-proxy', url: urls.proxy }, async (visit) => {
      for (const tab of await visit.tabs()) {
        await visit.tab(tab);
        await visit.look(tab, false);
      }
      await until('a mark in the title', async () =>
        (await visit.page.title()).includes('▲') ? true : undefined,
      );
    });
  });
});
