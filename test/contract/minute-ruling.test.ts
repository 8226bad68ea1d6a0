import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type LogRuling, ruleByLogs, type SignedLog } from '../../src/contract/minute-ruling.ts';
import type { MinuteReport, MinuteRole } from '../../src/contract/minutes.ts';
import { SignedLogReader } from '../../src/contract/signed-log.ts';
import { code } from '../channel/fixtures.ts';
import { seededRandom } from '../seed.ts';
import { poisson } from './delivery-miners.ts';
import {
  CONTRACT_ID,
  deliveryTerms,
  FIRST_HEIGHT,
  MINUTES,
  type Minute,
  TwoLogs,
} from './minutes-stand.ts';

const SIDES = ['miner', 'maker'] as const;
type Told = Readonly<Record<MinuteRole, Readonly<Record<MinuteRole, readonly MinuteReport[]>>>>;

/** What those tellers show of both logs. */
function shown(told: Told, tellers: readonly MinuteRole[] = SIDES): readonly SignedLog[] {
  return tellers.flatMap((teller) => SIDES.map((role) => ({ role, teller, reports: told[teller][role] })));
}

function ruled(logs: readonly SignedLog[], isCreditProven = false): LogRuling {
  return ruleByLogs({ terms: deliveryTerms(12), isCreditProven }, logs)!;
}

/** Minutes of both sides, and what a whole hour of good work before them. */
function hoursOf(count: number, minute: Minute): TwoLogs {
  const logs = new TwoLogs();
  logs.run(100, () => ({ shares: 12 }));
  logs.run(count, () => minute);
  return logs;
}

/** A log written anew by its side, from some minute on. */
function rewritten(
  reports: readonly MinuteReport[],
  from: number,
  change: (report: MinuteReport) => Partial<MinuteReport>,
): readonly MinuteReport[] {
  return reports.map((report, at) => (at < from ? report : { ...report, ...change(report) }));
}

