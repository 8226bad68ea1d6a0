import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { owedMsat, owedSat } from '../../src/base/units.ts';
import {
  exposureRoom,
  exposureSat,
  isDelivering,
  PENDING_STREAM,
  type StreamEffect,
  type StreamEvent,
  type StreamOptions,
  type StreamRole,
  type StreamState,
  type StreamStatus,
  streamAccounting,
  transition,
  unsignedSat,
  unsignedWork,
} from '../../src/contract/stream.ts';
import type { TermsV1or2 } from '../../src/contract/terms.ts';
import { anyTerms, code, EH, makeTerms } from '../channel/fixtures.ts';

const terms = makeTerms();
const NOW = 1_700_000_000_000;

/** Feeds events in order; the effects of all of them. */
function run(
  options: StreamOptions,
  events: readonly StreamEvent[],
  from: StreamState = PENDING_STREAM,
): { state: StreamState; effects: StreamEffect[] } {
  let state = from;
  const effects: StreamEffect[] = [];
  for (const event of events) {
    const step = transition(options, state, event, NOW);
    state = step.state;
    effects.push(...step.effects);
  }
  return { state, effects };
}

const signedOf = (of: TermsV1or2, n: number, workHashes: bigint): StreamEvent => ({
  type: 'state_signed',
  n,
  workHashes,
  paidSat: owedSat(workHashes, of.priceMsatPerEh),
});
const worked = (workHashes: bigint): StreamEvent => ({ type: 'work_verified', workHashes });
const opening = (of: TermsV1or2): StreamEvent[] => [
  signedOf(of, 0, 0n),
  { type: 'funded', confirmations: of.minDepth },
  { type: 'channel_open' },
];
const options = (role: StreamRole, of: TermsV1or2 = terms): StreamOptions => ({ terms: of, role });
const live = (role: StreamRole, of: TermsV1or2 = terms): StreamState =>
  run(options(role, of), opening(of)).state;

/** Anything that can happen, with work as parts of the contract's total (up to one and a half of it). */
type Op =
  | { readonly type: 'work'; readonly part: bigint }
  | { readonly type: 'event'; readonly event: StreamEvent }
  | { readonly type: 'sign' }
  | { readonly type: 'sign_again' };
const anyOp: fc.Arbitrary<Op> = fc.oneof(
  { weight: 8, arbitrary: fc.bigInt(0n, 150n).map((part): Op => ({ type: 'work', part })) },
  { weight: 6, arbitrary: fc.constant<Op>({ type: 'sign' }) },
  { weight: 1, arbitrary: fc.constant<Op>({ type: 'sign_again' }) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom<StreamEvent>(
        { type: 'funded', confirmations: 0 },
        { type: 'funded', confirmations: 3 },
        { type: 'channel_open' },
        { type: 'pause' },
        { type: 'resume' },
        { type: 'tick' },
      )
      .map((event): Op => ({ type: 'event', event })),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<StreamEvent>({ type: 'expiry_near' }, { type: 'close_requested' }, { type: 'closed' })
      .map((event): Op => ({ type: 'event', event })),
  },
);

const STATUSES: readonly StreamStatus[] = ['pending', 'live', 'paused', 'ending', 'ended'];
const LEGAL: Readonly<Record<StreamStatus, readonly StreamStatus[]>> = {
  pending: ['pending', 'live', 'ending', 'ended'],
  live: ['live', 'paused', 'ending', 'ended'],
  paused: ['paused', 'live', 'ending', 'ended'],
  ending: ['ending', 'ended'],
  ended: ['ended'],
};

type Seen = { readonly before: StreamState; readonly after: StreamState; readonly effects: StreamEffect[] };

