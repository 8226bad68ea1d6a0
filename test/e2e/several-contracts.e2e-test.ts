import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ProxyStatusAnswer } from '../../src/daemon/status-client.ts';
import { type AsicFleet, startAsics } from '../../src/devnet/asic/asic.ts';
import { POOL_SCRIPT_HEX } from '../../src/devnet/devnet.ts';
import { Market, until } from './market-play.ts';
import {
  MAX_UNPAID_STEPS,
  type MakerName,
  POOL_SHARE_HASHES,
  PRICE_MSAT_PER_EH,
  STEP_HASHES,
  startMarketStage,
} from './market-stage.ts';

const directory = mkdtempSync(join(tmpdir(), 'several-'));
const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
const MACHINES = 6;
/** One proxy, two makers, three contracts at once: of the first maker's jobs, the second's, and own ones. */
let market: Market;
let fleet: AsicFleet;

type Contract = ProxyStatusAnswer['contracts'][number];

/** The contracts of the proxy by their names. */
async function contracts(): Promise<Record<string, Contract>> {
  const { contracts: all } = await market.statusOf('one');
  return Object.fromEntries(all.map((each) => [each.name, each]));
}

const paidOf = async (name: string): Promise<number> => (await contracts())[name]!.channel.state_number;

async function isPaidOn(...names: readonly string[]): Promise<void> {
  const before = await Promise.all(names.map(paidOf));
  await until(`${names.join(', ')} paid on`, async () => {
    const now = await Promise.all(names.map(paidOf));
    return now.every((n, at) => n > before[at]!) ? true : undefined;
  });
}

function furtherToml(): string {
  const { makers, soloPool } = market.stage;
  return `
[[further_contract]]
name = "second"
maker_url = "${makers.second.peer}"
maker_node_id = "${makers.second.nodeId}"
price = "${3n * PRICE_MSAT_PER_EH} msat/EH"
rate = "150 kH/s"

[[further_contract]]
name = "own-jobs"
binding = "payout"
binding_script = "${POOL_SCRIPT_HEX}"
rate = "100 kH/s"

[[destination]]
name = "solo"
url = "stratum+tcp://${soloPool.host}:${soloPool.port}"
worker = "solo.farm"
role = "contract"

[split]
min_stay = "1s"
slice = "5s"
`;
}

beforeAll(async () => {
  market = new Market(await startMarketStage(directory, (step) => cleanups.push(step)));
  const { stage } = market;
  const { one } = stage.proxies;
  stage.sell('one', {
    ...{ name: 'first', to: 'first', binding: 'work', priceMsatPerEh: 2n * PRICE_MSAT_PER_EH },
  });
  const first = readFileSync(one.configFile, 'utf8');
  writeFileSync(
    one.configFile,
    first.replace('enabled = true', 'enabled = true\nrate = "150 kH/s"') + furtherToml(),
  );
  await Promise.all([stage.makers.first.process.start(), stage.makers.second.process.start()]);
  await one.process.start();
  fleet = await startAsics(
    Array.from({ length: MACHINES }, (_, at) => ({
      ...{ ...one.stratum, worker: `farm.${at}`, hashesPerSecond: 100_000 },
    })),
  );
  cleanups.push(() => fleet.stop());
  await until('three fundings', async () => {
    const all = Object.values(await contracts());
    const isFunded = all.every(({ channel }) => ['funding', 'open'].includes(channel.state));
    return all.length === 3 && isFunded ? true : undefined;
  });
  stage.chain.generate(1);
});

afterAll(async () => {
  await fleet?.stop();
  for (const cleanup of cleanups.reverse()) await cleanup();
});

it('sells to all of them at once, each at its own price, and mines the rest to the own pool', async () => {
  await isPaidOn('first', 'second', 'own-jobs');
  const status = await market.statusOf('one');
  const own = status.streams.find(({ id }) => id === 'own:own-pool')!;
  await until('work at the own pool', async () => {
    const { streams } = await market.statusOf('one');
    return BigInt(streams.find(({ id }) => id === own.id)!.work_hashes) > BigInt(own.work_hashes)
      ? true
      : undefined;
  });
  expect(status.contract?.name).toBe('first');
});

it('a maker that is killed costs the others nothing; it is sold to again once it is back', async () => {
  const { second } = market.stage.makers;
  await second.process.kill();
  await until('the dead is missed', async () =>
    (await contracts())['second']!.connected ? undefined : true,
  );
  await isPaidOn('first', 'own-jobs');
  const { exposure_hashes } = (await contracts())['second']!;
  expect(BigInt(exposure_hashes)).toBeLessThanOrEqual(MAX_UNPAID_STEPS * STEP_HASHES + POOL_SHARE_HASHES);
  await second.process.start();
  await isPaidOn('second', 'first', 'own-jobs');
});

it('is restarted, and all three go on', async () => {
  const { one } = market.stage.proxies;
  await one.process.kill();
  await one.process.start();
  await until('all connected', async () =>
    Object.values(await contracts()).every(({ connected }) => connected) ? true : undefined,
  );
  for (const name of ['first', 'second', 'own-jobs']) await isPaidOn(name);
});

it('has the same account as each maker, to the sat', async () => {
  for (let at = 0; at < MACHINES; at += 1) fleet.setRate(at, 0);
  const makerOf: Record<string, MakerName> = { first: 'first', second: 'second', 'own-jobs': 'first' };
  for (const [name, maker] of Object.entries(makerOf)) {
    const { mine, theirs } = await until(`${name} signed on both sides`, async () => {
      const contract = (await contracts())[name]!;
      const page = await market.stage.makers[maker].page();
      const row = page.contracts.find(({ contract_id }) => contract_id === contract.id);
      if (row === undefined || BigInt(row.unsigned_work_hashes) >= STEP_HASHES) return undefined;
      if (row.n !== contract.channel.state_number || row.acked_n !== row.n) return undefined;
      return { mine: contract, theirs: row };
    });
    expect(mine.channel.paid_sat).toBe(theirs.paid_sat);
    expect(BigInt(theirs.paid_sat)).toBeGreaterThan(0n);
    expect(theirs.frozen).toBeUndefined();
  }
});