describe('a ruling by the minute logs', () => {
  it.each<[what: string, minute: Minute, count: number, verdict: string]>([
    ['a miner that says it is idle', { shares: 0, miner: 'idle' }, 400, 'miner'],
    ['a miner that sends a third', { shares: 4 }, 700, 'miner'],
    ['a miner that is idle for less than its cure', { shares: 0, miner: 'idle' }, 200, 'none'],
    ['a maker that stands still beyond the cure', { shares: 0, maker: 'suspended' }, 300, 'maker'],
    ['a maker that stands still for less', { shares: 0, maker: 'suspended' }, 200, 'none'],
    ['a maker that has no jobs', { shares: 0, miner: 'no_work', maker: 'work_down' }, 900, 'none'],
    ['a pause by both', { shares: 0, miner: 'paused', maker: 'paused' }, 900, 'none'],
    ['honest work', { shares: 12 }, 900, 'none'],
    ['a maker that does not pay, by its own log', { shares: 0, miner: 'unpaid' }, 400, 'maker'],
  ])('over %s', (_what, minute, count, verdict) => {
    const logs = hoursOf(count, minute);
    logs.run(10, () => ({ shares: 12 }));
    expect(ruled(shown(logs.stored)).verdict).toBe(verdict);
    expect(ruled(shown(logs.stored), true).verdict).toBe(verdict);
  });

  it('over a miner alone that says it is not paid', () => {
    const logs = new TwoLogs();
    logs.paidShares = 100 * 12;
    logs.run(100, () => ({ shares: 12 }));
    logs.run(410, () => ({ shares: 0, miner: 'unpaid' }));
    expect(ruled(shown(logs.stored), true).verdict).toBe('undecided');
  });

  it('over a maker that was down for two days, and says so by what it left out', () => {
    const logs = hoursOf(2880, { shares: 0, maker: 'down', isLinked: false });
    expect(ruled(shown(logs.stored)).verdict).toBe('none');
    logs.run(10, () => ({ shares: 12 }));
    expect(ruled(shown(logs.stored)).verdict).toBe('maker');
  });

  it('over a miner that was down for days, once it is back', () => {
    const logs = hoursOf(2880, { shares: 0, miner: 'down', isLinked: false });
    expect(ruled(shown(logs.stored)).verdict).toBe('none');
    logs.run(10, () => ({ shares: 12 }));
    expect(ruled(shown(logs.stored)).verdict).toBe('miner');
  });

  it('over a link that is down: the network, or what one side alone says of it', () => {
    const logs = hoursOf(900, { shares: 12, isLinked: false });
    logs.run(10, () => ({ shares: 12 }));
    const { verdict, minutes } = ruled(shown(logs.stored));
    expect(verdict).toBe('none');
    expect(minutes.network).toBeGreaterThan(890);
  });

  it('with a curtailment by notice, and a cure in which it is made up', () => {
    const logs = new TwoLogs();
    logs.run(100, () => ({ shares: 12 }));
    logs.pass({ shares: 12, notice: { fromHeight: FIRST_HEIGHT + 12, blocks: 60 } });
    logs.run(19, () => ({ shares: 12 }));
    logs.run(590, () => ({ shares: 0, miner: 'idle' }));
    logs.run(60, () => ({ shares: 12 }));
    logs.run(30, () => ({ shares: 0, miner: 'idle' }));
    logs.run(90, () => ({ shares: 18 }));
    const { verdict, delivery } = ruled(shown(logs.stored));
    expect(verdict).toBe('none');
    expect(delivery).toMatchObject({ status: 'live', curtailedBlocks: 60 });
  });

  it('is undecided where a side shows not what it had of the other log', () => {
    const idle = hoursOf(400, { shares: 0, miner: 'idle' });
    expect(ruled(shown(idle.stored, ['maker'])).verdict).toBe('undecided');
    expect(ruled(shown(idle.stored, ['miner'])).verdict).toBe('miner');
    const silent = hoursOf(400, { shares: 0, maker: 'suspended' });
    expect(ruled(shown(silent.stored, ['miner'])).verdict).toBe('undecided');
    expect(ruled(shown(silent.stored, ['maker'])).verdict).toBe('maker');
  });

  it('is undecided where each tells of other work, unless evidence proves the credit', () => {
    const logs = hoursOf(0, { shares: 12 });
    // The miner says it delivers; the maker credits a third.
    const minerSays = (told: Told): Told => {
      const claim = (reports: readonly MinuteReport[]) =>
        rewritten(reports, 100, ({ minute, workHashes }) => ({
          workHashes: workHashes + BigInt(minute - reports[99]!.minute) * 8n * 2n ** 32n,
        }));
      return {
        miner: { ...told.miner, miner: claim(told.miner.miner) },
        maker: { ...told.maker, miner: claim(told.maker.miner) },
      };
    };
    logs.run(700, () => ({ shares: 4 }));
    expect(ruled(shown(logs.stored)).verdict).toBe('miner');
    expect(ruled(shown(minerSays(logs.stored))).verdict).toBe('undecided');
    expect(ruled(shown(minerSays(logs.stored)), true).verdict).toBe('miner');
  });

  it('holds no maker’s count against the miner that lags behind what it signed for', () => {
    const logs = hoursOf(0, { shares: 12 });
    logs.run(500, () => ({ shares: 12 }));
    const paid = (reports: readonly MinuteReport[]) =>
      rewritten(reports, 0, ({ workHashes }) => ({ paidHashes: workHashes }));
    const stalled = (reports: readonly MinuteReport[]) =>
      rewritten(reports, 100, () => ({ workHashes: reports[99]!.workHashes }));
    const told = {
      miner: { miner: paid(logs.stored.miner.miner), maker: stalled(logs.stored.miner.maker) },
      maker: { miner: paid(logs.stored.maker.miner), maker: stalled(logs.stored.maker.maker) },
    };
    for (const isCreditProven of [true, false])
      expect(ruled(shown(told), isCreditProven).verdict).toBe('undecided');
  });

  it.each(SIDES)('gains the %s nothing where it shows another log to somebody else', (liar) => {
    const slack: Minute =
      liar === 'miner' ? { shares: 0, miner: 'idle' } : { shares: 0, maker: 'suspended' };
    const logs = hoursOf(400, slack);
    logs.run(10, () => ({ shares: 12 }));
    const said = liar === 'miner' ? 'delivering' : 'taking';
    const told = {
      ...logs.stored,
      [liar]: {
        ...logs.stored[liar],
        [liar]: rewritten(logs.stored[liar][liar], 100, () => ({ says: said })),
      },
    } as Told;
    const { verdict, forks } = ruled(shown(told));
    expect(verdict).toBe(liar);
    expect(forks[liar]).toBeDefined();
  });

  it.each(SIDES)('convicts the %s that shows another log from its very first report on', (liar) => {
    const slack: Minute =
      liar === 'miner' ? { shares: 0, miner: 'idle' } : { shares: 0, maker: 'suspended' };
    const logs = hoursOf(400, slack);
    const other = rewritten(logs.stored[liar][liar], 0, ({ height }) => ({ height: height - 1 }));
    const told = { ...logs.stored, [liar]: { ...logs.stored[liar], [liar]: other } } as Told;
    expect(ruled(shown(told))).toMatchObject({ verdict: liar, forks: { [liar]: expect.any(Number) } });
  });

  it('costs a side that writes its log anew from a backup the minutes of both logs alone', () => {
    const logs = new TwoLogs();
    logs.run(600, () => ({ shares: 12 }));
    const told = {
      ...logs.stored,
      miner: { ...logs.stored.miner, miner: rewritten(logs.stored.miner.miner, 590, () => ({ heard: 0 })) },
    };
    expect(ruled(shown(told)).verdict).toBe('none');
  });

  it('comes to what both sides came to, whatever happened, or to nothing', () => {
    const anyStretch = fc.record({
      kind: fc.constantFrom(...MINUTES),
      minutes: fc.integer({ min: 1, max: 300 }),
    });
    fc.assert(
      fc.property(fc.array(anyStretch, { minLength: 1, maxLength: 12 }), (stretches) => {
        const logs = new TwoLogs();
        logs.pass({ shares: 12 });
        for (const { kind, minutes } of stretches) logs.run(minutes, () => kind);
        logs.run(8, () => ({ shares: 12 }));
        const { agreed } = logs.sides.maker;
        const ruling = ruled(shown(logs.stored), true);
        expect(ruling.minutes).toEqual(agreed.minutes);
        expect(ruling.delivery).toEqual(agreed.delivery);
        if (ruling.verdict === 'miner') expect(agreed.delivery.status).toBe('default');
        if (agreed.delivery.status !== 'default') expect(ruling.verdict).not.toBe('miner');
        // One teller alone convicts nobody that both do not, and never the other side.
        for (const teller of SIDES) {
          const { verdict } = ruled(shown(logs.stored, [teller]));
          if (verdict === 'miner' || verdict === 'maker') expect(verdict).toBe(teller);
        }
      }),
      { numRuns: 8 },
    );
  });
});