/** Plays a schedule as the driver of one side would, and shows every step to `look`. */
function play(role: StreamRole, of: TermsV1or2, ops: readonly Op[], look: (seen: Seen) => void): Seen[] {
  const seen: Seen[] = [];
  let state = run(options(role, of), [signedOf(of, 0, 0n)]).state;
  for (const op of ops) {
    const event = eventOf(op, role, state, of);
    if (event === undefined) continue;
    try {
      const step = transition(options(role, of), state, event, NOW);
      const entry = { before: state, after: step.state, effects: [...step.effects] };
      state = step.state;
      seen.push(entry);
      look(entry);
    } catch (error) {
      expect(codeOf(error)).toBe('protocol');
      expect(state.opened).toBe(false);
    }
  }
  return seen;
}

function eventOf(op: Op, role: StreamRole, state: StreamState, of: TermsV1or2): StreamEvent | undefined {
  const { signed, signing, verifiedWork } = state;
  switch (op.type) {
    case 'work': {
      const workHashes = (of.workTotalHashes * op.part) / 100n;
      // The maker credits; what the miner counts falls only where it is refused, which is tested by itself.
      return worked(role === 'miner' && workHashes < verifiedWork ? verifiedWork : workHashes);
    }
    case 'event':
      return op.event;
    case 'sign_again':
      return signedOf(of, signed!.n, signed!.workHashes);
    case 'sign':
      if (role === 'maker') {
        return signing === undefined ? undefined : signedOf(of, signing.n, signing.workHashes);
      }
      if (verifiedWork <= signed!.workHashes) return undefined;
      return signedOf(of, signed!.n + 1, verifiedWork);
    default:
      return undefined;
  }
}

const anyRole = fc.constantFrom<StreamRole>('miner', 'maker');
/** Nine of ten schedules open first; the rest must find the way by themselves. */
const anySchedule = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.array(anyOp, { maxLength: 60 }))
  .map(([dice, ops]) => (dice === 0 ? ops : [...OPEN, ...ops]));
const OPEN: readonly Op[] = [
  { type: 'event', event: { type: 'funded', confirmations: 3 } },
  { type: 'event', event: { type: 'channel_open' } },
];

describe('opening', () => {
  it('needs state 0, the depth and both sides, in any order (I2)', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(opening(terms), { minLength: 3 }), (events) => {
        const almost = run(options('miner'), events.slice(0, 2));
        expect(almost.state.status).toBe('pending');
        const full = run(options('miner'), events);
        expect(full.state.status).toBe('live');
        expect(full.effects).toEqual([{ type: 'opened' }]);
      }),
    );
    const shallow = run(options('miner'), [
      signedOf(terms, 0, 0n),
      { type: 'channel_open' },
      { type: 'funded', confirmations: terms.minDepth - 1 },
    ]);
    expect(shallow.state.status).toBe('pending');
  });

  it('is before all work: pending means W = 0 and no debt (I3)', () => {
    expect(code(() => run(options('maker'), [worked(1n)]))).toBe('protocol');
    const closed = run(options('maker'), [signedOf(terms, 0, 0n), { type: 'close_requested' }]).state;
    expect(closed.status).toBe('ending');
    expect(code(() => run(options('maker'), [worked(1n)], closed))).toBe('protocol');
    expect(streamAccounting(terms, PENDING_STREAM)).toEqual({
      debtSat: 0n,
      coveredSat: 0n,
      uncoveredSat: 0n,
      refundableSat: terms.budgetSat,
    });
  });
});

