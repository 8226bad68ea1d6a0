import { expect, it } from 'vitest';
import type { ProxyStatusAnswer } from '../../src/daemon/status-client.ts';
import type { MakerStatusAnswer } from '../api/all-operations.ts';
import { until as untilSeen } from './evidence.ts';
import { TwoDaemons } from './two-daemons.ts';

const two = new TwoDaemons('payout');

const until = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
  untilSeen(what, look, 120_000);

it('a sealed contract on jobs of a solo pool, whose blocks the maker publishes when the pool does not', async () => {
  const stage = await two.start({ blockIntervalMs: 20_000, soloSeal: true });
  const pool = stage.soloPool!;
  const contractOf = async (): Promise<ProxyStatusAnswer['contract'] | undefined> =>
    (await two.proxyStatus())?.contract ?? undefined;
  const makerPage = (): Promise<MakerStatusAnswer> => two.makerStatus();
  const live = await until('the channel is open', async () => {
    const contract = await contractOf();
    return contract?.live === true ? contract : undefined;
  });
  await two.asics([
    { worker: 'farm.rig1', hashesPerSecond: 200_000 },
    { worker: 'farm.rig2', hashesPerSecond: 150_000 },
  ]);

  // Without the tag no share is the contract's, and none is sold.
  const unpaid = await until('the proxy says why it mines nothing for the contract', async () => {
    return (await contractOf())?.unpaid_job ?? undefined;
  });
  expect(unpaid).toBe('the coinbase does not name the contract, which its seal needs');
  expect((await makerPage()).contracts[0]!.verified_work_hashes).toBe('0');
  pool.nameContract(live.id);
  await until('steps are paid, each with a claim of the seal', async () => {
    return ((await contractOf())?.channel.state_number ?? 0) >= 2 ? true : undefined;
  });

  pool.faults.withholdBlocks = true;
  const { blocks } = pool.stats;
  const { height } = stage.chain;
  const published = await until('the maker publishes a block that the pool withholds', async () => {
    const { contracts, pools } = await makerPage();
    const accepted = contracts[0]?.blocks?.verdicts.accepted ?? 0;
    const own = pools.find(({ name }) => name === 'own node');
    return accepted > 0 && own !== undefined && stage.chain.height > height ? contracts[0] : undefined;
  });
  expect(pool.stats.blocks - blocks).toBeLessThanOrEqual(1);
  expect(published!.blocks).toMatchObject({ late_solutions: 0, is_paused: false });
  const tags = Array.from({ length: stage.chain.height - height }, (_, index) => {
    const block = stage.chain.blockAt(height + 1 + index)!;
    return Buffer.from(block.transactions[0]!.toBuffer()).includes(Buffer.from(live.id, 'hex'));
  });
  expect(tags).toContain(true);
  await until('the proxy shows it', async () => {
    return ((await contractOf())?.blocks?.accepted ?? 0) > 0 ? true : undefined;
  });
  const paid = (await contractOf())?.channel.state_number ?? 0;
  await until('steps are paid on', async () => {
    return ((await contractOf())?.channel.state_number ?? 0) > paid + 1 ? true : undefined;
  });
  const {
    share_stale: _stale = 0,
    stale_race: _race = 0,
    ...wrong
  } = (await makerPage()).contracts[0]!.refused;
  expect(wrong).toEqual({});
  expect(two.log('maker')).toContain('a block of the miner is published by the own node too');
}, 400_000);
