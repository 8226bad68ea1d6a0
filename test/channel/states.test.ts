import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bigToBe, bigToLe, concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { sha256, taggedHash } from '../../src/base/hash.ts';
import { type ChannelParams, channelFacts, channelIdOf } from '../../src/channel/params.ts';
import { derSignature, jointWitness } from '../../src/channel/scripts.ts';
import { isSchnorrSignature, type KeyRole, nodeIdBytes, type Signer } from '../../src/channel/signer.ts';
import { dustSat } from '../../src/channel/sizes.ts';
import {
  affordableFeesSat,
  buildState,
  channelDigest,
  isRepeated,
  rungForFeeRate,
  sameState,
  signAck,
  signAndFinalizeState,
  signState,
  stateAmounts,
  stateHash,
  verifyAck,
} from '../../src/channel/states.ts';
import { fixedPriceMsatPerEh } from '../../src/contract/terms-access.ts';
import { secondDigest, spend } from './consensus.ts';
import {
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
const state0 = signState(params, 0, 0n, makerSigner);
const state1 = signState(params, 1, EH, makerSigner);
const state2 = signState(params, 2, 3n * EH, makerSigner);

function runChannelInput(transaction: Transaction, of: ChannelParams = params): string {
  const { outputScript, capacitySat } = channelFacts(of);
  return spend(transaction, 0, { script: outputScript, valueSat: capacitySat });
}

describe('amounts', () => {
  it('conserve the value of the channel, at every rung (I11, I14)', () => {
    fc.assert(
      fc.property(anyWork, ({ params: of, workHashes }) => {
        const fees = affordableFeesSat(of, workHashes);
        fees.forEach((feeSat, rung) => {
          const { outs } = buildState(of, workHashes, rung);
          expect(outs).toHaveLength(2);
          expect(outs[0]!.value + outs[1]!.value + feeSat).toBe(channelFacts(of).capacitySat);
          expect(outs[0]!.value).toBeGreaterThanOrEqual(dustSat(of.minerPayoutScript));
          expect(outs[1]!.value).toBeGreaterThanOrEqual(of.terms.reserveSat);
        });
      }),
    );
  });

  it('never fall as work rises, so no older state pays the miner more (I15, I16, I17)', () => {
    fc.assert(
      fc.property(anyWork, fc.bigInt(0n, 10n ** 6n), ({ params: of, workHashes }, part) => {
        const less = (workHashes * part) / 10n ** 6n;
        const now = stateAmounts(of.terms, workHashes);
        const before = stateAmounts(of.terms, less);
        expect(now.paidSat).toBeGreaterThanOrEqual(before.paidSat);
        affordableFeesSat(of, less).forEach((_, rung) => {
          expect(buildState(of, workHashes, rung).outs[0]!.value).toBeGreaterThanOrEqual(
            buildState(of, less, rung).outs[0]!.value,
          );
        });
      }),
    );
  });

  it('are within one satoshi of the exact rational, in the favour of the payer (I56)', () => {
    fc.assert(
      fc.property(anyWork, ({ params: of, workHashes }) => {
        const { paidSat } = stateAmounts(of.terms, workHashes);
        const exact = workHashes * fixedPriceMsatPerEh(of.terms);
        expect(paidSat * 1000n * EH).toBeLessThanOrEqual(exact);
        expect((paidSat + 1n) * 1000n * EH).toBeGreaterThan(exact);
      }),
    );
  });

  it('end at the budget', () => {
    expect(stateAmounts(params.terms, 1000n * EH)).toEqual({
      paidSat: 485_060n,
      minerSat: 491_060n,
      makerSat: 1000n,
      payeesSat: [],
      minerBondOutputSat: 0n,
      makerBondOutputSat: 0n,
    });
    expect(code(() => stateAmounts(params.terms, 1000n * EH + 1n))).toBe('over_budget');
  });

  it('keep only the rungs that leave an output which relays', () => {
    const keep = 294n;
    const fee = (rung: number): bigint => affordableFeesSat(params, 1000n * EH)[rung]!;
    const rich = (minerReserveSat: bigint): number =>
      affordableFeesSat(makeParams({}, makeTerms({ minerReserveSat })), 0n).length;
    expect(affordableFeesSat(params, 1000n * EH)).toEqual([198n, 900n, 3600n, 14_400n, 57_600n]);
    expect(rich(fee(2) + keep - 1n)).toBe(2);
    expect(rich(fee(2) + keep)).toBe(3);
    expect(code(() => buildState(params, 0n, 3))).toBe('bad_amount');
    expect(code(() => buildState(params, 0n, -1))).toBe('bad_amount');
    expect(code(() => buildState(params, 0n, 0.5))).toBe('bad_amount');
  });

  it('keep 330 sats for an output of 34 bytes', () => {
    for (const make of [PAYOUTS.p2wsh, PAYOUTS.p2tr]) {
      const terms = (minerReserveSat: bigint) => makeTerms({ minerReserveSat, feeLadderSatPerKvb: [4000] });
      const feeSat = 4n * 192n;
      const of = makeParams({ minerPayoutScript: make('x') }, terms(feeSat + 330n));
      expect(buildState(of, 0n, 0).outs[0]!.value).toBe(330n);
      const poor = makeParams({ minerPayoutScript: make('x') }, terms(feeSat + 329n));
      expect(code(() => buildState(poor, 0n, 0))).toBe('bad_terms');
    }
  });
});

describe('the transaction of a state', () => {
  it('is version 3, without locktime, replaceable, P before MM', () => {
    const transaction = buildState(params, EH, 0);
    expect(transaction.version).toBe(3);
    expect(transaction.locktime).toBe(0);
    expect(transaction.ins[0]!.sequence).toBe(0xffff_fffd);
    expect(transaction.ins[0]!.index).toBe(1);
    expect(toHex(Uint8Array.from(transaction.ins[0]!.hash).reverse())).toBe(params.funding.txid);
    expect(transaction.outs).toEqual([
      { script: params.minerPayoutScript, value: 6000n + 485n - 198n },
      { script: params.makerPayoutScript, value: 485_060n + 1000n - 485n },
    ]);
  });

  it('is valid at every rung once both signed, and never above the size its fee is for', () => {
    fc.assert(
      fc.property(anyWork, ({ params: of, workHashes }) => {
        fc.pre(workHashes > 0n);
        const state = signState(of, 1, workHashes, makerSigner);
        state.signatures.forEach((_, rung) => {
          const final = signAndFinalizeState(of, state, rung, minerSigner);
          expect(runChannelInput(Transaction.fromHex(final.hex), of)).toBe('ok');
          const { stateVsize } = channelFacts(of);
          expect(final.vsize).toBeLessThanOrEqual(stateVsize);
          expect(final.vsize).toBeGreaterThanOrEqual(stateVsize - 2);
          const rate = BigInt(of.terms.feeLadderSatPerKvb[rung]!);
          expect(final.feeSat).toBe((BigInt(stateVsize) * rate + 999n) / 1000n);
        });
      }),
      { numRuns: 40 },
    );
  });

  it.each([
    ['p2wpkh', 'p2wpkh', 180],
    ['p2wpkh', 'p2tr', 192],
    ['p2wsh', 'p2wpkh', 192],
    ['p2tr', 'p2wsh', 204],
  ] as const)(
    'to %s and %s is at most %i vB, reached when both signatures are long',
    (miner, maker, vsize) => {
      const of = makeParams({
        minerPayoutScript: PAYOUTS[miner]('m'),
        makerPayoutScript: PAYOUTS[maker]('k'),
      });
      expect(channelFacts(of).stateVsize).toBe(vsize);
      const transaction = buildState(of, EH, 0);
      const long = new Uint8Array(64).fill(0x7f);
      long.fill(0xff, 0, 32);
      const der = derSignature(long);
      expect(der).toHaveLength(72);
      transaction.setWitness(0, jointWitness(der, der, channelFacts(of).script));
      expect(transaction.virtualSize()).toBe(vsize);
    },
  );

  it('has the signature hash that a second library works out (two checks of every rung)', () => {
    fc.assert(
      fc.property(anyWork, ({ params: of, workHashes }) => {
        affordableFeesSat(of, workHashes).forEach((_, rung) => {
          const transaction = buildState(of, workHashes, rung);
          const { script, capacitySat } = channelFacts(of);
          expect(secondDigest(transaction, 0, script, capacitySat)).toBe(
            toHex(channelDigest(of, transaction)),
          );
        });
      }),
      { numRuns: 40 },
    );
  });

  it('fails when anything about it is changed after signing', () => {
    const final = () => Transaction.fromHex(signAndFinalizeState(params, state1, 1, minerSigner).hex);
    expect(runChannelInput(final())).toBe('ok');
    const changed = (change: (transaction: Transaction) => void): string => {
      const transaction = final();
      change(transaction);
      return runChannelInput(transaction);
    };
    const nullfail = 'SCRIPT_ERR_SIG_NULLFAIL';
    expect(
      changed(({ outs }) => {
        outs[0]!.value += 1n;
        outs[1]!.value -= 1n;
      }),
    ).toBe(nullfail);
    expect(changed((transaction) => transaction.outs.reverse())).toBe(nullfail);
    expect(
      changed(({ ins }) => {
        ins[0]!.sequence = 0xffff_ffff;
      }),
    ).toBe(nullfail);
    expect(
      changed((transaction) => {
        transaction.version = 2;
      }),
    ).toBe(nullfail);
    expect(
      changed((transaction) => {
        transaction.locktime = 1;
      }),
    ).toBe(nullfail);
    expect(
      changed(({ ins }) => {
        ins[0]!.witness = [new Uint8Array(0), ...ins[0]!.witness];
      }),
    ).not.toBe('ok');
    expect(
      changed(({ ins }) => {
        const [maker, miner, branch, script] = ins[0]!.witness;
        ins[0]!.witness = [miner!, maker!, branch!, script!];
      }),
    ).toBe(nullfail);
  });

  it('cannot be completed by a stranger, by the maker alone, or with the wrong value', () => {
    const transaction = buildState(params, EH, 0);
    const digest = channelDigest(params, transaction);
    const { script, outputScript, capacitySat } = channelFacts(params);
    const maker = derSignature(makerSigner.signEcdsa('channel', digest));
    for (const other of [strangerSigner, makerSigner]) {
      const forged = derSignature(other.signEcdsa('channel', digest));
      transaction.setWitness(0, jointWitness(maker, forged, script));
      expect(runChannelInput(transaction)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
    }
    const final = Transaction.fromHex(signAndFinalizeState(params, state1, 0, minerSigner).hex);
    expect(spend(final, 0, { script: outputScript, valueSat: capacitySat + 1n })).toBe(
      'SCRIPT_ERR_SIG_NULLFAIL',
    );
    expect(code(() => signAndFinalizeState(params, state1, 0, strangerSigner))).toBe('bad_key_file');
  });
});

describe('the state hash', () => {
  it('is a tagged hash of channel, number, contract, work, pay and the txid of every rung', () => {
    const of = makeParams();
    const txids = state2.signatures.map((_, rung) => buildState(of, state2.workHashes, rung).getHash());
    const expected = taggedHash(
      'sharestream/state/1',
      concat(
        fromHex(channelIdOf(of), 32),
        Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0),
        fromHex(of.contractId, 32),
        bigToBe(state2.workHashes, 32),
        bigToLe(state2.paidSat, 8),
        sha256(concat(...txids)),
      ),
    );
    expect(toHex(stateHash(of, 2, state2.workHashes))).toBe(toHex(expected));
    const receipt = fromHex(state2.receiptSignature);
    expect(isSchnorrSignature(expected, nodeIdBytes(makerSigner), receipt)).toBe(true);
  });
});

describe('two states', () => {
  it('are the same where number, work and pay are, whatever their signatures', () => {
    expect(sameState(state1, { ...state1, signatures: [], receiptSignature: '' })).toBe(true);
    expect(sameState(state1, { ...state1, n: 2 })).toBe(false);
    expect(sameState(state1, { ...state1, workHashes: EH + 1n })).toBe(false);
    expect(sameState(state1, { ...state1, paidSat: state1.paidSat + 1n })).toBe(false);
  });

  it('are a repetition where each signature is the same too', () => {
    expect(isRepeated(state1, structuredClone(state1))).toBe(true);
    expect(isRepeated(state1, { ...state1, n: 2 })).toBe(false);
    expect(isRepeated(state1, { ...state1, receiptSignature: '00'.repeat(64) })).toBe(false);
    const { signatures } = state1;
    expect(isRepeated(state1, { ...state1, signatures: signatures.slice(0, -1) })).toBe(false);
    expect(isRepeated({ ...state1, signatures: signatures.slice(0, -1) }, state1)).toBe(false);
    signatures.forEach((_, rung) => {
      const other = { ...state1, signatures: signatures.with(rung, '00'.repeat(64)) };
      expect(isRepeated(state1, other)).toBe(false);
    });
  });

  it('are signed only with the channel key of the maker and its node key, both', () => {
    const mixed = (own: KeyRole): Signer => ({
      publicKey: (role) => (role === own ? makerSigner : strangerSigner).publicKey(role),
      origin: (role) => makerSigner.origin(role),
      secretOf: (...asked) => makerSigner.secretOf(...asked),
      signEcdsa: (role, digest) => makerSigner.signEcdsa(role, digest),
      signSchnorr: (role, digest) => makerSigner.signSchnorr(role, digest),
    });
    expect(code(() => signState(params, 1, EH, mixed('channel')))).toBe('bad_key_file');
    expect(code(() => signState(params, 1, EH, mixed('node')))).toBe('bad_key_file');
  });

  it('have a number from 0, no work at 0, and never negative work', () => {
    for (const n of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(code(() => signState(params, n, EH, makerSigner))).toBe('wrong_state_number');
    }
    expect(code(() => signState(params, 0, 1n, makerSigner))).toBe('bad_amount');
    expect(code(() => signState(params, 1, -1n, makerSigner))).toBe('bad_amount');
    expect(code(() => signState(params, 1, 0n, makerSigner))).toBe('nothing thrown');
  });
});

describe('rungs', () => {
  it('are chosen by rate: the lowest that pays it, else the highest there is', () => {
    const rich = signState(params, 3, 1000n * EH, makerSigner);
    expect(
      [0, 1100, 1101, 5000, 80_000, 80_001, 999_999].map((r) => rungForFeeRate(params, rich, r)),
    ).toEqual([0, 0, 1, 1, 3, 4, 4]);
    expect(state0.signatures).toHaveLength(3);
    expect(rungForFeeRate(params, state0, 999_999)).toBe(2);
    expect(rungForFeeRate(params, state0, 80_000)).toBe(2);
  });

  it('are completed only where the maker’s stored signature still verifies', () => {
    const spoiled = { ...state1, signatures: state1.signatures.with(0, state1.signatures[1]!) };
    expect(code(() => signAndFinalizeState(params, spoiled, 0, minerSigner))).toBe('bad_signature');
    expect(code(() => signAndFinalizeState(params, { ...state1, signatures: [] }, 0, minerSigner))).toBe(
      'bad_signature',
    );
    expect(code(() => signAndFinalizeState(params, state1, 5, minerSigner))).toBe('bad_amount');
  });
});

describe('the ack', () => {
  it('verifies for exactly the state it was given for', () => {
    const ack = signAck(params, state1, minerSigner);
    verifyAck(params, state1, ack);
    expect(code(() => verifyAck(params, state2, ack))).toBe('bad_signature');
    expect(code(() => verifyAck(params, { ...state1, n: 2 }, ack))).toBe('bad_signature');
    expect(code(() => verifyAck(params, state1, '00'.repeat(64)))).toBe('bad_signature');
    expect(code(() => verifyAck(params, state1, state1.receiptSignature))).toBe('bad_signature');
    expect(code(() => signAck(params, state1, makerSigner))).toBe('bad_key_file');
  });
});