describe('any schedule', () => {
  it('takes legal transitions only, and never back to pending (I4, I30)', () => {
    fc.assert(
      fc.property(anyRole, anyTerms, anySchedule, (role, of, ops) => {
        play(role, of, ops, ({ before, after }) => {
          expect(STATUSES).toContain(after.status);
          expect(LEGAL[before.status]).toContain(after.status);
        });
      }),
    );
  });

  it('never lowers W or P, and credits no more than the contract (I6, I15, I45)', () => {
    fc.assert(
      fc.property(anyRole, anyTerms, anySchedule, (role, of, ops) => {
        play(role, of, ops, ({ before, after }) => {
          expect(after.verifiedWork).toBeGreaterThanOrEqual(before.verifiedWork);
          expect(after.verifiedWork).toBeLessThanOrEqual(of.workTotalHashes);
          expect(after.signed!.paidSat).toBeGreaterThanOrEqual(before.signed!.paidSat);
          expect(after.signed!.n).toBeGreaterThanOrEqual(before.signed!.n);
          if (!before.opened && !after.opened) expect(after.verifiedWork).toBe(0n);
          if (before.status === 'ended') expect(after.verifiedWork).toBe(before.verifiedWork);
        });
      }),
    );
  });

  it('keeps the accounts: D = P + F + covered + refundable, none negative (I7, I11, I12, I13)', () => {
    fc.assert(
      fc.property(anyRole, anyTerms, anySchedule, (role, of, ops) => {
        play(role, of, ops, ({ after }) => {
          const { debtSat, coveredSat, uncoveredSat, refundableSat } = streamAccounting(of, after);
          const { paidSat } = after.signed!;
          expect(paidSat + coveredSat + refundableSat).toBe(of.budgetSat);
          expect(debtSat + paidSat).toBe(owedSat(after.verifiedWork, of.priceMsatPerEh));
          expect(uncoveredSat).toBe(0n);
          expect(coveredSat).toBe(debtSat);
          expect(refundableSat).toBeGreaterThanOrEqual(0n);
          expect(unsignedSat(of, after)).toBe(debtSat);
        });
      }),
    );
  });

  it('asks for one state at a time, each with more work, and a whole step until the end (I10)', () => {
    fc.assert(
      fc.property(anyTerms, anySchedule, (of, ops) => {
        let last = { n: 0, workHashes: 0n };
        play('maker', of, ops, ({ before, after, effects }) => {
          for (const effect of effects) {
            if (effect.type !== 'sign_due') continue;
            expect(before.signing === undefined || after.signed!.n > before.signed!.n).toBe(true);
            expect(effect.n).toBe(last.n + 1);
            expect(effect.workHashes).toBe(after.verifiedWork);
            const more = effect.workHashes - last.workHashes;
            if (after.status === 'ending') expect(more).toBeGreaterThan(0n);
            else expect(more).toBeGreaterThanOrEqual(of.stepHashes);
            last = { n: effect.n, workHashes: effect.workHashes };
          }
        });
      }),
    );
  });

  it('leaves the maker at rest owing less than a step, and nothing at the end (I9, I45)', () => {
    fc.assert(
      fc.property(anyTerms, anySchedule, (of, ops) => {
        const schedule = ops.flatMap((op): Op[] => [op, { type: 'sign' }]);
        play('maker', of, schedule, ({ after }) => {
          if (after.signing !== undefined || after.status === 'ended' || !after.opened) return;
          expect(unsignedWork(after)).toBeLessThan(of.stepHashes);
          const stepMsat = owedMsat(of.stepHashes, of.priceMsatPerEh);
          expect(unsignedSat(of, after) * 1000n).toBeLessThanOrEqual(stepMsat + 1000n);
          if (after.status === 'ending') expect(unsignedSat(of, after)).toBe(0n);
        });
      }),
    );
  });

  it('never delivers with the limit of unsigned steps reached (I31)', () => {
    fc.assert(
      fc.property(anyTerms, anySchedule, (of, ops) => {
        const limit = BigInt(of.maxUnpaidSteps) * of.stepHashes;
        play('miner', of, ops, ({ before, after, effects }) => {
          if (unsignedWork(after) >= limit) expect(isDelivering(after)).toBe(false);
          const reached = effects.some((effect) => effect.type === 'exposure_reached');
          const cleared = effects.some((effect) => effect.type === 'exposure_cleared');
          if (after.opened && after.status !== 'ended') {
            expect(reached).toBe(!before.exposureLimited && after.exposureLimited);
            expect(cleared).toBe(before.exposureLimited && !after.exposureLimited);
          }
        });
      }),
    );
  });

  it('never leaves more work unpaid than the limit, and what one report adds, whenever the maker stops (I38)', () => {
    const report = fc.record({ part: fc.bigInt(1n, 100n), signs: fc.boolean() });
    fc.assert(
      fc.property(anyTerms, fc.array(report, { maxLength: 60 }), (of, reports) => {
        let state = live('miner', of);
        for (const { part, signs } of reports) {
          const addedHashes = (of.stepHashes * part) / 100n;
          // What it delivers, it delivers while it may.
          if (isDelivering(state))
            state = run(options('miner', of), [worked(state.verifiedWork + addedHashes)], state).state;
          // The refund of a maker that stops here is the budget less what it signed.
          const lostHashes = unsignedWork(state);
          expect(lostHashes).toBeLessThan(BigInt(of.maxUnpaidSteps) * of.stepHashes + of.stepHashes);
          expect(state.signed!.paidSat + unsignedSat(of, state)).toBe(
            owedSat(state.verifiedWork, of.priceMsatPerEh),
          );
          const due = signedOf(of, state.signed!.n + 1, state.verifiedWork);
          if (signs && lostHashes > 0n) state = run(options('miner', of), [due], state).state;
        }
      }),
    );
  });

  it('can be settled at any earlier point, and twice, without changing a later balance (I8, I57, I58)', () => {
    fc.assert(
      fc.property(
        anyTerms,
        fc.array(fc.bigInt(0n, 100n), { maxLength: 20 }),
        fc.bigInt(0n, 100n),
        (of, stops, last) => {
          const total = (part: bigint): bigint => (of.workTotalHashes * part) / 100n;
          const end = [...stops, last].reduce((most, part) => (part > most ? part : most), 0n);
          const settle = (parts: readonly bigint[]): bigint => {
            let { state } = run(options('miner', of), opening(of));
            for (const part of parts) {
              const sum = total(part) > state.verifiedWork ? total(part) : state.verifiedWork;
              state = run(options('miner', of), [worked(sum), worked(sum)], state).state;
              const { n } = state.signed!;
              const point = signedOf(of, n + 1, state.verifiedWork);
              state = run(options('miner', of), [point, point], state).state;
            }
            return state.signed!.paidSat + unsignedSat(of, state);
          };
          expect(settle([...stops, last])).toBe(settle([end]));
          expect(settle([...stops, last])).toBe(owedSat(total(end), of.priceMsatPerEh));
        },
      ),
    );
  });
});

