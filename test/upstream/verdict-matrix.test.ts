import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { VerdictMatrixCounter } from '../../src/upstream/verdict-matrix.ts';

describe('VerdictMatrixCounter', () => {
  it('counts each share once, when both verdicts are there, in any order', () => {
    const outcome = fc.constantFrom(
      'accepted' as const,
      'refused' as const,
      'timeout' as const,
      'lost' as const,
    );
    const share = fc.record({ ours: fc.boolean(), theirs: outcome, oursFirst: fc.boolean() });
    fc.assert(
      fc.property(fc.array(share, { maxLength: 50 }), fc.nat({ max: 5 }), (shares, late) => {
        const counter = new VerdictMatrixCounter();
        const tokens = shares.map(() => ({}));
        for (const token of tokens) counter.forwarded(token);
        const ours = (at: number): void => counter.judged(tokens[at]!, shares[at]!.ours);
        const theirs = (at: number): void => counter.resolved(tokens[at]!, shares[at]!.theirs);
        for (const [at, { oursFirst }] of shares.entries()) (oursFirst ? ours : theirs)(at);
        expect(counter.waiting).toBe(shares.length);
        const known = Math.max(0, shares.length - late);
        for (let at = 0; at < known; at += 1) for (const tell of [ours, theirs, ours]) tell(at);
        const { counts } = counter;
        const of = (mine: boolean, ...outcomes: string[]): number =>
          shares.slice(0, known).filter((one) => one.ours === mine && outcomes.includes(one.theirs)).length;
        expect(counts).toEqual({
          weAcceptedTheyAccepted: of(true, 'accepted'),
          weAcceptedTheyRejected: of(true, 'refused'),
          weAcceptedTheySilent: of(true, 'timeout', 'lost'),
          weRejectedTheyAccepted: of(false, 'accepted'),
          weRejectedTheyRejected: of(false, 'refused'),
          weRejectedTheySilent: of(false, 'timeout', 'lost'),
          incomplete: 0,
        });
        expect(counter.waiting).toBe(shares.length - known);
      }),
    );
  });

  it('ignores shares that were never forwarded, and forgets the oldest of too many', () => {
    const counter = new VerdictMatrixCounter();
    counter.judged({}, true);
    counter.resolved({}, 'accepted');
    const first = {};
    counter.forwarded(first);
    for (let one = 0; one < 2 * LIMITS.upstreamSharesInFlight; one += 1) counter.forwarded({});
    counter.judged(first, true);
    counter.resolved(first, 'accepted');
    expect(counter.counts).toMatchObject({ weAcceptedTheyAccepted: 0, incomplete: 1 });
    expect(counter.waiting).toBe(2 * LIMITS.upstreamSharesInFlight);
  });
});
