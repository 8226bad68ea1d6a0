import { describe, expect, it } from 'vitest';
import type { MinuteRole } from '../../src/contract/minutes.ts';
import type { TermsV3 } from '../../src/contract/terms-v3.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { makerMinutes } from '../../src/maker/maker-minute.ts';
import type { MakerStore } from '../../src/maker/maker-store.ts';
import { minerMinutes } from '../../src/miner/miner-minute.ts';
import type { MinerStore } from '../../src/miner/miner-store.ts';
import { loadMinutes } from '../../src/settlement/minute-records.ts';
import type { NoticeBoard } from '../../src/settlement/notice-board.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { makerSigner, minerSigner } from '../channel/fixtures.ts';
import { CONTRACT_ID, deliveryTerms } from '../contract/minutes-stand.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const TERMS = deliveryTerms(12);
const STEP = TERMS.stepHashes;
const NOTICE = { fromHeight: 900_100, blocks: 6 };

/** What a side has written of the minutes that passed. */
async function said(
  role: 'miner' | 'maker',
  store: object,
  options: {
    readonly flag?: boolean;
    readonly pausedBy?: MinuteRole;
    readonly terms?: TermsV3;
    readonly minutes?: number;
  } = {},
) {
  const { flag = false, pausedBy, terms = TERMS, minutes = 1 } = options;
  const untold = pausedBy === undefined ? {} : { notice: NOTICE };
  const notices = {
    isPaused: (side: MinuteRole) => side === pausedBy,
    takeUntold: () => untold,
  } as unknown as NoticeBoard;
  const time = new VirtualTime();
  const ledger = new MemoryLedger();
  const { clock, timers } = time;
  const deps = { clock, timers, ledger, log: silentLogger };
  const of = { contractId: CONTRACT_ID, terms, ...store };
  const told: string[] = [];
  const onMinute = (): void => void told.push('a minute');
  const keeper =
    role === 'miner'
      ? await minerMinutes(
          of as unknown as MinerStore,
          notices,
          { hasWork: () => flag, onMinute },
          { ...deps, signer: minerSigner },
        )
      : await makerMinutes(
          of as unknown as MakerStore,
          notices,
          { isDown: () => flag, onMinute, onDefault: () => void told.push('a default') },
          { ...deps, signer: makerSigner },
        );
  if (role === 'miner') keeper?.start();
  await time.advance(60_000 * minutes + 10_000);
  await keeper?.stop();
  const reports = await loadMinutes(ledger, CONTRACT_ID, role);
  return { isKept: keeper !== undefined, told, reports };
}