describe('the maker', () => {
  it('signs all verified work when a step is full, and what came meanwhile after that', () => {
    const first = run(options('maker'), [worked(EH - 1n), worked(EH + 5n), worked(4n * EH)], live('maker'));
    expect(first.effects).toEqual([{ type: 'sign_due', n: 1, workHashes: EH + 5n }]);
    const second = run(options('maker'), [signedOf(terms, 1, EH + 5n)], first.state);
    expect(second.effects).toEqual([{ type: 'sign_due', n: 2, workHashes: 4n * EH }]);
    expect(run(options('maker'), [signedOf(terms, 2, 4n * EH)], second.state).effects).toEqual([]);
  });

  it('signs the last partial step once the contract is complete, and caps the credit (I45)', () => {
    const rest = run(
      options('maker'),
      [worked(999n * EH), signedOf(terms, 1, 999n * EH), worked(1000n * EH + 77n)],
      live('maker'),
    );
    expect(rest.effects).toEqual([
      { type: 'sign_due', n: 1, workHashes: 999n * EH },
      { type: 'ending', reason: 'completed' },
      { type: 'sign_due', n: 2, workHashes: 1000n * EH },
    ]);
    expect(rest.state.uncreditedWork).toBe(77n);
    const end = run(options('maker'), [signedOf(terms, 2, 1000n * EH)], rest.state);
    expect(end.effects).toEqual([{ type: 'settled' }]);
    expect(run(options('maker'), [{ type: 'closed' }], end.state).state.status).toBe('ended');
  });

  it.each(['close_requested', 'expiry_near'] as const)(
    'pays what was verified when it ends by %s',
    (type) => {
      const half = run(options('maker'), [worked(EH / 2n), { type }], live('maker'));
      expect(half.effects).toEqual([
        { type: 'ending', reason: type },
        { type: 'sign_due', n: 1, workHashes: EH / 2n },
      ]);
      const late = run(options('maker'), [signedOf(terms, 1, EH / 2n), worked((EH * 3n) / 4n)], half.state);
      expect(late.effects).toEqual([
        { type: 'settled' },
        { type: 'sign_due', n: 2, workHashes: (EH * 3n) / 4n },
      ]);
      const after = run(options('maker'), [{ type: 'closed' }, worked(EH)], late.state);
      expect(after.effects).toEqual([]);
      expect(after.state.verifiedWork).toBe((EH * 3n) / 4n);
      expect(after.state.uncreditedWork).toBe(EH / 4n);
    },
  );

  it('does not sign for less than a satoshi at the end', () => {
    const tiny = run(options('maker'), [worked(10n ** 15n), { type: 'close_requested' }], live('maker'));
    expect(tiny.effects).toEqual([{ type: 'ending', reason: 'close_requested' }, { type: 'settled' }]);
  });
});

