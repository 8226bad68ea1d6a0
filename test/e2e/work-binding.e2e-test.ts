import { expect, it } from 'vitest';
import type { ProxyStatusAnswer } from '../../src/daemon/status-client.ts';
import { DEVNET_SHARE_DIFFICULTY } from '../../src/devnet/devnet.ts';
import type { MakerStatusAnswer } from '../api/all-operations.ts';
import { until as untilSeen } from './evidence.ts';
import { TwoDaemons } from './two-daemons.ts';

const two = new TwoDaemons('work-binding');

/** Of the maker's pool: between the easiest and the hardest share of the contract. */
const POOL_DIFFICULTY = DEVNET_SHARE_DIFFICULTY * 2;

type Status = ProxyStatusAnswer;
type MakerRow = MakerStatusAnswer['contracts'][number];

const until = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
  untilSeen(what, look, 90_000);

it('work on jobs of the maker is paid, over restarts of either side and of its pool', async () => {
  const stage = await two.start({ blockIntervalMs: 5_000, makerPoolDifficulty: POOL_DIFFICULTY });
  const { maker, proxy } = two;
  const pool = stage.makerPool!;
  const seen = async (isSo: (status: Status) => boolean): Promise<Status | undefined> => {
    const status = await two.proxyStatus();
    return status !== undefined && isSo(status) ? status : undefined;
  };
  const paid = ({ contract }: Status): number => contract?.channel.state_number ?? 0;
  const isSold = ({ contract, destination }: Status): boolean =>
    contract?.work?.up === true && destination.startsWith('maker-');
  const isFallback = ({ contract, destination }: Status): boolean =>
    contract?.work?.up === false && destination === 'own-pool';
  /** Some states more are paid for work on the maker's jobs. */
  const expectPaidOn = async (what: string): Promise<Status> => {
    const before = paid(await until(`sold ${what}`, () => seen(isSold)));
    return until(`paid ${what}`, () => seen((now) => isSold(now) && paid(now) >= before + 3));
  };
  const makerRow = async (): Promise<MakerRow> => {
    return (await two.makerStatus()).contracts[0]!;
  };

  await until('the channel is open', () => seen(({ contract }) => contract?.live === true));
  const fleet = await two.asics([
    { worker: 'farm.rig1', hashesPerSecond: 300_000 },
    { worker: 'farm.rig2', hashesPerSecond: 200_000 },
    { worker: 'farm.rig3', hashesPerSecond: 100_000, versionRolling: false },
  ]);

  const first = await expectPaidOn('at first');
  expect(first.contract!.work!.refused_jobs).toEqual({});
  expect(first.contract!.work!.solution_ms.p99).toBeGreaterThan(0);
  const blocks = pool.stats.blocks;
  await until('a block of the chain is found through a job of the maker', async () => {
    return pool.stats.blocks > blocks ? true : undefined;
  });

  await maker.kill();
  await until('the fallback has the hashrate while the maker is away', () => seen(isFallback));
  await maker.start();
  await expectPaidOn('after the maker was started again');

  await proxy.kill();
  await proxy.start();
  await expectPaidOn('after the proxy was started again');

  const restarted = pool.restart(8_000);
  const down = await until('the fallback has the hashrate while the pool of the maker is away', () =>
    seen(isFallback),
  );
  expect(down.contract!.work!.down_reason).toMatch(/^the market maker has no work: /);
  await restarted;
  await expectPaidOn("after the maker's pool was away");

  await fleet.stop();
  const row = await until('what was delivered is credited, but for races of blocks', async () => {
    const [found, status] = [await makerRow(), await seen(() => true)];
    const delivered = BigInt(status?.contract?.work_hashes ?? 0n);
    return BigInt(found.verified_work_hashes) * 100n >= delivered * 98n ? found : undefined;
  });
  const { share_stale: _stale = 0, stale_race: _race = 0, ...wrong } = row.refused;
  expect(wrong).toEqual({});
  expect(two.log('proxy')).toContain('the market maker gives no work: the hashrate is at the fallback');
}, 400_000);
