import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { owedSat } from '../../src/base/units.ts';
import { closeAmounts } from '../../src/channel/amounts.ts';
import { buildClose, finalizeClose, signClose, verifyClose } from '../../src/channel/close.ts';
import {
  type ChannelParams,
  capacitySat,
  channelFacts,
  makerContributionSat,
  minerContributionSat,
} from '../../src/channel/params.ts';
import { signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { derSignature, jointWitness } from '../../src/channel/scripts.ts';
import { dustSat, outputWeight } from '../../src/channel/sizes.ts';
import {
  affordableFeesSat,
  buildState,
  channelDigest,
  rungOfTxid,
  signAndFinalizeState,
  signState,
  stateAmounts,
  stateOutputs,
  verifySignedState,
  verifyState,
} from '../../src/channel/states.ts';
import { bondsOf, hasBondOutputs } from '../../src/contract/bond-terms.ts';
import type { TermsV1or2 } from '../../src/contract/terms.ts';
import { fixedPriceMsatPerEh } from '../../src/contract/terms-access.ts';
import { secondDigest, spend } from './consensus.ts';
import {
  anyBondedWork,
  BOND_MODES,
  code,
  EH,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
} from './fixtures.ts';

const bonded = (mode: (typeof BOND_MODES)[number], changes: Partial<TermsV1or2> = {}): ChannelParams =>
  makeParams({}, makeTerms({ bonds: makeBonds(mode), ...changes }));
const audited = bonded('auditor');
const HALF = 500n * EH;

function run(transaction: Transaction, of: ChannelParams): string {
  const { outputScript, capacitySat: valueSat } = channelFacts(of);
  return spend(transaction, 0, { script: outputScript, valueSat });
}

const sumOf = (values: readonly bigint[]): bigint => values.reduce((total, value) => total + value, 0n);

describe('the value of a channel with bonds', () => {
  it('is B + R + D + C + r0: miner C + r0, maker B + R + D, and the seal apart', () => {
    const { terms } = audited;
    expect(capacitySat(terms)).toBe(485_060n + 1000n + 40_000n + 60_000n + 6000n);
    expect(minerContributionSat(terms)).toBe(60_000n + 6000n);
    expect(makerContributionSat(terms)).toBe(485_060n + 1000n + 40_000n);
    const sealed = makeTerms({
      bonds: makeBonds('auditor'),
      seal: { sealSat: 2500n, claimFeeRateSatPerKvb: 1000 },
    });
    expect(capacitySat(sealed)).toBe(capacitySat(terms));
    expect(minerContributionSat(sealed)).toBe(66_000n + 2500n);
  });
});

describe('amounts with bonds', () => {
  it('conserve the value of the channel, at every rung and in every mode (I11, I14, I40)', () => {
    fc.assert(
      fc.property(anyBondedWork, ({ params: of, workHashes }) => {
        affordableFeesSat(of, workHashes).forEach((feeSat, rung) => {
          const { outs } = buildState(of, workHashes, rung);
          expect(sumOf(outs.map((output) => output.value)) + feeSat).toBe(channelFacts(of).capacitySat);
          for (const { script, value } of outs) expect(value).toBeGreaterThanOrEqual(dustSat(script));
          expect(outs[1]!.value).toBeGreaterThanOrEqual(of.terms.reserveSat);
          for (const { value } of outs.slice(2)) expect(value).toBeGreaterThanOrEqual(1000n);
        });
      }),
      { numRuns: 60 },
    );
  });

  it('are the four of the design: P, MM, bondP, bondM', () => {
    const expected = {
      auditor: {
        minerSat: 278_530n,
        makerSat: 263_530n,
        payeesSat: [],
        minerBondOutputSat: 30_000n,
        makerBondOutputSat: 20_000n,
      },
      hostage: {
        minerSat: 278_530n,
        makerSat: 263_530n,
        payeesSat: [],
        minerBondOutputSat: 30_000n,
        makerBondOutputSat: 20_000n,
      },
      forfeit_to_mm: {
        minerSat: 298_530n,
        makerSat: 293_530n,
        payeesSat: [],
        minerBondOutputSat: 0n,
        makerBondOutputSat: 0n,
      },
    } as const;
    for (const mode of BOND_MODES) {
      const { paidSat, ...amounts } = stateAmounts(bonded(mode).terms, HALF);
      expect(paidSat).toBe(242_530n);
      expect(amounts).toEqual(expected[mode]);
    }
  });

  it('start with the miner’s reserve alone: its collateral is at stake from the first state', () => {
    for (const mode of ['auditor', 'hostage'] as const) {
      const amounts = stateAmounts(bonded(mode).terms, 0n);
      expect(amounts.minerSat).toBe(6000n);
      expect([amounts.minerBondOutputSat, amounts.makerBondOutputSat]).toEqual([60_000n, 40_000n]);
    }
    expect(stateAmounts(bonded('forfeit_to_mm').terms, 0n).minerSat).toBe(6000n + 40_000n);
  });

  it('never give the miner less for more work, at any rung: its sure take is monotone (I15, I16, I17)', () => {
    fc.assert(
      fc.property(anyBondedWork, fc.bigInt(0n, 10n ** 6n), ({ params: of, workHashes }, part) => {
        const less = (workHashes * part) / 10n ** 6n;
        // In a fold without outputs two floors meet: vC rises and D - vD falls, each within a satoshi.
        const slack = bondsOf(of.terms).bondMode === 'forfeit_to_mm' ? 1n : 0n;
        const before = affordableFeesSat(of, less);
        const now = affordableFeesSat(of, workHashes);
        for (let rung = 0; rung < Math.min(before.length, now.length); rung += 1) {
          const [old, next] = [less, workHashes].map((work) => buildState(of, work, rung).outs[0]!.value);
          expect(next! + slack).toBeGreaterThanOrEqual(old!);
        }
      }),
      { numRuns: 80 },
    );
  });

  it('leave no older state worth more to the miner even if it were given both bonds, but for a fold (D < B)', () => {
    fc.assert(
      fc.property(anyBondedWork, fc.bigInt(0n, 10n ** 6n), ({ params: of, workHashes }, part) => {
        const less = (workHashes * part) / 10n ** 6n;
        const best = (work: bigint): bigint => {
          const { minerSat, minerBondOutputSat, makerBondOutputSat } = stateAmounts(of.terms, work);
          return minerSat + minerBondOutputSat + makerBondOutputSat;
        };
        // The last 999 sats of the maker's bond vest in one piece; two floors are within a satoshi.
        const isFolded =
          hasBondOutputs(of.terms) &&
          bondsOf(of.terms).makerBondSat > 0n &&
          stateAmounts(of.terms, workHashes).makerBondOutputSat === 0n;
        expect(best(workHashes) + (isFolded ? 1000n : 1n)).toBeGreaterThanOrEqual(best(less));
      }),
    );
  });

  it('end at the budget with all vested, two outputs, in every mode', () => {
    for (const mode of BOND_MODES) {
      const of = bonded(mode);
      const { workTotalHashes } = of.terms;
      expect(stateAmounts(of.terms, workTotalHashes)).toEqual({
        paidSat: 485_060n,
        minerSat: 6000n + 485_060n + 60_000n,
        makerSat: 1000n + 40_000n,
        payeesSat: [],
        minerBondOutputSat: 0n,
        makerBondOutputSat: 0n,
      });
      expect(buildState(of, workTotalHashes, 0).outs).toHaveLength(2);
      expect(code(() => stateAmounts(of.terms, workTotalHashes + 1n))).toBe('over_budget');
    }
  });
});

describe('the transaction of a state with bonds', () => {
  it('has P, MM, bondP, bondM in this order, and leaves out what is nothing', () => {
    const { bonds } = channelFacts(audited);
    const scripts = [
      audited.minerPayoutScript,
      audited.makerPayoutScript,
      bonds!.miner.outputScript,
      bonds!.maker.outputScript,
    ];
    expect(buildState(audited, HALF, 0).outs.map((output) => output.script)).toEqual(scripts);
    const onlyMaker = bonded('auditor', { bonds: makeBonds('auditor', { collateralSat: 0n }) });
    expect(stateOutputs(onlyMaker, HALF).map(({ name }) => name)).toEqual(['miner', 'maker', 'makerBond']);
    const onlyMiner = bonded('hostage', { bonds: makeBonds('hostage', { makerBondSat: 0n }) });
    expect(stateOutputs(onlyMiner, HALF).map(({ name }) => name)).toEqual(['miner', 'maker', 'minerBond']);
    expect(stateOutputs(bonded('forfeit_to_mm'), HALF)).toHaveLength(2);
  });

  it.each([
    [0n, 266],
    [976n * EH, 223],
    [1000n * EH, 180],
  ] as const)('after %i hashes is at most %i vB, and its fee is for that size', (work, vsize) => {
    expect(affordableFeesSat(audited, work)[0]).toBe((BigInt(vsize) * 1100n + 999n) / 1000n);
    const transaction = buildState(audited, work, 0);
    const long = new Uint8Array(64).fill(0x7f).fill(0xff, 0, 32);
    const der = derSignature(long);
    transaction.setWitness(0, jointWitness(der, der, channelFacts(audited).script));
    expect(transaction.virtualSize()).toBe(vsize);
  });

  it('is valid at every rung once both signed, and pays its rate', () => {
    fc.assert(
      fc.property(anyBondedWork, ({ params: of, workHashes }) => {
        const n = workHashes === 0n ? 0 : 1;
        const state = signState(of, n, workHashes, makerSigner);
        verifySignedState(of, state);
        state.signatures.forEach((_, rung) => {
          const final = signAndFinalizeState(of, state, rung, minerSigner);
          expect(run(Transaction.fromHex(final.hex), of)).toBe('ok');
          const rate = BigInt(of.terms.feeLadderSatPerKvb[rung]!);
          expect(final.feeSat * 1000n).toBeGreaterThanOrEqual(BigInt(final.vsize) * rate);
          expect(final.feeSat * 1000n).toBeLessThanOrEqual(BigInt(final.vsize + 2) * rate + 1000n);
        });
      }),
      { numRuns: 45 },
    );
  });

  it('has the signature hash that a second library works out (two checks of every rung)', () => {
    fc.assert(
      fc.property(anyBondedWork, ({ params: of, workHashes }) => {
        affordableFeesSat(of, workHashes).forEach((_, rung) => {
          const transaction = buildState(of, workHashes, rung);
          const { script, capacitySat: valueSat } = channelFacts(of);
          expect(secondDigest(transaction, 0, script, valueSat)).toBe(
            toHex(channelDigest(of, transaction)),
          );
        });
      }),
      { numRuns: 40 },
    );
  });

  it('fails with a satoshi moved between any two outputs, one dropped, or one more', () => {
    const state = signState(audited, 1, HALF, makerSigner);
    const changed = (change: (transaction: Transaction) => void): string => {
      const transaction = Transaction.fromHex(signAndFinalizeState(audited, state, 1, minerSigner).hex);
      change(transaction);
      return run(transaction, audited);
    };
    expect(changed(() => {})).toBe('ok');
    for (const from of [0, 1, 2, 3]) {
      for (const to of [0, 1, 2, 3].filter((index) => index !== from)) {
        const moved = changed(({ outs }) => {
          outs[from]!.value -= 1n;
          outs[to]!.value += 1n;
        });
        expect(moved).toBe('SCRIPT_ERR_SIG_NULLFAIL');
      }
      expect(changed(({ outs }) => outs.splice(from, 1))).toBe('SCRIPT_ERR_SIG_NULLFAIL');
    }
    expect(changed((transaction) => transaction.addOutput(audited.minerPayoutScript, 1n))).toBe(
      'SCRIPT_ERR_SIG_NULLFAIL',
    );
  });

  it('is found again by its txid', () => {
    const state = signState(audited, 1, HALF, makerSigner);
    const { txid } = signAndFinalizeState(audited, state, 2, minerSigner);
    expect(rungOfTxid(audited, HALF, txid)).toBe(2);
    expect(rungOfTxid(audited, HALF + EH, txid)).toBeUndefined();
  });

  it('is not that of a channel with other bonds, mode, delay, auditor or keys', () => {
    const state = signState(audited, 1, HALF, makerSigner);
    const others = [
      makeParams(),
      bonded('hostage'),
      bonded('forfeit_to_mm'),
      bonded('auditor', { bonds: makeBonds('auditor', { bondCsvBlocks: 2015 }) }),
      bonded('auditor', { bonds: makeBonds('auditor', { collateralSat: 60_001n }) }),
      makeParams({ keys: { ...audited.keys, minerExit: minerSigner.publicKey('auditor') } }, audited.terms),
      makeParams({ keys: { ...audited.keys, makerBond: makerSigner.publicKey('seal') } }, audited.terms),
    ];
    expect(verifyState(audited, signState(audited, 0, 0n, makerSigner), state)).toBe('next');
    for (const other of others) expect(code(() => verifySignedState(other, state))).toBe('bad_signature');
  });
});

describe('the keys of a channel with bonds', () => {
  it('are exactly those its terms need, all different, the auditor’s too', () => {
    const { minerBond, ...without } = audited.keys;
    const hostage = bonded('hostage');
    const auditor = makeBonds('auditor');
    const auditorKey =
      auditor.bondMode === 'auditor'
        ? Uint8Array.from(Buffer.from(auditor.auditorKeyHex, 'hex'))
        : undefined;
    const bad: ChannelParams[] = [
      { ...audited, keys: without },
      { ...audited, keys: { ...audited.keys, makerSeal: makerSigner.publicKey('seal') } },
      { ...audited, keys: { ...audited.keys, minerExit: minerBond! } },
      { ...audited, keys: { ...audited.keys, makerBond: minerBond! } },
      { ...audited, keys: { ...audited.keys, makerExit: audited.keys.makerRefund } },
      { ...audited, keys: { ...audited.keys, makerExit: auditorKey! } },
      { ...hostage, keys: { ...hostage.keys, minerExit: minerSigner.publicKey('exit') } },
      { ...makeParams(), keys: audited.keys },
      { ...bonded('forfeit_to_mm'), keys: audited.keys },
    ];
    for (const of of bad) expect(code(() => channelFacts(of))).toBe('bad_terms');
    const offCurve = { ...makeBonds('auditor'), auditorKeyHex: `02${'ff'.repeat(32)}` };
    const strange = makeTerms({ bonds: offCurve as ReturnType<typeof makeBonds> });
    expect(code(() => channelFacts({ ...makeParams({}, strange), keys: audited.keys }))).toBe('bad_terms');
  });
});

describe('the cooperative close with bonds', () => {
  const last = signState(audited, 4, HALF, makerSigner);
  const settlements = ['returned', 'miner_forfeits', 'maker_forfeits'] as const;

  it('must say who has what did not vest, until all has', () => {
    expect(code(() => buildClose(audited, HALF, 700n))).toBe('bad_amount');
    expect(code(() => signClose(audited, last, 700n, 'maker', makerSigner))).toBe('bad_amount');
    expect(buildClose(audited, 1000n * EH, 700n).outs[0]!.value).toBe(551_060n - 700n);
  });

  it.each([
    ['returned', 308_530n, 283_530n],
    ['miner_forfeits', 278_530n, 313_530n],
    ['maker_forfeits', 328_530n, 263_530n],
  ] as const)('%s pays %i and %i, conserves, and is valid', (settlement, minerSat, makerSat) => {
    expect(closeAmounts(audited.terms, HALF, settlement)).toEqual({ minerSat, makerSat, payeesSat: [] });
    const signatures = {
      miner: signClose(audited, last, 700n, 'miner', minerSigner, settlement),
      maker: signClose(audited, last, 700n, 'maker', makerSigner, settlement),
    };
    const final = finalizeClose(audited, last, 700n, signatures, settlement);
    const transaction = Transaction.fromHex(final.hex);
    expect(transaction.outs.map((output) => output.value)).toEqual([minerSat - 700n, makerSat]);
    expect(final.feeSat).toBe(700n);
    expect(run(transaction, audited)).toBe('ok');
    const { script, capacitySat: valueSat } = channelFacts(audited);
    expect(secondDigest(transaction, 0, script, valueSat)).toBe(toHex(channelDigest(audited, transaction)));
    transaction.outs[1]!.value += 1n;
    expect(run(transaction, audited)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
    for (const other of settlements.filter((name) => name !== settlement)) {
      expect(code(() => verifyClose(audited, last, 700n, 'maker', signatures.maker, other))).toBe(
        'bad_signature',
      );
    }
  });

  it('gives nobody less than a state and a ruling could (I19)', () => {
    fc.assert(
      fc.property(
        anyBondedWork,
        fc.constantFrom(...settlements),
        ({ params: of, workHashes }, settlement) => {
          const { minerSat, makerSat } = closeAmounts(of.terms, workHashes, settlement);
          expect(minerSat + makerSat).toBe(capacitySat(of.terms));
          expect(makerSat).toBeGreaterThanOrEqual(of.terms.reserveSat);
          fc.pre(bondsOf(of.terms).bondMode !== 'forfeit_to_mm');
          const state = stateAmounts(of.terms, workHashes);
          expect(minerSat).toBeGreaterThanOrEqual(state.minerSat);
          expect(makerSat).toBeGreaterThanOrEqual(state.makerSat);
        },
      ),
    );
  });
});

it('a miner in default keeps its pay and what vested; the maker has the rest, both bonds, and no more (I37)', () => {
  fc.assert(
    fc.property(anyBondedWork, ({ params: of, workHashes }) => {
      fc.pre(hasBondOutputs(of.terms));
      const { budgetSat, reserveSat, minerReserveSat } = of.terms;
      const { collateralSat, makerBondSat } = bondsOf(of.terms);
      const state = stateAmounts(of.terms, workHashes);
      const forfeitedSat = state.minerBondOutputSat + state.makerBondOutputSat;
      const vestedSat = collateralSat + makerBondSat - forfeitedSat;
      expect(state.paidSat).toBe(owedSat(workHashes, fixedPriceMsatPerEh(of.terms)));
      expect(state.minerSat).toBeGreaterThanOrEqual(state.paidSat + minerReserveSat);
      expect(state.minerSat).toBeLessThanOrEqual(state.paidSat + minerReserveSat + vestedSat);
      const makerSat = state.makerSat + forfeitedSat;
      expect(makerSat).toBeLessThanOrEqual(
        budgetSat - state.paidSat + reserveSat + collateralSat + makerBondSat,
      );
      expect(makerSat + state.minerSat).toBe(capacitySat(of.terms));
    }),
  );
});

describe('the refund of a channel with bonds', () => {
  it('gives the whole channel to the maker, bonds and all', () => {
    const refund = signAndFinalizeRefund(audited, 5000, makerSigner);
    const transaction = Transaction.fromHex(refund.hex);
    expect(run(transaction, audited)).toBe('ok');
    expect(transaction.outs).toEqual([
      { script: audited.makerPayoutScript, value: capacitySat(audited.terms) - refund.feeSat },
    ]);
  });
});

it('sizes are those of the scripts, whatever the payouts', () => {
  for (const kind of ['p2wpkh', 'p2wsh', 'p2tr'] as const) {
    const of = makeParams({ minerPayoutScript: PAYOUTS[kind]('x') }, audited.terms);
    const extra = (outputWeight(of.minerPayoutScript) - outputWeight(audited.minerPayoutScript)) / 4;
    const at = (params: ChannelParams): bigint => affordableFeesSat(params, HALF)[1]!;
    expect(at(of) - at(audited)).toBe(BigInt(extra) * 5n);
  }
});