describe('the miner', () => {
  it('stops at the limit and goes on when one step less is unsigned', () => {
    const at = (workHashes: bigint) => run(options('miner'), [worked(workHashes)], live('miner'));
    expect(at(3n * EH - 1n).effects).toEqual([]);
    const stopped = at(3n * EH);
    expect(stopped.effects).toEqual([{ type: 'exposure_reached', exposureSat: 1455n }]);
    expect(isDelivering(stopped.state)).toBe(false);
    const still = run(options('miner'), [signedOf(terms, 1, EH)], stopped.state);
    expect(still.effects).toEqual([]);
    const back = run(options('miner'), [signedOf(terms, 2, EH + 1n)], still.state);
    expect(back.effects).toEqual([{ type: 'exposure_cleared' }]);
    expect(isDelivering(back.state)).toBe(true);
  });

  it('never waits for less than a step, which the maker need not sign', () => {
    const strict = makeTerms({ maxUnpaidSteps: 1 });
    const stopped = run(options('miner', strict), [worked(2n * EH - 1n)], live('miner', strict));
    expect(stopped.state.exposureLimited).toBe(true);
    const back = run(options('miner', strict), [signedOf(strict, 1, EH)], stopped.state);
    expect(unsignedWork(back.state)).toBe(EH - 1n);
    expect(back.state.exposureLimited).toBe(false);
  });

  it('stops when a whole step stays unsigned too long', () => {
    const patient: StreamOptions = { terms, role: 'miner', unpaidTimeoutMs: 60_000 };
    const at = (state: StreamState, event: StreamEvent, ms: number) =>
      transition(patient, state, event, NOW + ms);
    const due = at(live('miner'), worked(EH), 0);
    expect(at(due.state, { type: 'tick' }, 59_999).effects).toEqual([]);
    const late = at(due.state, { type: 'tick' }, 60_000);
    expect(late.effects).toEqual([{ type: 'exposure_reached', exposureSat: 485n }]);
    expect(at(late.state, worked(EH + 1n), 70_000).effects).toEqual([]);
    expect(at(late.state, signedOf(terms, 1, EH), 80_000).effects).toEqual([{ type: 'exposure_cleared' }]);
    const less = at(live('miner'), worked(EH - 1n), 0);
    expect(at(less.state, { type: 'tick' }, 10 ** 9).effects).toEqual([]);
  });

  it('counts what is in flight and what was refused without a reason, and is not due for it', () => {
    const deliver = (workHashes: bigint, deliveredHashes: bigint): StreamEvent => ({
      ...{ type: 'work_verified', workHashes, deliveredHashes },
    });
    const near = run(options('miner'), [deliver(EH - 1n, 3n * EH - 1n)], live('miner')).state;
    expect(exposureRoom(terms, near)).toBe(1n);
    expect(near).toMatchObject({ exposureLimited: false, dueSinceMs: undefined });
    const full = run(options('miner'), [deliver(EH - 1n, 3n * EH)], near);
    expect(full.effects).toEqual([{ type: 'exposure_reached', exposureSat: 1455n }]);
    // A refusal with a reason is nobody's debt.
    const calm = run(options('miner'), [deliver(EH - 1n, 2n * EH - 1n)], full.state);
    expect(calm.effects).toEqual([{ type: 'exposure_cleared' }]);
  });

  it('is not stuck for ever when what it counted as due was refused', () => {
    const patient: StreamOptions = { terms, role: 'miner', unpaidTimeoutMs: 60_000 };
    const at = (state: StreamState, event: StreamEvent, ms: number) =>
      transition(patient, state, event, NOW + ms);
    const due = at(live('miner'), worked(EH), 0);
    const refused = at(due.state, worked(EH - 1n), 1_000);
    expect(at(refused.state, { type: 'tick' }, 70_000).effects).toEqual([]);
  });

  it('takes a state that pays more than it counted itself, and owes nothing for it', () => {
    const gift = run(options('miner'), [worked(EH), signedOf(terms, 1, 2n * EH)], live('miner'));
    expect(unsignedWork(gift.state)).toBe(0n);
    expect(exposureSat(terms, gift.state)).toBe(0n);
  });

  it('delivers only while live', () => {
    const paused = run(options('miner'), [{ type: 'pause' }], live('miner')).state;
    expect(isDelivering(live('miner'))).toBe(true);
    expect(isDelivering(paused)).toBe(false);
    expect(isDelivering(run(options('miner'), [{ type: 'resume' }], paused).state)).toBe(true);
    for (const type of ['close_requested', 'closed'] as const) {
      const { state } = run(options('miner'), [{ type }, { type: 'resume' }], live('miner'));
      expect(isDelivering(state)).toBe(false);
    }
  });
});

