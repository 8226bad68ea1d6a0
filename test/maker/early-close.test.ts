import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { CloseSettlement } from '../../src/channel/close.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { assertEarlyClose } from '../../src/maker/early-close.ts';
import type { StakesPolicy } from '../../src/maker/policy.ts';
import { makeBonds, makeTerms } from '../channel/fixtures.ts';

type Wanted = StakesPolicy['earlyClose'];
const SETTLEMENTS = ['returned', 'miner_forfeits', 'maker_forfeits'] as const;
const bonded = makeTerms({ bonds: makeBonds('hostage') });
const EARLY = bonded.workTotalHashes / 2n;

/** What a close is refused with, by the policy; `taken` where it is not. */
function asked(
  wanted: Wanted,
  settlement?: CloseSettlement,
  workHashes = EARLY,
  of: { readonly terms?: ContractTerms; readonly isTermOver?: boolean } = {},
): string {
  try {
    const { terms = bonded, isTermOver = false } = of;
    assertEarlyClose({ terms, isTermOver }, wanted, workHashes, settlement);
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return error.message;
  }
}

describe('a close while bonds are at stake', () => {
  it('is refused where the policy says so, whoever would receive them', () => {
    const refused = new CodedError('bonds_at_stake').message;
    for (const settlement of [undefined, ...SETTLEMENTS])
      expect(asked('refused', settlement)).toBe(refused);
  });

  it('is taken with the settlement of the policy alone, or before one is named', () => {
    for (const wanted of SETTLEMENTS) {
      const refused = new CodedError('bonds_at_stake', `settle as ${wanted}`).message;
      expect(asked(wanted)).toBe('taken');
      for (const settlement of SETTLEMENTS)
        expect(asked(wanted, settlement)).toBe(settlement === wanted ? 'taken' : refused);
    }
  });

  it('that the block clock of the terms ended gives each its own back, and nothing else', () => {
    const of = { isTermOver: true };
    for (const wanted of ['refused', ...SETTLEMENTS] as const) {
      expect([asked(wanted, undefined, EARLY, of), asked(wanted, 'returned', EARLY, of)]).toEqual([
        ...['taken', 'taken'],
      ]);
      for (const settlement of ['miner_forfeits', 'maker_forfeits'] as const)
        expect(asked(wanted, settlement, EARLY, of)).toBe(asked(wanted, settlement));
    }
  });

  it('is any close once all has vested, or where there are none', () => {
    // Of the larger bond, 60,000 sat, a rest below 1,000 has vested.
    const all = bonded.workTotalHashes;
    const least = (all * 59_001n) / 60_000n;
    const vested = least * 60_000n === all * 59_001n ? least : least + 1n;
    for (const settlement of [undefined, ...SETTLEMENTS]) {
      expect(asked('refused', settlement, all)).toBe('taken');
      expect(asked('refused', settlement, vested)).toBe('taken');
      expect(asked('refused', settlement, vested - 1n)).not.toBe('taken');
      expect(asked('refused', settlement, 0n, { terms: makeTerms() })).toBe('taken');
    }
  });
});
