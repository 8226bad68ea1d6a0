import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import {
  type BondCoin,
  type BondSignatory,
  type BondSpend,
  bondCoins,
  bondDigest,
  buildBondReturn,
  buildBondSpend,
  finalizeBondReturn,
  finalizeBondSpend,
  signAndFinalizeBondReturn,
  signBondSpend,
  verifyBondSpend,
} from '../../src/channel/bonds.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import {
  derSignature,
  ownerWitness,
  twoKeysWitness,
  witnessScriptHashOutput,
} from '../../src/channel/scripts.ts';
import type { Signer } from '../../src/channel/signer.ts';
import { ownerVsize, twoKeysVsize } from '../../src/channel/sizes.ts';
import { buildState, signAndFinalizeState, signState } from '../../src/channel/states.ts';
import { secondDigest, spend } from './consensus.ts';
import {
  anyBondedWork,
  auditorSigner,
  code,
  EH,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
  strangerSigner,
} from './fixtures.ts';

const HALF = 500n * EH;
const audited = makeParams({}, makeTerms({ bonds: makeBonds('auditor') }));
const hostage = makeParams({}, makeTerms({ bonds: makeBonds('hostage') }));
const SIGNERS: Readonly<Record<BondSignatory, Signer>> = {
  miner: minerSigner,
  maker: makerSigner,
  auditor: auditorSigner,
};
const PAIRS = [
  ['miner', 'maker'],
  ['miner', 'auditor'],
  ['maker', 'auditor'],
] as const;
const OWNERS = ['miner', 'maker'] as const;

function coinOf(params: ChannelParams, owner: BondCoin['owner']): BondCoin {
  return bondCoins(params, HALF, 0).find((coin) => coin.owner === owner)!;
}

function spendOf(
  params: ChannelParams,
  owner: BondCoin['owner'],
  changes: Partial<BondSpend> = {},
): BondSpend {
  return { coin: coinOf(params, owner), payee: 'maker', feeRateSatPerKvb: 5000, ...changes };
}

function run(transaction: Transaction, coin: BondCoin): string {
  return spend(transaction, 0, { script: witnessScriptHashOutput(coin.script), valueSat: coin.valueSat });
}

describe('the bonds of a state', () => {
  it('are the outputs of its transaction, by owner', () => {
    const state = signState(audited, 1, HALF, makerSigner);
    const transaction = Transaction.fromHex(signAndFinalizeState(audited, state, 1, minerSigner).hex);
    const coins = bondCoins(audited, HALF, 1);
    expect(coins.map(({ owner, vout, valueSat }) => [owner, vout, valueSat])).toEqual([
      ['miner', 2, 30_000n],
      ['maker', 3, 20_000n],
    ]);
    for (const coin of coins) {
      expect(coin.txid).toBe(transaction.getId());
      expect(transaction.outs[coin.vout]).toEqual({
        value: coin.valueSat,
        script: witnessScriptHashOutput(coin.script),
      });
    }
    expect(toHex(coins[0]!.script)).not.toBe(toHex(coins[1]!.script));
  });

  it('are none without bonds, where they are forfeited, and once all vested', () => {
    expect(bondCoins(makeParams(), HALF, 0)).toEqual([]);
    const forfeited = makeParams({}, makeTerms({ bonds: makeBonds('forfeit_to_mm') }));
    expect(bondCoins(forfeited, HALF, 0)).toEqual([]);
    expect(bondCoins(audited, 1000n * EH, 0)).toEqual([]);
    expect(bondCoins(audited, 976n * EH, 0).map(({ owner }) => owner)).toEqual(['miner']);
    expect(code(() => bondCoins(audited, 0n, 4))).toBe('bad_amount');
  });

  it('hold, with the first two outputs and the fee, the whole channel', () => {
    fc.assert(
      fc.property(anyBondedWork, ({ params, workHashes }) => {
        const { outs } = buildState(params, workHashes, 0);
        const bonds = bondCoins(params, workHashes, 0);
        expect(bonds.map(({ vout }) => vout)).toEqual(outs.slice(2).map((_, index) => index + 2));
        expect(bonds.map(({ valueSat }) => valueSat)).toEqual(outs.slice(2).map(({ value }) => value));
      }),
      { numRuns: 40 },
    );
  });
});