describe('rulings over simulated contracts', () => {
  const random = seededRandom();
  /** The verdict on a contract of two sides that are both there, of which an hour is delivered in full. */
  const verdictOf = (minutes: number, ratio: number): string => {
    const reports: Record<MinuteRole, MinuteReport[]> = { miner: [], maker: [] };
    let workHashes = 0n;
    for (let at = 0; at < minutes; at += 1) {
      workHashes += BigInt(poisson(random, 12 * (at < 60 ? 1 : ratio))) * 2n ** 32n;
      const minute = 28_000_000 + at;
      const height = FIRST_HEIGHT + Math.floor(at / 10);
      const report = { minute, height, workHashes, paidHashes: 0n, heard: minute - 1 };
      reports.miner.push({ ...report, says: 'delivering' });
      reports.maker.push({ ...report, says: 'taking' });
    }
    return ruled(shown({ miner: reports, maker: reports })).verdict;
  };
  const verdicts = (contracts: number, minutes: number, ratio: number): readonly string[] =>
    Array.from({ length: contracts }, () => verdictOf(minutes, ratio));

  it('convict honest miners in no more contracts than alpha says, and miss few that are short', () => {
    // Three of 40 at alpha 10^-3 come once in 100,000 runs.
    expect(verdicts(40, 720, 1).filter((verdict) => verdict !== 'none').length).toBeLessThanOrEqual(2);
    // Found within 1.5 times the table, and 240 minutes of cure.
    expect(verdicts(10, 60 + 1.5 * 14 + 260, 0.5)).toEqual(Array.from({ length: 10 }, () => 'miner'));
    const missed = verdicts(10, 60 + 1.5 * 97 + 260, 0.8).filter((verdict) => verdict !== 'miner');
    expect(missed.length).toBeLessThanOrEqual(2);
  });
});

describe('a signed log', () => {
  const reports = hoursOf(5, { shares: 12 }).stored.miner.miner;
  const signedAt = (index: number): string => index.toString(16).padStart(128, '0');

  it('counts as far as its side signed it', () => {
    const asked: string[] = [];
    const reader = new SignedLogReader(
      CONTRACT_ID,
      { role: 'miner', nodeIdHex: '77'.repeat(32) },
      (digest, nodeId, signature) => {
        asked.push(nodeId);
        return digest.length === 32 && signature === signedAt(1);
      },
    );
    expect(reader.take(reports.slice(0, 2), undefined)).toBe(false);
    expect(reader.signed).toEqual([]);
    expect(reader.take(reports.slice(2, 3), signedAt(1))).toBe(true);
    expect(reader.take(reports.slice(3, 5), signedAt(2))).toBe(false);
    expect(reader.signed).toEqual(reports.slice(0, 3));
    expect(reader.lastMinute).toBe(reports[4]!.minute);
    expect(code(() => reader.take(reports.slice(4), undefined))).toBe('protocol');
    expect(new Set(asked)).toEqual(new Set(['77'.repeat(32)]));
  });
});