describe('the miner says of a minute', () => {
  const LIVE = {
    stream: { opened: true, status: 'live', exposureLimited: false, ownWorkHashes: 0n, signed: undefined },
    state: { tipHeight: 900_000, fault: undefined },
    own: { workHashes: 5n },
    last: { workHashes: 3n },
  };
  const stream = (changes: object): object => ({ stream: { ...LIVE.stream, ...changes } });

  it('its height, what it found, what is paid, and that it delivers', async () => {
    const { reports, told, isKept } = await said('miner', LIVE, { flag: true });
    expect([isKept, told]).toEqual([true, ['a minute']]);
    expect(reports).toMatchObject([
      { height: 900_000, workHashes: 5n, paidHashes: 3n, says: 'delivering', heard: 0 },
    ]);
  });

  it.each<[string, object, { readonly flag: boolean; readonly pausedBy?: MinuteRole }, readonly string[]]>([
    ['that it has no work', {}, { flag: false }, ['no_work']],
    ['the same while it is paused', stream({ status: 'paused' }), { flag: true }, ['delivering']],
    [
      'that it is paused, whatever is unpaid',
      stream({ exposureLimited: true }),
      { flag: true, pausedBy: 'miner' },
      ['paused'],
    ],
    ['that it has no work while the maker is paused', {}, { flag: true, pausedBy: 'maker' }, ['no_work']],
    ['nothing before it is open', stream({ opened: false }), { flag: true }, []],
    ['nothing once it ends', stream({ status: 'ending' }), { flag: true }, []],
    ['nothing at its end', stream({ status: 'ended' }), { flag: true }, []],
    ['that too much is unpaid', stream({ exposureLimited: true }), { flag: true }, ['unpaid']],
    [
      'that it is idle, once the maker broke the contract',
      { state: { fault: { type: 'broken' } }, ...stream({ exposureLimited: true }) },
      { flag: true },
      ['idle'],
    ],
  ])('%s', async (_, changes, options, says) => {
    const { reports, told } = await said('miner', { ...LIVE, ...changes }, options);
    expect([reports.map((each) => each.says), told]).toEqual([says, says.map(() => 'a minute')]);
  });

  it('the notice that it gives with it', async () => {
    const { reports } = await said('miner', LIVE, { flag: true, pausedBy: 'miner' });
    expect(reports).toMatchObject([{ says: 'paused', notice: NOTICE }]);
    const [without] = (await said('miner', LIVE, { flag: true })).reports;
    expect(without).not.toHaveProperty('notice');
  });

  it('no height and no pay before there is any', async () => {
    const { reports } = await said('miner', { ...LIVE, state: {}, last: undefined }, { flag: true });
    expect(reports).toMatchObject([{ height: 0, paidHashes: 0n }]);
  });

  it('nothing where the terms have no rules of delivery', async () => {
    const { reports, isKept } = await said('miner', LIVE, { flag: true, terms: makeTermsV3() });
    expect([isKept, reports]).toEqual([false, []]);
  });
});

describe('the maker says of a minute', () => {
  const LIVE = {
    isClosed: false,
    stream: { opened: true, status: 'live', signed: { workHashes: STEP } },
    state: { tipHeight: 900_001, fault: undefined },
    delivery: { verifiedWorkHashes: STEP + 2n },
  };
  const stream = (changes: object): object => ({ stream: { ...LIVE.stream, ...changes } });

  it('its height, what it verified, what is signed, and that it takes work', async () => {
    const { reports, told } = await said('maker', LIVE);
    expect(told).toEqual(['a minute']);
    expect(reports).toMatchObject([
      { height: 900_001, workHashes: STEP + 2n, paidHashes: STEP, says: 'taking', heard: 0 },
    ]);
  });

  it.each<[string, object, boolean, readonly string[], MinuteRole?]>([
    ['that its jobs are down', {}, true, ['work_down']],
    [
      'that it is suspended, whatever its jobs',
      { state: { fault: { type: 'suspended' } } },
      true,
      ['suspended'],
    ],
    ['that it is paused', {}, false, ['paused'], 'maker'],
    ['that its jobs are down, paused or not', {}, true, ['work_down'], 'maker'],
    ['that it takes work while the miner is paused', {}, false, ['taking'], 'miner'],
    ['nothing before it is open', stream({ opened: false }), false, []],
    ['nothing while it is paused', stream({ status: 'paused' }), false, []],
    ['nothing at its end', stream({ status: 'ended' }), false, []],
  ])('%s', async (_, changes, flag, says, pausedBy) => {
    const paused = pausedBy === undefined ? {} : { pausedBy };
    const { reports } = await said('maker', { ...LIVE, ...changes }, { flag, ...paused });
    expect(reports.map((each) => each.says)).toEqual(says);
  });

  it('that nothing is signed before there is a state', async () => {
    const { reports } = await said('maker', { ...LIVE, state: {}, ...stream({ signed: undefined }) });
    expect(reports).toMatchObject([{ height: 0, paidHashes: 0n }]);
  });

  it('nothing of a contract that is over', async () => {
    const { reports, isKept } = await said('maker', { ...LIVE, isClosed: true });
    expect([isKept, reports]).toEqual([false, []]);
  });
});
