import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import {
  buildClose,
  closeFeeBounds,
  finalizeClose,
  makerSignatureOf,
  signClose,
  verifyClose,
} from '../../src/channel/close.ts';
import { type ChannelParams, channelFacts } from '../../src/channel/params.ts';
import { buildRefund, finalizeRefund, signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { derSignature, refundWitness } from '../../src/channel/scripts.ts';
import { refundVsize } from '../../src/channel/sizes.ts';
import { channelDigest, signAndFinalizeState, signState, stateAmounts } from '../../src/channel/states.ts';
import { bondsOf, hasBondOutputs } from '../../src/contract/bond-terms.ts';
import { fixedPriceMsatPerEh } from '../../src/contract/terms-access.ts';
import { secondDigest, spend } from './consensus.ts';
import {
  anyBondedWork,
  anyWork,
  code,
  EH,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
  strangerSigner,
} from './fixtures.ts';

const params = makeParams();
const last = signState(params, 4, 10n * EH, makerSigner);

function run(transaction: Transaction, of: ChannelParams = params): string {
  const { outputScript, capacitySat } = channelFacts(of);
  return spend(transaction, 0, { script: outputScript, valueSat: capacitySat });
}

describe('the cooperative close', () => {
  const feeSat = 700n;
  const signatures = {
    miner: signClose(params, last, feeSat, 'miner', minerSigner),
    maker: signClose(params, last, feeSat, 'maker', makerSigner),
  };

  it('pays exactly the last state, less the fee of the miner (I19)', () => {
    const { outs, version, locktime } = buildClose(params, last.workHashes, feeSat);
    const { minerSat, makerSat } = stateAmounts(params.terms, last.workHashes);
    expect(outs.map((output) => output.value)).toEqual([minerSat - feeSat, makerSat]);
    expect([version, locktime]).toEqual([3, 0]);
  });

  it('shows the signature of the maker, and none where there is none', () => {
    const { hex } = finalizeClose(params, last, feeSat, signatures);
    expect(makerSignatureOf(Transaction.fromHex(hex))).toBe(signatures.maker);
    const unsigned = buildClose(params, last.workHashes, feeSat);
    expect(code(() => makerSignatureOf(unsigned))).toBe('bad_signature');
    expect(code(() => makerSignatureOf(new Transaction()))).toBe('bad_signature');
    unsigned.ins[0]!.witness = [new Uint8Array(9)];
    expect(code(() => makerSignatureOf(unsigned))).toBe('bad_signature');
  });

  it('is completed with two signatures of 64 bytes, each', () => {
    for (const wrong of ['', '00', `${signatures.maker}00`, signatures.maker.toUpperCase()]) {
      const close = (changed: object) =>
        code(() => finalizeClose(params, last, feeSat, { ...signatures, ...changed }));
      expect(close({ maker: wrong })).toBe('bad_signature');
      expect(close({ miner: wrong })).toBe('bad_signature');
    }
  });

  it('is valid once both signed, and fails with a satoshi moved', () => {
    const final = finalizeClose(params, last, feeSat, signatures);
    expect(final.feeSat).toBe(feeSat);
    const transaction = Transaction.fromHex(final.hex);
    expect(run(transaction)).toBe('ok');
    transaction.outs[0]!.value += 1n;
    expect(run(transaction)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
  });

  it('has the signature hash that a second library works out (two checks), and conserves', () => {
    fc.assert(
      fc.property(anyWork, fc.bigInt(0n, 100n), ({ params: of, workHashes }, part) => {
        const { minSat, maxSat } = closeFeeBounds(of);
        const fee = minSat + ((maxSat - minSat) * part) / 100n;
        const { minerSat } = stateAmounts(of.terms, workHashes);
        fc.pre(minerSat - fee >= 330n);
        const transaction = buildClose(of, workHashes, fee);
        const { script, capacitySat } = channelFacts(of);
        expect(secondDigest(transaction, 0, script, capacitySat)).toBe(
          toHex(channelDigest(of, transaction)),
        );
        expect(transaction.outs.reduce((total, output) => total + output.value, fee)).toBe(capacitySat);
      }),
      { numRuns: 40 },
    );
  });

  it('gives each side its part to the sat, whatever does not divide; the fee is of the miner alone', () => {
    const anySettlement = fc.constantFrom('returned', 'miner_forfeits', 'maker_forfeits');
    fc.assert(
      fc.property(
        anyBondedWork,
        anySettlement,
        fc.nat(),
        ({ params: of, workHashes: w }, settled, more) => {
          const { terms } = of;
          const { collateralSat: C, makerBondSat: D } = bondsOf(terms);
          const least = hasBondOutputs(terms) ? 1000n : 0n;
          const rest = (bond: bigint): bigint => {
            const left = bond - (bond * w) / terms.workTotalHashes;
            return left < least ? 0n : left;
          };
          const paid = (w * fixedPriceMsatPerEh(terms)) / EH / 1000n;
          const moved = { returned: 0n, miner_forfeits: rest(C), maker_forfeits: -rest(D) }[settled];
          const minerSat = terms.minerReserveSat + paid + C - moved;
          const { minSat, maxSat } = closeFeeBounds(of);
          const fee = minSat + (BigInt(more) % (maxSat - minSat + 1n));
          fc.pre(minerSat - fee >= 330n);
          expect(buildClose(of, w, fee, settled).outs.map(({ value }) => value)).toEqual([
            minerSat - fee,
            terms.reserveSat + terms.budgetSat - paid + D + moved,
          ]);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('verifies each side for this state and this fee only', () => {
    for (const role of ['miner', 'maker'] as const) {
      const other = role === 'miner' ? 'maker' : 'miner';
      verifyClose(params, last, feeSat, role, signatures[role]);
      const older = signState(params, 3, 9n * EH, makerSigner);
      const refused = [
        () => verifyClose(params, last, feeSat + 1n, role, signatures[role]),
        () => verifyClose(params, older, feeSat, role, signatures[role]),
        () => verifyClose(params, last, feeSat, other, signatures[role]),
        () => verifyClose(params, last, feeSat, role, 'nonsense'),
        () => finalizeClose(params, last, feeSat, { ...signatures, [role]: signatures[other] }),
        () => finalizeClose(params, last, feeSat, { ...signatures, [role]: '' }),
      ];
      for (const attempt of refused) expect(code(attempt)).toBe('bad_signature');
    }
    expect(code(() => signClose(params, last, feeSat, 'maker', minerSigner))).toBe('bad_key_file');
  });

  it('refuses a fee below relay, above the top of the ladder, or that the miner does not have', () => {
    const { minSat, maxSat } = closeFeeBounds(params);
    const rich = { ...last, workHashes: 1000n * EH };
    expect([minSat, maxSat]).toEqual([18n, 57_600n]);
    for (const fee of [minSat - 1n, 0n, -1n, maxSat + 1n]) {
      expect(code(() => buildClose(params, rich.workHashes, fee))).toBe('bad_amount');
      expect(code(() => signClose(params, rich, fee, 'maker', makerSigner))).toBe('bad_amount');
    }
    buildClose(params, rich.workHashes, minSat);
    buildClose(params, rich.workHashes, maxSat);
    buildClose(params, 0n, 6000n - 294n);
    expect(code(() => buildClose(params, 0n, 6000n - 293n))).toBe('bad_amount');
  });
});

describe('the refund', () => {
  const height = params.terms.expiryHeight;

  it.each([
    ['p2wpkh', 130],
    ['p2tr', 142],
    ['p2wsh', 142],
  ] as const)('gives all to the maker at the expiry, to %s in at most %i vB', (kind, vsize) => {
    const of = makeParams({ makerPayoutScript: PAYOUTS[kind]('k') });
    const { script, capacitySat } = channelFacts(of);
    const refund = signAndFinalizeRefund(of, 5000, makerSigner);
    const transaction = Transaction.fromHex(refund.hex);
    expect(run(transaction, of)).toBe('ok');
    expect(refundVsize(script, of.makerPayoutScript)).toBe(vsize);
    expect(refund.vsize).toBeLessThanOrEqual(vsize);
    expect(refund.vsize).toBeGreaterThanOrEqual(vsize - 1);
    expect(refund.feeSat).toBe(BigInt(vsize) * 5n);
    expect(transaction.outs).toEqual([
      { script: of.makerPayoutScript, value: capacitySat - refund.feeSat },
    ]);
    expect([transaction.version, transaction.locktime]).toEqual([3, height]);
  });

  it('has the signature hash that a second library works out (two checks)', () => {
    const transaction = buildRefund(params, 20_000);
    const { script, capacitySat } = channelFacts(params);
    expect(secondDigest(transaction, 0, script, capacitySat)).toBe(
      toHex(channelDigest(params, transaction)),
    );
  });

  /** A refund signed honestly, with something about it other than the product would make it. */
  function signedWith(change: (transaction: Transaction) => void, signer = makerSigner): string {
    const transaction = buildRefund(params, 5000);
    change(transaction);
    const signature = signer.signEcdsa('refund', channelDigest(params, transaction));
    transaction.setWitness(0, refundWitness(derSignature(signature), channelFacts(params).script));
    return run(transaction);
  }

  it('is invalid one block early, without a locktime, with a time, and with a final sequence (I20)', () => {
    const locked = 'SCRIPT_ERR_UNSATISFIED_LOCKTIME';
    expect(signedWith(() => {})).toBe('ok');
    expect(
      signedWith((transaction) => {
        transaction.locktime = height + 1;
      }),
    ).toBe('ok');
    for (const locktime of [height - 1, 0, 500_000_000]) {
      expect(
        signedWith((transaction) => {
          transaction.locktime = locktime;
        }),
      ).toBe(locked);
    }
    expect(
      signedWith(({ ins }) => {
        ins[0]!.sequence = 0xffff_ffff;
      }),
    ).toBe(locked);
  });

  it('needs the refund key: no other, and the state’s branch does not replace it', () => {
    expect(signedWith(() => {}, strangerSigner)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
    expect(code(() => signAndFinalizeRefund(params, 5000, strangerSigner))).toBe('bad_key_file');
    const state = Transaction.fromHex(signAndFinalizeState(params, last, 0, minerSigner).hex);
    const [maker, , , script] = state.ins[0]!.witness;
    state.ins[0]!.witness = refundWitness(maker!, script!);
    expect(run(state)).not.toBe('ok');
  });

  it('fails with a satoshi moved or a witness item more', () => {
    const transaction = Transaction.fromHex(signAndFinalizeRefund(params, 5000, makerSigner).hex);
    const { witness } = transaction.ins[0]!;
    transaction.ins[0]!.witness = [Uint8Array.of(1), ...witness];
    expect(run(transaction)).not.toBe('ok');
    transaction.ins[0]!.witness = witness;
    expect(run(transaction)).toBe('ok');
    transaction.outs[0]!.value -= 1n;
    expect(run(transaction)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
  });

  it('takes a signature from elsewhere only where it verifies, for this rate', () => {
    const signature = (rate: number): string => {
      const digest = channelDigest(params, buildRefund(params, rate));
      return toHex(makerSigner.signEcdsa('refund', digest));
    };
    expect(finalizeRefund(params, 5000, signature(5000))).toEqual(
      signAndFinalizeRefund(params, 5000, makerSigner),
    );
    expect(code(() => finalizeRefund(params, 5000, signature(5001)))).toBe('bad_signature');
    for (const wrong of ['', '00'.repeat(63), '00'.repeat(64), `${signature(5000)}00`]) {
      expect(code(() => finalizeRefund(params, 5000, wrong))).toBe('bad_signature');
    }
  });

  it('refuses a fee rate no one means, and one the channel cannot pay', () => {
    for (const rate of [0, 99, 1.5, 10_000_001]) {
      expect(code(() => buildRefund(params, rate))).toBe('bad_amount');
    }
    const small = makeParams(
      {},
      makeTerms({ workTotalHashes: EH, budgetSat: 485n, minerReserveSat: 1000n, reserveSat: 1000n }),
    );
    expect(code(() => buildRefund(small, 20_000))).toBe('bad_amount');
  });
});
