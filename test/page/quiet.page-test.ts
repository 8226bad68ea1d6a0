import { beforeAll, describe, expect, it } from 'vitest';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import { until } from '../e2e/evidence.ts';
import { apiOf, expectFigures } from './figures.ts';
import { type Role, RULED_HOUR, startEmpty, startRuled, Undo, type Urls } from './scenes.ts';
import { type Visit, visiting } from './visit.ts';

const ROLES = ['proxy', 'maker', 'auditor'] as const satisfies readonly Role[];
const undo = new Undo();
let urls: Urls;
let stratum: { readonly host: string; readonly port: number };
let ruled: string;

beforeAll(async () => {
  ({ urls, stratum } = await startEmpty(undo));
  ruled = await startRuled(undo);
});

/** Opens every tab, and looks at each. */
async function lookAtAll(visit: Visit): Promise<void> {
  for (const tab of await visit.tabs()) {
    await visit.tab(tab);
    await visit.look(tab, false);
  }
}

describe.each(ROLES)('where nothing is yet, the page of the %s', (role) => {
  it('is sound, and says what to do', async () => {
    await visiting({ scene: `empty-${role}`, url: urls[role] }, async (visit) => {
      await lookAtAll(visit);
      await visit.tab((await visit.tabs())[0]!);
      expect(await visit.page.locator('main').innerText()).toMatch(/yet|sharestream|connect/i);
    });
  });
});

describe('where a side is in default, the page of the auditor', () => {
  it('goes on from hours that are in its ledger', async () => {
    const hours = () => apiOf<{ items: unknown[] }>(ruled, '/history?step=hour');
    expect((await hours()).items).toContainEqual(RULED_HOUR);
    const { items } = await apiOf<{ items: object[] }>(ruled, '/history');
    expect(items).not.toContainEqual(RULED_HOUR);
  });

  it('has a mark in its title, shows the logs minute by minute, and the figures of the API', async () => {
    await visiting({ scene: 'ruled-auditor', url: ruled }, async (visit) => {
      await visit.tab('cases');
      await visit.page.getByRole('button', { name: 'more about this row' }).click();
      await visit.page.locator('.strip').waitFor();
      await visit.look('case');
      await visit.expectReachable();
      const [audited] = (await apiOf<{ items: Case[] }>(ruled, '/contracts')).items;
      const { contract_id: id, minutes, logs, bonds, delivery } = audited!;
      expect([audited!.verdict, audited!.delivery.status]).toEqual(['miner', 'default']);
      await expectFigures(visit, async () => ({
        'cases.count': 1,
        'cases.in_default': 1,
        [`cases.${id}.minutes`]: Object.values(minutes).reduce((sum, count) => sum + count, 0),
        [`cases.${id}.missing_hashes`]: delivery.missing_hashes,
        [`cases.${id}.deadline`]: delivery.cure_by_height,
        [`cases.${id}.miner_sat`]: bonds.miner_sat,
        ...Object.fromEntries(
          logs.map(({ side, teller, signed }) => [`cases.${id}.${side}_by_${teller}.signed`, signed]),
        ),
      }));
      expect(logs.map(({ signed }) => signed)).toEqual([200, 200, 200, 200]);
      const { items } = await apiOf<{ items: { ruling?: string }[] }>(
        ruled,
        `/contracts/${id}/minutes?limit=500&since=${audited!.last_minute - 179}`,
      );
      const offline = items.filter(({ ruling }) => ruling === 'miner_offline').length;
      expect(offline).toBeGreaterThan(100);
      expect(await visit.page.locator('.strip p').innerText()).toContain(`miner offline: ${offline}`);
      expect(await visit.page.locator('.strip rect.bad').count()).toBe(offline);
      await until('a mark in the title', async () =>
        (await visit.page.title()).includes('▲') ? true : undefined,
      );
    });
  });
});

type Case = {
  readonly contract_id: string;
  readonly verdict: string;
  readonly last_minute: number;
  readonly minutes: Readonly<Record<string, number>>;
  readonly logs: readonly { readonly side: string; readonly teller: string; readonly signed: number }[];
  readonly bonds: { readonly miner_sat: string };
  readonly delivery: {
    readonly status: string;
    readonly missing_hashes: string;
    readonly cure_by_height: number;
  };
};

/** Names that a page must not take for anything but text. */
const HOSTILE = [
  '<img src=x onerror=alert(1)>',
  '"><script>alert(1)</script>',
  "';alert(1);//",
  '{{constructor.constructor("alert(1)")()}}',
  'javascript:alert(1)',
  '=HYPERLINK("http://example.invalid")',
  `${'W'.repeat(120)}`,
  '🛠 rig № 1 — ünïcode',
];
/** Turns the text behind it around: no proxy lets it in. */
const REFUSED = '\u202Egnp.exe\u2066';

describe('where workers have hostile names, the page of the proxy', () => {
  it('shows them as text, and is sound', async () => {
    const fleet = await startAsics(
      [REFUSED, ...HOSTILE].map((worker) => ({
        ...stratum,
        worker,
        userAgent: worker.slice(0, 60),
        hashesPerSecond: 0,
      })),
    );
    undo.add(() => fleet.stop());
    const named = await until('their sessions', async () => {
      const { items } = await apiOf<{ items: { workers: { name: string }[] }[] }>(
        urls.proxy,
        '/miners?limit=500',
      );
      const names = items.flatMap(({ workers }) => workers.map(({ name }) => name));
      return HOSTILE.every((name) => names.includes(name)) ? names : undefined;
    });
    expect(named.toSorted()).toEqual(HOSTILE.toSorted());
    await visiting({ scene: 'hostile-proxy', url: urls.proxy }, async (visit) => {
      await lookAtAll(visit);
      await visit.tab('miners');
      for (const name of HOSTILE) await visit.page.getByText(name).first().waitFor({ state: 'attached' });
      expect(await visit.page.locator('main img, main script, [onerror]').count()).toBe(0);
      visit.expectSound();
    });
  });
});