describe('a bond spent by two keys (I39)', () => {
  it.each(PAIRS)('%s and %s may, at once, to either side, in every order they come', (first, second) => {
    for (const owner of OWNERS) {
      for (const payee of OWNERS) {
        const request = spendOf(audited, owner, { payee });
        const signatures = {
          [second]: signBondSpend(audited, request, second, SIGNERS[second]),
          [first]: signBondSpend(audited, request, first, SIGNERS[first]),
        };
        verifyBondSpend(audited, request, first, signatures[first]!);
        const final = finalizeBondSpend(audited, request, signatures);
        const transaction = Transaction.fromHex(final.hex);
        expect(run(transaction, request.coin)).toBe('ok');
        expect(transaction.outs).toEqual([
          {
            script: payee === 'miner' ? audited.minerPayoutScript : audited.makerPayoutScript,
            value: request.coin.valueSat - final.feeSat,
          },
        ]);
        expect(final.feeSat).toBe(157n * 5n);
        expect(final.vsize).toBeGreaterThanOrEqual(156);
        expect(final.vsize).toBeLessThanOrEqual(157);
        transaction.outs[0]!.value += 1n;
        expect(run(transaction, request.coin)).toBe('SCRIPT_ERR_NULLFAIL');
      }
    }
  });

  it('takes both sides in the hostage mode, and there is no auditor', () => {
    for (const owner of OWNERS) {
      const request = spendOf(hostage, owner, { payee: 'miner' });
      const miner = signBondSpend(hostage, request, 'miner', minerSigner);
      const maker = signBondSpend(hostage, request, 'maker', makerSigner);
      const final = finalizeBondSpend(hostage, request, { miner, maker });
      expect(run(Transaction.fromHex(final.hex), request.coin)).toBe('ok');
      expect(code(() => signBondSpend(hostage, request, 'auditor', auditorSigner))).toBe('bad_key_file');
      expect(code(() => verifyBondSpend(hostage, request, 'auditor', miner))).toBe('bad_signature');
      expect(code(() => finalizeBondSpend(hostage, request, { miner }))).toBe('bad_signature');
    }
  });

  it('has the signature hash that a second library works out (two checks)', () => {
    for (const params of [audited, hostage]) {
      for (const owner of OWNERS) {
        const { coin } = spendOf(params, owner);
        const transaction = buildBondSpend(params, spendOf(params, owner));
        expect(secondDigest(transaction, 0, coin.script, coin.valueSat)).toBe(
          toHex(bondDigest(coin, transaction)),
        );
      }
    }
  });

  it('is not done with one signature, three, one twice, a stranger’s, or those of another spend', () => {
    const request = spendOf(audited, 'miner');
    const other = spendOf(audited, 'maker');
    const miner = signBondSpend(audited, request, 'miner', minerSigner);
    const maker = signBondSpend(audited, request, 'maker', makerSigner);
    const auditor = signBondSpend(audited, request, 'auditor', auditorSigner);
    const refused = [
      {},
      { maker },
      { miner, maker, auditor },
      { miner, maker: miner },
      { miner, auditor: maker },
      { miner, maker: 'nonsense' },
      { miner, maker: signBondSpend(audited, other, 'maker', makerSigner) },
      { miner, maker: signBondSpend(audited, { ...request, payee: 'miner' }, 'maker', makerSigner) },
      {
        miner,
        maker: signBondSpend(audited, { ...request, feeRateSatPerKvb: 5001 }, 'maker', makerSigner),
      },
    ];
    for (const signatures of refused) {
      expect(code(() => finalizeBondSpend(audited, request, signatures))).toBe('bad_signature');
    }
    expect(code(() => signBondSpend(audited, request, 'maker', strangerSigner))).toBe('bad_key_file');
    expect(code(() => signBondSpend(audited, request, 'auditor', makerSigner))).toBe('bad_key_file');
  });

  it('is refused by the interpreter with one key twice, keys out of order, a spare item or a stranger', () => {
    const request = spendOf(audited, 'miner');
    const { coin } = request;
    const transaction = buildBondSpend(audited, request);
    const digest = bondDigest(coin, transaction);
    const der = (signer: Signer, role: 'bond' | 'auditor'): Uint8Array =>
      derSignature(signer.signEcdsa(role, digest));
    const miner = der(minerSigner, 'bond');
    const maker = der(makerSigner, 'bond');
    const auditor = der(auditorSigner, 'auditor');
    const of = (...witness: Uint8Array[]): string => {
      transaction.setWitness(0, witness);
      return run(transaction, coin);
    };
    const nothing = new Uint8Array(0);
    expect(of(...twoKeysWitness([miner, maker], coin.script))).toBe('ok');
    expect(of(...twoKeysWitness([maker, auditor], coin.script))).toBe('ok');
    for (const witness of [
      twoKeysWitness([maker, miner], coin.script),
      twoKeysWitness([auditor, maker], coin.script),
      twoKeysWitness([maker, maker], coin.script),
      twoKeysWitness([miner, der(strangerSigner, 'bond')], coin.script),
      [nothing, ...twoKeysWitness([miner, maker], coin.script)],
      [Uint8Array.of(1), miner, maker, coin.script],
      [nothing, maker, coin.script],
    ]) {
      expect(of(...witness)).not.toBe('ok');
    }
  });

  it('leaves a fee and an output that relays, at a rate someone could mean', () => {
    const request = spendOf(audited, 'maker');
    for (const feeRateSatPerKvb of [0, 99, 1.5, 10_000_001]) {
      expect(code(() => buildBondSpend(audited, { ...request, feeRateSatPerKvb }))).toBe('bad_amount');
    }
    const valueSat = 157n * 5n + 294n;
    const least = { ...request, coin: { ...request.coin, valueSat } };
    expect(buildBondSpend(audited, least).outs[0]!.value).toBe(294n);
    const less = { ...request, coin: { ...request.coin, valueSat: valueSat - 1n } };
    expect(code(() => buildBondSpend(audited, less))).toBe('bad_amount');
    expect(code(() => signBondSpend(audited, less, 'maker', makerSigner))).toBe('bad_amount');
  });
});

