import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { owedSat } from '../../src/base/units.ts';
import { capacitySat } from '../../src/channel/amounts.ts';
import { affordableFeesSat, buildState } from '../../src/channel/states.ts';
import {
  isDelivering,
  PENDING_STREAM,
  type StreamEvent,
  type StreamRole,
  type StreamState,
  streamAccounting,
  transition,
} from '../../src/contract/stream.ts';
import type { TermsV1or2 } from '../../src/contract/terms.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { Meters, workOfShares } from '../../src/work/meters.ts';
import { anyTerms, anyWork } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { ROOT } from '../source-tree.ts';
import { sampleJob, sampleShare } from '../work/samples.ts';
import { INVARIANTS } from './invariants.ts';
import { RIVALS } from './rivals.ts';

const NOW = 1_700_000_000_000;

function fed(
  role: StreamRole,
  of: TermsV1or2,
  events: readonly StreamEvent[],
  from: StreamState,
): StreamState {
  return events.reduce((state, event) => transition({ terms: of, role }, state, event, NOW).state, from);
}

const signed = (of: TermsV1or2, n: number, workHashes: bigint): StreamEvent => ({
  type: 'state_signed',
  n,
  workHashes,
  paidSat: owedSat(workHashes, of.priceMsatPerEh),
});

const live = (role: StreamRole, of: TermsV1or2): StreamState =>
  fed(
    role,
    of,
    [signed(of, 0, 0n), { type: 'funded', confirmations: of.minDepth }, { type: 'channel_open' }],
    PENDING_STREAM,
  );

/** Work as parts of the contract's total in percent, up to one and a half of it. */
const anyParts = fc.array(fc.bigInt(0n, 150n), { maxLength: 30 });
const workOf = (of: TermsV1or2, part: bigint): bigint => (of.workTotalHashes * part) / 100n;

describe('the numbered invariants of a stream', () => {
  it('are all in the table, and each test it names is there', () => {
    expect(Object.keys(INVARIANTS).map(Number)).toEqual(
      Array.from({ length: 60 }, (_, index) => index + 1),
    );
    for (const [number, proof] of Object.entries(INVARIANTS)) {
      if ('absent' in proof) continue;
      const path = join(ROOT, proof.file);
      expect(existsSync(path), `I${number}: ${proof.file}`).toBe(true);
      const text = readFileSync(path, 'utf8');
      for (const title of proof.titles) expect(text.includes(title), `I${number}: ${title}`).toBe(true);
    }
  });
});

describe('the mistakes of others', () => {
  it('are ten, each with the tests that it is not made here', () => {
    expect(Object.keys(RIVALS).length).toBe(10);
    for (const [mistake, { file, titles }] of Object.entries(RIVALS)) {
      const text = readFileSync(join(ROOT, file), 'utf8');
      for (const title of titles) expect(text.includes(title), mistake).toBe(true);
    }
  });
});

describe('a stream', () => {
  it('signs no more states than the work has steps, and one at the end (I10)', () => {
    fc.assert(
      fc.property(anyTerms, anyParts, (of, parts) => {
        let state = live('maker', of);
        let count = 0;
        const sign = (): void => {
          const { signing } = state;
          if (signing === undefined) return;
          count += 1;
          state = fed('maker', of, [signed(of, signing.n, signing.workHashes)], state);
        };
        for (const part of parts) {
          state = fed('maker', of, [{ type: 'work_verified', workHashes: workOf(of, part) }], state);
          sign();
        }
        state = fed('maker', of, [{ type: 'close_requested' }], state);
        sign();
        const steps = state.verifiedWork / of.stepHashes;
        expect(BigInt(count)).toBeLessThanOrEqual(steps + 1n);
        expect(streamAccounting(of, state).debtSat).toBe(0n);
      }),
    );
  });

  it('moves no money while it is paused, and asks for no work (I27)', () => {
    const anyRole = fc.constantFrom<StreamRole>('miner', 'maker');
    fc.assert(
      fc.property(anyRole, anyTerms, anyParts, fc.nat(), (role, of, parts, at) => {
        const work = parts.map(
          (part): StreamEvent => ({ type: 'work_verified', workHashes: workOf(of, part) }),
        );
        const cut = at % (work.length + 1);
        const plain = fed(role, of, work, live(role, of));
        const before = fed(role, of, work.slice(0, cut), live(role, of));
        const paused = fed(role, of, [{ type: 'pause' }, { type: 'tick' }], before);
        expect(isDelivering(paused)).toBe(false);
        expect(streamAccounting(of, paused)).toEqual(streamAccounting(of, before));
        const resumed = fed(role, of, [{ type: 'resume' }, ...work.slice(cut)], paused);
        expect(streamAccounting(of, resumed)).toEqual(streamAccounting(of, plain));
        expect(resumed.status).toBe(plain.status);
      }),
    );
  });

  it('counts every hash reported, credited or beyond the contract (I44)', () => {
    fc.assert(
      fc.property(anyTerms, anyParts, (of, parts) => {
        let state = live('maker', of);
        let reported = 0n;
        for (const part of parts) {
          const workHashes = workOf(of, part);
          reported = workHashes > reported ? workHashes : reported;
          state = fed('maker', of, [{ type: 'work_verified', workHashes }], state);
          expect(state.verifiedWork + state.uncreditedWork).toBe(reported);
          expect(state.verifiedWork).toBeLessThanOrEqual(of.workTotalHashes);
        }
      }),
    );
  });
});

describe('the streams of one ledger', () => {
  it('adds up to the work of all shares, each in one stream (I47)', async () => {
    const streams = ['own:a', 'own:b', 'cc'];
    const jobs = streams.map((stream, index) => sampleJob(index + 1, stream));
    const anyShare = fc.tuple(fc.nat(streams.length - 1), fc.constantFrom(1, 0.5, 4096));
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyShare, { maxLength: 40 }),
        fc.integer({ min: 1, max: 7 }),
        async (picks, size) => {
          const shares = picks.map(([job, difficulty], n) =>
            sampleShare(jobs[job]!, shareTargetOf(difficulty), n),
          );
          const meters = new Meters();
          const ledger = new MemoryLedger();
          for (let at = 0; at < shares.length; at += size) {
            await meters.commit(ledger, shares.slice(at, at + size));
          }
          const totals = streams.map((stream) => meters.total(stream));
          expect(totals.reduce((sum, { seq }) => sum + seq, 0)).toBe(shares.length);
          expect(totals.reduce((sum, { workHashes }) => sum + workHashes, 0n)).toBe(workOfShares(shares));
        },
      ),
    );
  });
});

describe('the two positions in a channel', () => {
  it('takes the fee of a state from the miner alone, at every rung (I55, I59)', () => {
    fc.assert(
      fc.property(anyWork, ({ params, workHashes }) => {
        const fees = affordableFeesSat(params, workHashes);
        const [first] = fees.map((_, rung) => buildState(params, workHashes, rung));
        fees.forEach((feeSat, rung) => {
          const { outs } = buildState(params, workHashes, rung);
          expect(outs.slice(1)).toEqual(first!.outs.slice(1));
          const values = outs.reduce((sum, { value }) => sum + value, 0n);
          expect(values + feeSat).toBe(capacitySat(params.terms));
        });
      }),
      { numRuns: 40 },
    );
  });
});
