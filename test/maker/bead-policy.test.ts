import { describe, expect, it } from 'vitest';
import type { CodedError } from '../../src/base/errors.ts';
import { compactOfTarget, targetOfCompact, targetToHex, workOfTarget } from '../../src/bitcoin/target.ts';
import { mostLostBeads } from '../../src/contract/bead-odds.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { type BeadPolicy, judgeBeadTerms } from '../../src/maker/bead-policy.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const SCRIPT = `0014${'ab'.repeat(20)}`;
const EASIEST = 1n << 230n;
/** At a sat for each hash: so much a thief of all can earn, to the sat. */
const MOST = mostLostBeads(1000) * workOfTarget(EASIEST);
const POLICY: BeadPolicy = {
  ...{ scriptHex: SCRIPT, profiles: ['weak', 'as_is', 'spec'], minStopPpb: 1000, maxLossSat: MOST },
};

function judged(
  changes: Partial<Extract<TermsV3['binding'], { readonly type: 'bead' }>>,
  tipBits?: number,
  policy: BeadPolicy = POLICY,
): unknown {
  const bead = { type: 'bead', scriptHex: SCRIPT, profile: 'weak', stopPpb: 1000 } as const;
  const terms = makeTermsV3({
    price: { type: 'fixed', msatPerEh: 1000n * 10n ** 18n },
    target: { easiestHex: targetToHex(EASIEST), hardestHex: targetToHex(EASIEST) },
    binding: { ...bead, maxLossSat: MOST, ...changes },
  });
  try {
    judgeBeadTerms(policy, terms, tipBits);
    return 'taken';
  } catch (error) {
    return (error as CodedError).message;
  }
}

describe('a contract bound by beads', () => {
  it('is taken where a thief of all earns exactly the most that may be lost, and no sat more', () => {
    expect(judged({})).toBe('taken');
    expect(judged({ maxLossSat: MOST - 1n })).toContain(`is less than the ${MOST + 1n} sat`);
    expect(judged({ maxLossSat: MOST + 1n })).toContain(`may be at most ${MOST}`);
    // Of the beads of the chain it is the difficulty of now that says what one is worth.
    const bits = compactOfTarget(EASIEST);
    expect(targetOfCompact(bits)).toBe(EASIEST);
    expect(judged({ profile: 'as_is' }, bits)).toBe('taken');
    expect(judged({ profile: 'as_is', maxLossSat: MOST - 1n }, bits)).toContain('is less than');
    expect(judged({ profile: 'as_is' })).toContain('does not tell its difficulty');
  });

  it('has a rate of error that is small enough, of a profile and a payee that are taken', () => {
    expect(judged({ stopPpb: 999 })).toContain('must be at least 1000');
    expect(judged({ stopPpb: 1001 })).toBe('taken');
    expect(judged({ scriptHex: '51' })).toContain('must be that of the maker');
    const two = { ...POLICY, profiles: ['as_is', 'spec'] as const };
    expect(judged({}, undefined, two)).toContain('must be as_is or spec');
    // What no statistics judge has no loss to bound.
    expect(judged({ profile: 'spec', stopPpb: 1, maxLossSat: MOST + 1n })).toBe('taken');
  });

  it('is taken where there is a policy for it; other contracts are none of its business', () => {
    expect(() => judgeBeadTerms(undefined, makeTermsV3(), undefined)).not.toThrow();
    const terms = makeTermsV3({
      binding: {
        ...{ type: 'bead', scriptHex: SCRIPT, profile: 'spec', stopPpb: 1, maxLossSat: 1n },
      },
    });
    expect(() => judgeBeadTerms(undefined, terms, undefined)).toThrow('no beads are judged');
  });
});
