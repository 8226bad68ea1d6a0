import { describe, expect, it } from 'vitest';
import { closeAmounts, stateAmounts } from '../../src/channel/amounts.ts';
import { closeFeeBounds, closeFeeFor } from '../../src/channel/close.ts';
import { capacitySat, channelFacts } from '../../src/channel/params.ts';
import { dustSat, feeOfVsize } from '../../src/channel/sizes.ts';
import { signState } from '../../src/channel/states.ts';
import { BOND_MODES, code, EH, makeBonds, makeParams, makerSigner, makeTerms } from './fixtures.ts';

const TOTAL = 1000n * EH;

describe('the amounts of a state', () => {
  it('are of work from none to all of it, and within the budget', () => {
    const terms = makeTerms();
    expect(stateAmounts(terms, 0n).paidSat).toBe(0n);
    expect(stateAmounts(terms, TOTAL).paidSat).toBe(485_060n);
    expect(code(() => stateAmounts(terms, TOTAL + 1n))).toBe('over_budget');
    expect(() => stateAmounts(terms, -1n)).toThrow('work_is_not_negative');
    const poor = makeTerms({ budgetSat: 485_059n });
    expect(stateAmounts(poor, TOTAL - EH).paidSat).toBe(484_574n);
    expect(code(() => stateAmounts(poor, TOTAL))).toBe('over_budget');
    expect(code(() => closeAmounts(poor, TOTAL))).toBe('over_budget');
  });
});

describe('the amounts of a close', () => {
  it.each(BOND_MODES)('say who has a bond that did not vest, of either side: %s', (mode) => {
    for (const amounts of [
      { makerBondSat: 40_000n, collateralSat: 60_000n },
      { makerBondSat: mode === 'forfeit_to_mm' ? 10_000n : 40_000n, collateralSat: 10_000n },
      ...(mode === 'forfeit_to_mm' ? [] : [{ makerBondSat: 40_000n, collateralSat: 0n }]),
      { makerBondSat: 0n, collateralSat: 10_000n },
    ]) {
      const terms = makeTerms({ bonds: makeBonds(mode, amounts) });
      expect(code(() => closeAmounts(terms, 0n))).toBe('bad_amount');
      const { makerBondSat, collateralSat } = amounts;
      const parts = { minerSat: 6000n + collateralSat, makerSat: 486_060n + makerBondSat, payeesSat: [] };
      expect(closeAmounts(terms, 0n, 'returned')).toEqual(parts);
      expect(closeAmounts(terms, 0n, 'miner_forfeits')).toEqual({
        ...parts,
        minerSat: parts.minerSat - collateralSat,
        makerSat: parts.makerSat + collateralSat,
      });
      expect(closeAmounts(terms, 0n, 'maker_forfeits')).toEqual({
        ...parts,
        minerSat: parts.minerSat + makerBondSat,
        makerSat: parts.makerSat - makerBondSat,
      });
      const { minerSat, makerSat } = closeAmounts(terms, TOTAL);
      expect(minerSat + makerSat).toBe(capacitySat(terms));
    }
  });
});

describe('the fee of a close', () => {
  const params = makeParams();
  const last = signState(params, 4, 900n * EH, makerSigner);
  const { stateVsize } = channelFacts(params);
  const { minSat, maxSat } = closeFeeBounds(params);

  it('is that of the rate, within the bounds that both sides hold', () => {
    expect([minSat, maxSat]).toEqual([
      feeOfVsize(stateVsize, 100),
      feeOfVsize(stateVsize, params.terms.feeLadderSatPerKvb.at(-1)!),
    ]);
    expect(closeFeeFor(params, last, 5000)).toBe(feeOfVsize(stateVsize, 5000));
    expect(closeFeeFor(params, last, 5000.2)).toBe(feeOfVsize(stateVsize, 5001));
    expect(closeFeeFor(params, last, 1)).toBe(minSat);
    expect(closeFeeFor(params, last, 100)).toBe(minSat);
    expect(closeFeeFor(params, last, 10_000_000)).toBe(maxSat);
  });

  it('leaves the miner what nodes relay', () => {
    const terms = makeTerms({ minerReserveSat: 2000n });
    const poor = makeParams({}, terms);
    const first = signState(poor, 0, 0n, makerSigner);
    const most = 2000n - dustSat(poor.minerPayoutScript);
    expect(closeFeeFor(poor, first, 1_000_000)).toBe(most);
    const bonded = makeParams({}, makeTerms({ bonds: makeBonds('hostage') }));
    const opened = signState(bonded, 0, 0n, makerSigner);
    expect(closeFeeFor(bonded, opened, 1_000_000_000)).toBe(closeFeeBounds(bonded).maxSat);
    expect(closeFeeFor(bonded, opened, 1_000_000_000, 'miner_forfeits')).toBe(
      6000n - dustSat(bonded.minerPayoutScript),
    );
  });
});
