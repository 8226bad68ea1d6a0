import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { owedMsat, owedSat } from '../../src/base/units.ts';
import { accountingOf, depletionWork } from '../../src/contract/accounting.ts';
import { anyTerms, EH } from '../channel/fixtures.ts';

describe('accounting', () => {
  const anyAccounts = fc
    .record({
      priceMsatPerEh: fc.bigInt(1n, 10n ** 9n),
      depositedSat: fc.bigInt(0n, 10n ** 9n),
      workHashes: fc.bigInt(0n, 10n ** 24n),
      paid: fc.bigInt(0n, 100n),
      refunded: fc.bigInt(0n, 100n),
    })
    .map(({ paid, refunded, ...rest }) => {
      const paidSat = (rest.depositedSat * paid) / 100n;
      return { ...rest, paidSat, refundedSat: ((rest.depositedSat - paidSat) * refunded) / 100n };
    });

  type Accounts = {
    priceMsatPerEh: bigint;
    depositedSat: bigint;
    workHashes: bigint;
    paidSat: bigint;
    refundedSat: bigint;
  };
  const owedIn = (of: Accounts) => ({ ...of, owedSat: owedSat(of.workHashes, of.priceMsatPerEh) });

  it('conserves the deposit, also beyond it (I11, I12, I13)', () => {
    fc.assert(
      fc.property(anyAccounts, (of) => {
        const { debtSat, coveredSat, uncoveredSat, refundableSat } = accountingOf(owedIn(of));
        expect(of.paidSat + of.refundedSat + coveredSat + refundableSat).toBe(of.depositedSat);
        expect(coveredSat + uncoveredSat).toBe(debtSat);
        for (const sat of [coveredSat, uncoveredSat, refundableSat]) expect(sat).toBeGreaterThanOrEqual(0n);
        if (uncoveredSat > 0n) expect(refundableSat).toBe(0n);
        else expect(coveredSat).toBe(debtSat);
      }),
    );
    expect(() =>
      accountingOf({
        owedSat: 0n,
        depositedSat: 10n,
        paidSat: 6n,
        refundedSat: 5n,
      }),
    ).toThrow('paid_and_refunded_within_deposit');
  });

  it('is topped up: so much less is uncovered, and neither debt nor pay moves (I33)', () => {
    fc.assert(
      fc.property(anyAccounts, fc.bigInt(0n, 10n ** 9n), (of, topUp) => {
        const before = accountingOf(owedIn(of));
        const after = accountingOf(owedIn({ ...of, depositedSat: of.depositedSat + topUp }));
        const covered = topUp < before.uncoveredSat ? topUp : before.uncoveredSat;
        expect(before.uncoveredSat - after.uncoveredSat).toBe(covered);
        expect(after.refundableSat - before.refundableSat).toBe(topUp - covered);
        expect(after.debtSat).toBe(before.debtSat);
      }),
    );
  });

  it('gives back no more than what is refundable, and no pay with it (I35)', () => {
    fc.assert(
      fc.property(anyAccounts, fc.bigInt(0n, 100n), (of, part) => {
        const before = accountingOf(owedIn(of));
        const refund = (before.refundableSat * part) / 100n;
        const after = accountingOf(owedIn({ ...of, refundedSat: of.refundedSat + refund }));
        expect(after).toEqual({ ...before, refundableSat: before.refundableSat - refund });
        // A sat more would be of what was earned.
        const more = { ...of, refundedSat: of.refundedSat + before.refundableSat + 1n };
        if (before.coveredSat > 0n)
          expect(accountingOf(owedIn(more)).uncoveredSat).toBe(before.uncoveredSat + 1n);
        else expect(() => accountingOf(owedIn(more))).toThrow('paid_and_refunded_within_deposit');
      }),
    );
  });

  it('forecasts depletion to the hash, for exact and inexact division (I32)', () => {
    fc.assert(
      fc.property(anyAccounts, (of) => {
        const work = depletionWork(of);
        expect(accountingOf(owedIn({ ...of, workHashes: work - 1n })).uncoveredSat).toBe(0n);
        expect(accountingOf(owedIn({ ...of, workHashes: work })).uncoveredSat).toBeGreaterThan(0n);
      }),
    );
    expect(depletionWork({ priceMsatPerEh: 1000n, depositedSat: 4n, refundedSat: 1n })).toBe(4n * EH);
    expect(depletionWork({ priceMsatPerEh: 3000n, depositedSat: 0n, refundedSat: 0n })).toBe(
      333_333_333_333_333_334n,
    );
  });

  it('never depletes a sound contract before its end', () => {
    fc.assert(
      fc.property(anyTerms, (of) => {
        const { priceMsatPerEh, budgetSat: depositedSat } = of;
        expect(depletionWork({ priceMsatPerEh, depositedSat, refundedSat: 0n })).toBeGreaterThan(
          of.workTotalHashes,
        );
      }),
    );
  });

  it('loses less than a satoshi to rounding in all, however often it is settled (I56)', () => {
    fc.assert(
      fc.property(anyTerms, fc.bigInt(0n, 10n ** 6n), (of, part) => {
        const work = (of.workTotalHashes * part) / 10n ** 6n;
        const msat = owedMsat(work, of.priceMsatPerEh);
        expect(work * of.priceMsatPerEh - msat * EH).toBeLessThan(EH);
        expect(msat - owedSat(work, of.priceMsatPerEh) * 1000n).toBeLessThan(1000n);
      }),
    );
  });
});
