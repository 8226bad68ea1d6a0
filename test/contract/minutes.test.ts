import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  firstHead,
  headAfter,
  headDigest,
  MAKER_SAYS,
  MINER_SAYS,
  type MinuteReport,
  type MinuteRuling,
  type MinuteSays,
  type MinuteWords,
  ownerOf,
} from '../../src/contract/minutes.ts';
import { CONTRACT_ID } from './minutes-stand.ts';

const reportOf = (says: MinuteSays, changes: Partial<MinuteReport> = {}): MinuteReport => ({
  ...{ minute: 100, height: 900_000, workHashes: 1000n, paidHashes: 1000n, heard: 99, says },
  ...changes,
});
const delivering = reportOf('delivering');
const taking = reportOf('taking');
const words = (changes: Partial<MinuteWords>): MinuteWords => ({
  ...{ minute: 100, miner: delivering, maker: taking, creditedHashes: 0n },
  isHeard: { miner: true, maker: true },
  ...{ dueHashes: 1200n, shareHashes: 100n, unpaidHashes: 500n },
  ...changes,
});

describe('the owner of a minute', () => {
  it.each<[what: string, changes: Partial<MinuteWords>, ruling: MinuteRuling]>([
    ['nobody where all came', { creditedHashes: 1200n }, undefined],
    ['nobody where chance explains what is missing', { creditedHashes: 200n }, undefined],
    ['the miner that sends too little', { creditedHashes: 100n }, 'miner_slow'],
    ['the miner that sends nothing', {}, 'miner_offline'],
    ['the miner that says so', { miner: reportOf('idle'), maker: 'unheard' }, 'miner_offline'],
    ['the miner that was down', { miner: 'down' }, 'miner_offline'],
    ['the maker that says it has no work', { maker: reportOf('work_down') }, 'maker_work_down'],
    [
      'the maker, whatever came',
      { maker: reportOf('work_down'), creditedHashes: 1200n },
      'maker_work_down',
    ],
    ['its pool', { maker: reportOf('pool_refuses') }, 'pool_refuses'],
    ['the maker that stands still', { maker: reportOf('suspended'), miner: 'unheard' }, 'maker_silent'],
    ['the maker that was down', { maker: 'down' }, 'maker_silent'],
    ['the miner that pauses', { miner: reportOf('paused') }, 'miner_offline'],
    ['the maker that does', { maker: reportOf('paused') }, 'maker_silent'],
    ['both, where they say so', { miner: reportOf('paused'), maker: reportOf('paused') }, 'agreed_pause'],
    ['the link, where neither heard of the other', { isHeard: { miner: false, maker: false } }, 'network'],
    [
      'the maker that does not pay, by its own report',
      { miner: reportOf('unpaid'), maker: reportOf('taking', { paidHashes: 500n }) },
      'maker_silent',
    ],
  ])('is %s', (_what, changes, ruling) => {
    expect(ownerOf(words(changes))).toBe(ruling);
  });

  it.each<[what: string, changes: Partial<MinuteWords>]>([
    ['one report is missing', { miner: 'unheard' }],
    ['the other is', { maker: 'unheard' }],
    ['one alone says that it heard nothing', { isHeard: { miner: true, maker: false } }],
    ['the miner alone says it is not paid', { miner: reportOf('unpaid') }],
    ['the miner alone says it has no work', { miner: reportOf('no_work') }],
  ])('is undecided where %s', (_what, changes) => {
    expect(ownerOf(words(changes))).toBe('undecided');
  });

  const anyReport = (says: readonly MinuteSays[]): fc.Arbitrary<MinuteWords['miner']> =>
    fc.oneof(
      fc.constantFrom('down' as const, 'unheard' as const),
      fc
        .record({ says: fc.constantFrom(...says), paidHashes: fc.bigInt(0n, 1000n) })
        .map(({ says: said, ...rest }) => reportOf(said, rest)),
    );

  it('is no side that did not say so itself, and whose report does not show it', () => {
    fc.assert(
      fc.property(
        anyReport(MINER_SAYS),
        anyReport(MAKER_SAYS),
        fc.bigInt(0n, 2000n),
        fc.record({ miner: fc.boolean(), maker: fc.boolean() }),
        (miner, maker, creditedHashes, isHeard) => {
          const ruling = ownerOf(words({ miner, maker, creditedHashes, isHeard }));
          const makers = ['maker_silent', 'maker_work_down', 'pool_refuses'];
          // Whatever the miner says alone puts nothing on a maker that takes, credits and pays.
          if (typeof maker !== 'string' && maker.says === 'taking' && maker.paidHashes === 1000n)
            expect(makers).not.toContain(ruling);
          // What the maker says alone puts nothing on a miner whose report is not there, or says it was held.
          if (miner === 'unheard') expect(['miner_offline', 'miner_slow']).not.toContain(ruling);
          if (typeof miner !== 'string' && (miner.says === 'unpaid' || miner.says === 'no_work'))
            expect(['miner_offline', 'miner_slow']).not.toContain(ruling);
        },
      ),
    );
  });
});

describe('the chain of a side', () => {
  it('has another head for any other report before (I52)', () => {
    const reports = [100, 101, 102].map((minute) => reportOf('taking', { minute }));
    const headOf = (list: readonly MinuteReport[]): string =>
      Buffer.from(headDigest(list.reduce(headAfter, firstHead(CONTRACT_ID, 'maker')))).toString('hex');
    const others = [
      reports.slice(1),
      reports.slice(0, 2),
      [reports[1]!, reports[0]!, reports[2]!],
      ...(['minute', 'height', 'heard'] as const).map((name) => [
        reports[0]!,
        { ...reports[1]!, [name]: 7 },
        reports[2]!,
      ]),
      ...(['workHashes', 'paidHashes'] as const).map((name) => [
        { ...reports[0]!, [name]: 7n },
        ...reports.slice(1),
      ]),
      [{ ...reports[0]!, says: 'suspended' as const }, ...reports.slice(1)],
      [{ ...reports[0]!, notice: { fromHeight: 1, blocks: 1 } }, ...reports.slice(1)],
    ];
    const heads = [reports, ...others].map(headOf);
    expect(new Set(heads).size).toBe(heads.length);
    expect(headOf(reports)).toBe(headOf([...reports]));
    expect(firstHead(CONTRACT_ID, 'maker')).not.toEqual(firstHead(CONTRACT_ID, 'miner'));
  });
});