describe('a restart', () => {
  it('comes back to where it was from what the ledger holds (I46)', () => {
    fc.assert(
      fc.property(anyRole, anyTerms, fc.array(anyOp, { maxLength: 40 }), (role, of, ops) => {
        const calm = ops.filter(
          ({ type, ...rest }) => type !== 'event' || !/expiry|close|pause/.test(JSON.stringify(rest)),
        );
        const before = play(role, of, [...OPEN, ...calm], () => {}).at(-1)!.after;
        const { signed, verifiedWork } = before;
        const restored = run(options(role, of), [
          signedOf(of, signed!.n, signed!.workHashes),
          { type: 'channel_open' },
          { type: 'funded', confirmations: of.minDepth },
          worked(verifiedWork),
        ]).state;
        expect(restored.status).toBe(before.status);
        expect(restored.verifiedWork).toBe(verifiedWork);
        expect(restored.signed).toEqual(signed);
        if (before.signing !== undefined) {
          expect(restored.signing).toEqual({ n: signed!.n + 1, workHashes: verifiedWork });
        } else expect(restored.signing).toBeUndefined();
      }),
    );
  });

  it('refuses to believe a state whose pay does not follow from its work', () => {
    const wrong: StreamEvent = { type: 'state_signed', n: 1, workHashes: EH, paidSat: 486n };
    expect(() => run(options('miner'), [wrong], live('miner'))).toThrow('paid_is_owed');
    const back = [signedOf(terms, 1, 2n * EH), signedOf(terms, 2, EH)];
    expect(() => run(options('miner'), back, live('miner'))).toThrow('signed_work_never_falls');
  });
});