describe('a bond taken by its owner after the delay (I39)', () => {
  const signer = { miner: minerSigner, maker: makerSigner } as const;

  it.each(OWNERS)('is valid for the %s at exactly the delay, to its own payout', (owner) => {
    const coin = coinOf(audited, owner);
    const final = signAndFinalizeBondReturn(audited, coin, 5000, signer[owner]);
    const transaction = Transaction.fromHex(final.hex);
    expect(run(transaction, coin)).toBe('ok');
    expect([transaction.version, transaction.ins[0]!.sequence]).toEqual([3, 2016]);
    expect(transaction.outs[0]!.script).toEqual(
      owner === 'miner' ? audited.minerPayoutScript : audited.makerPayoutScript,
    );
    expect(final.feeSat).toBe(139n * 5n);
    expect(final.vsize).toBeGreaterThanOrEqual(138);
    expect(final.vsize).toBeLessThanOrEqual(139);
    expect(secondDigest(buildBondReturn(audited, coin, 5000), 0, coin.script, coin.valueSat)).toBe(
      toHex(bondDigest(coin, buildBondReturn(audited, coin, 5000))),
    );
  });

  /** A return signed honestly, with something about it other than the product would make it. */
  function signedWith(change: (transaction: Transaction) => void, by: Signer = minerSigner): string {
    const coin = coinOf(audited, 'miner');
    const transaction = buildBondReturn(audited, coin, 5000);
    change(transaction);
    const signature = derSignature(by.signEcdsa('exit', bondDigest(coin, transaction)));
    transaction.setWitness(0, ownerWitness(signature, coin.script));
    return run(transaction, coin);
  }
  const withSequence = (sequence: number): string =>
    signedWith(({ ins }) => {
      ins[0]!.sequence = sequence;
    });

  it('is not valid a block early, in seconds, with the lock switched off, or in version 1 (BIP68, BIP112)', () => {
    const locked = 'SCRIPT_ERR_UNSATISFIED_LOCKTIME';
    expect(withSequence(2016)).toBe('ok');
    expect(withSequence(2017)).toBe('ok');
    for (const sequence of [2015, 0, 0x0040_07e0, 0x8000_07e0, 0xffff_fffd, 0xffff_ffff]) {
      expect(withSequence(sequence)).toBe(locked);
    }
    const oldVersion = signedWith((transaction) => {
      transaction.version = 1;
    });
    expect(oldVersion).toBe(locked);
  });

  it('needs the owner’s exit key: not that of the other side, nor the auditor', () => {
    for (const by of [makerSigner, strangerSigner, auditorSigner]) {
      expect(signedWith(() => {}, by)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
    }
    expect(
      code(() => signAndFinalizeBondReturn(audited, coinOf(audited, 'miner'), 5000, makerSigner)),
    ).toBe('bad_key_file');
    const { hex } = signAndFinalizeBondReturn(audited, coinOf(audited, 'maker'), 5000, makerSigner);
    expect(run(Transaction.fromHex(hex), coinOf(audited, 'miner'))).not.toBe('ok');
  });

  it('fails with a satoshi moved, a witness item more, or the signature where the two keys’ should be', () => {
    const coin = coinOf(audited, 'miner');
    const transaction = Transaction.fromHex(
      signAndFinalizeBondReturn(audited, coin, 5000, minerSigner).hex,
    );
    const { witness } = transaction.ins[0]!;
    const [der, nothing, , , script] = witness as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    for (const changed of [
      [Uint8Array.of(1), ...witness],
      [nothing, der, nothing, nothing, script],
      [der, nothing, nothing, script],
      [der, nothing, nothing, Uint8Array.of(1), script],
    ]) {
      transaction.setWitness(0, changed);
      expect(run(transaction, coin)).not.toBe('ok');
    }
    transaction.setWitness(0, witness);
    expect(run(transaction, coin)).toBe('ok');
    transaction.outs[0]!.value -= 1n;
    expect(run(transaction, coin)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
  });

  it('takes a signature from elsewhere only when it verifies', () => {
    const coin = coinOf(audited, 'maker');
    const transaction = buildBondReturn(audited, coin, 5000);
    const signature = toHex(makerSigner.signEcdsa('exit', bondDigest(coin, transaction)));
    expect(finalizeBondReturn(audited, coin, 5000, signature)).toEqual(
      signAndFinalizeBondReturn(audited, coin, 5000, makerSigner),
    );
    expect(code(() => finalizeBondReturn(audited, coin, 5001, signature))).toBe('bad_signature');
    expect(code(() => finalizeBondReturn(audited, coin, 5000, ''))).toBe('bad_signature');
  });

  it('is not there for a hostage, and has the delay of the terms', () => {
    expect(code(() => buildBondReturn(hostage, coinOf(hostage, 'miner'), 5000))).toBe('bad_terms');
    const quick = makeParams({}, makeTerms({ bonds: makeBonds('auditor', { bondCsvBlocks: 6 }) }));
    const final = signAndFinalizeBondReturn(quick, coinOf(quick, 'miner'), 5000, minerSigner);
    const transaction = Transaction.fromHex(final.hex);
    expect(transaction.ins[0]!.sequence).toBe(6);
    expect(run(transaction, coinOf(quick, 'miner'))).toBe('ok');
  });
});

it('sizes are the most a spend can have', () => {
  for (const output of [PAYOUTS.p2wpkh('x'), PAYOUTS.p2tr('x')]) {
    const { coin } = spendOf(audited, 'miner');
    const transaction = buildBondSpend(audited, spendOf(audited, 'miner'));
    transaction.outs[0]!.script = output;
    const der = derSignature(new Uint8Array(64).fill(0x7f).fill(0xff, 0, 32));
    transaction.setWitness(0, twoKeysWitness([der, der], coin.script));
    expect(twoKeysVsize(coin.script, output)).toBe(transaction.virtualSize());
    transaction.setWitness(0, ownerWitness(der, coin.script));
    expect(ownerVsize(coin.script, output)).toBe(transaction.virtualSize());
  }
});
