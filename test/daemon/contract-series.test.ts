import { expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { type ContractFigures, contractSeries } from '../../src/daemon/contract-series.ts';
import { makerSources } from '../../src/daemon/maker-metrics.ts';
import { METRIC_PREFIX } from '../../src/metrics/catalogue.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { World } from '../maker/world.ts';

const EH = 10n ** 18n;
const build = { version: '', commit: '', kernel: '', ledger: '' };
const terms = makeTermsV3({ price: { type: 'fixed', msatPerEh: 500_000n }, budgetSat: 10n ** 9n });
const figures = (index: number, changes: Partial<ContractFigures> = {}): ContractFigures => ({
  ...{
    contractId: index.toString(16).padStart(64, '0').slice(-16).padEnd(64, 'f'),
    state: 'live',
    isOver: false,
  },
  ...{
    terms,
    paidSat: 7n,
    unpaidHashes: 2n * EH,
    unpaidSat: 1000n,
    doneHashes: 3n * EH,
    missingHashes: EH,
    ...changes,
  },
});

async function samples(role: 'proxy' | 'maker', rows: readonly ContractFigures[]): Promise<string[]> {
  const metrics = createMetrics({ role, build }, () => contractSeries(() => rows));
  const lines = (await metrics.text()).split('\n');
  return lines.filter(
    (line) => line.startsWith(`${METRIC_PREFIX}contract_`) && line.includes('contract="'),
  );
}

it.each(['proxy', 'maker'] as const)(
  'a contract of a %s has its numbers, in series of its own',
  async (role) => {
    const label = 'contract="0000000000000001"';
    const owed = Number(terms.workTotalHashes - 3n * EH);
    expect(
      (await samples(role, [figures(1)])).map((line) => line.slice(METRIC_PREFIX.length)).toSorted(),
    ).toEqual([
      `contract_delivery_hashes{${label},kind="done"} 3000000000000000000`,
      `contract_delivery_hashes{${label},kind="missing"} 1000000000000000000`,
      `contract_delivery_hashes{${label},kind="owed"} ${owed}`,
      `contract_exposure_sats{${label}} 1000`,
      `contract_paid_sats{${label}} 7`,
      `contract_price_msat_per_eh{${label}} 500000`,
      `contract_stream_state{${label},state="live"} 1`,
      `contract_unpaid_work_hashes{${label}} 2000000000000000000`,
    ]);
  },
);

it('there are series of the newest hundred that are not over, whoever makes more', async () => {
  const many = Array.from({ length: LIMITS.contractSeries + 20 }, (_, index) => figures(index));
  const over = Array.from({ length: 30 }, (_, index) => figures(1000 + index, { isOver: true }));
  const paid = (await samples('maker', [...many, ...over])).filter((line) => line.includes('_paid_sats'));
  expect(paid).toHaveLength(LIMITS.contractSeries);
  expect(paid[0]).toContain('contract="0000000000000014"');
});

it('a maker says how its contracts stand once a scrape', async () => {
  const world = new World();
  await world.open();
  let asked = 0;
  const maker = new Proxy(world.maker, {
    get: (target, name) => {
      if (name === 'status') asked += 1;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const parts = { maker, ledger: world.makerLedger, upkeep: undefined, part: undefined };
  const sound = { closing: { reason: undefined, ladderCount: 0 }, durability: { level: 'sound' } } as const;
  const metrics = createMetrics({ role: 'maker', build }, () => makerSources({ ...parts, ...sound }));
  for (const scrape of [1, 2]) {
    const text = await metrics.text();
    expect(text).toContain(`${METRIC_PREFIX}contract_state{state="live"} 1`);
    expect(text).toContain(`${METRIC_PREFIX}metrics_failures_total 0`);
    expect(asked).toBe(scrape);
  }
  await world.stop();
});

it.each([
  ['open', 1],
  ['closing', 0],
] as const)(
  'of a connected contract that is %s %i are without work, while no pool gives any',
  async (channel, count) => {
    const world = new World();
    await world.open();
    const rows = world.maker.status.map((row) => ({
      ...row,
      channel,
      connected: true,
      work: { isDown: true },
    }));
    const maker = new Proxy(world.maker, {
      get: (target, name) => {
        const value: unknown = name === 'status' ? rows : Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const parts = { maker, ledger: world.makerLedger, upkeep: undefined, part: undefined };
    const sound = {
      closing: { reason: undefined, ladderCount: 0 },
      durability: { level: 'sound' },
    } as const;
    const metrics = createMetrics({ role: 'maker', build }, () => makerSources({ ...parts, ...sound }));
    expect(await metrics.text()).toContain(`${METRIC_PREFIX}contracts_without_work ${count}\n`);
    await world.stop();
  },
);
