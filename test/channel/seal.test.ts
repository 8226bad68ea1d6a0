import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bigToBe, bigToLe, concat, fromHex, reversed, toHex } from '../../src/base/bytes.ts';
import { sha256, taggedHash } from '../../src/base/hash.ts';
import { type ChannelParams, channelFacts } from '../../src/channel/params.ts';
import { derSignature, jointWitness, refundWitness } from '../../src/channel/scripts.ts';
import {
  buildSealClaim,
  buildSealRefund,
  finalizeSealClaim,
  finalizeSealRefund,
  parseSignedSealClaim,
  type SealClaim,
  sealCommitment,
  sealDigest,
  signAndFinalizeSealClaim,
  signAndFinalizeSealRefund,
  signedSealClaimToJson,
  signSealClaim,
  verifyNextSealClaim,
  verifySealClaim,
} from '../../src/channel/seal.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import type { Signer } from '../../src/channel/signer.ts';
import { secondDigest, spend } from './consensus.ts';
import {
  anyBondedWork,
  code,
  EH,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  PAYOUTS,
  SEAL,
  seedOf,
  strangerSigner,
} from './fixtures.ts';

const params = makeParams({}, makeTerms({ seal: SEAL }));
const unsealed = makeParams();
const root = seedOf('root');
const claim: SealClaim = { n: 4, workHashes: 10n * EH, shareRoot: root };
const signed = signSealClaim(params, claim, minerSigner);

function run(transaction: Transaction, of: ChannelParams = params): string {
  const { seal } = channelFacts(of);
  return spend(transaction, 0, { script: seal!.outputScript, valueSat: of.terms.seal!.sealSat });
}

describe('a claim of the seal', () => {
  it('commits to contract, n, work, share root and the next seal, and pays it', () => {
    const transaction = buildSealClaim(params, claim);
    const commitment = taggedHash(
      'sharestream/seal/1',
      concat(
        fromHex(params.contractId, 32),
        bigToLe(4n, 8),
        bigToBe(10n * EH, 32),
        root,
        sha256(params.seal!.nextScript),
      ),
    );
    expect(toHex(sealCommitment(params, claim))).toBe(toHex(commitment));
    const [data, next] = transaction.outs;
    expect(toHex(data!.script)).toBe(`6a24${toHex(new TextEncoder().encode('shsl'))}${toHex(commitment)}`);
    expect(data!.value).toBe(0n);
    expect(next).toEqual({ script: params.seal!.nextScript, value: 2000n - 2n * 196n });
    expect(transaction.outs).toHaveLength(2);
    expect([transaction.version, transaction.locktime]).toEqual([3, 0]);
    const [input] = transaction.ins;
    expect([toHex(reversed(input!.hash)), input!.index, input!.sequence]).toEqual([
      params.funding.txid,
      301,
      0xffff_fffd,
    ]);
  });

  it('is another one when anything it commits to differs', () => {
    const others = [
      buildSealClaim(params, claim),
      buildSealClaim(params, { ...claim, n: 5 }),
      buildSealClaim(params, { ...claim, workHashes: 10n * EH + 1n }),
      buildSealClaim(params, { ...claim, shareRoot: seedOf('other') }),
      buildSealClaim(makeParams({}, makeTerms({ seal: SEAL, nonceHex: '11'.repeat(16) })), claim),
    ].map((transaction) => toHex(transaction.outs[0]!.script));
    expect(new Set(others).size).toBe(others.length);
    const moved = { ...params, seal: { vout: 301, nextScript: PAYOUTS.p2tr('elsewhere') } };
    expect(toHex(sealCommitment(moved, claim))).not.toBe(toHex(sealCommitment(params, claim)));
  });

  it('is valid once both signed, at the rate of the terms, for any channel and work', () => {
    fc.assert(
      fc.property(
        anyBondedWork,
        fc.constantFrom(...Object.values(PAYOUTS)),
        ({ params: of, workHashes }, make) => {
          fc.pre(of.seal !== undefined && workHashes > 0n);
          const changed = { ...of, seal: { ...of.seal!, nextScript: make('next') } };
          const of1 = signSealClaim(changed, { n: 1, workHashes, shareRoot: root }, minerSigner);
          const final = signAndFinalizeSealClaim(changed, of1, makerSigner);
          const transaction = Transaction.fromHex(final.hex);
          expect(run(transaction, changed)).toBe('ok');
          const rate = BigInt(changed.terms.seal!.claimFeeRateSatPerKvb);
          expect(final.feeSat * 1000n).toBeGreaterThanOrEqual(BigInt(final.vsize) * rate);
          expect(final.feeSat * 1000n).toBeLessThanOrEqual(BigInt(final.vsize + 2) * rate + 1000n);
          const { script } = channelFacts(changed).seal!;
          expect(secondDigest(transaction, 0, script, changed.terms.seal!.sealSat)).toBe(
            toHex(sealDigest(changed, transaction)),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it('fails when anything about it is changed after signing, or by one key alone', () => {
    const final = (): Transaction =>
      Transaction.fromHex(signAndFinalizeSealClaim(params, signed, makerSigner).hex);
    const changed = (change: (transaction: Transaction) => void): string => {
      const transaction = final();
      change(transaction);
      return run(transaction);
    };
    const nullfail = 'SCRIPT_ERR_SIG_NULLFAIL';
    expect(changed(() => {})).toBe('ok');
    expect(changed(({ outs }) => Object.assign(outs[1]!, { value: outs[1]!.value - 1n }))).toBe(nullfail);
    expect(changed(({ outs }) => outs[0]!.script.reverse())).toBe(nullfail);
    expect(changed(({ outs }) => outs.reverse())).toBe(nullfail);
    expect(changed(({ ins }) => Object.assign(ins[0]!, { sequence: 0xffff_ffff }))).toBe(nullfail);
    expect(changed(({ ins }) => void ins[0]!.witness.unshift(new Uint8Array(0)))).not.toBe('ok');
    const transaction = buildSealClaim(params, claim);
    const digest = sealDigest(params, transaction);
    const { script } = channelFacts(params).seal!;
    const miner = derSignature(minerSigner.signEcdsa('seal', digest));
    const maker = derSignature(makerSigner.signEcdsa('seal', digest));
    for (const witness of [
      jointWitness(miner, miner, script),
      jointWitness(maker, maker, script),
      jointWitness(miner, maker, script),
      refundWitness(maker, script),
    ]) {
      transaction.setWitness(0, witness);
      expect(run(transaction)).not.toBe('ok');
    }
  });

  it('is completed only with both signatures for exactly it', () => {
    const digest = sealDigest(params, buildSealClaim(params, claim));
    const maker = toHex(makerSigner.signEcdsa('seal', digest));
    expect(finalizeSealClaim(params, signed, maker)).toEqual(
      signAndFinalizeSealClaim(params, signed, makerSigner),
    );
    const refused = [
      () => finalizeSealClaim(params, signed, signed.signature),
      () => finalizeSealClaim(params, signed, ''),
      () => finalizeSealClaim(params, { ...signed, signature: maker }, maker),
      () => finalizeSealClaim(params, { ...signed, n: 5 }, maker),
      () => signAndFinalizeSealClaim(params, { ...signed, workHashes: 11n * EH }, makerSigner),
    ];
    for (const attempt of refused) expect(code(attempt)).toBe('bad_signature');
    expect(code(() => signAndFinalizeSealClaim(params, signed, minerSigner))).toBe('bad_key_file');
    expect(code(() => signSealClaim(params, claim, strangerSigner))).toBe('bad_key_file');
  });

  it('is not made for no seal, beyond the contract, or with numbers that are none', () => {
    expect(code(() => buildSealClaim(unsealed, claim))).toBe('bad_terms');
    expect(code(() => signSealClaim(unsealed, claim, minerSigner))).toBe('bad_terms');
    const bad = [
      [{ n: -1 }, 'wrong_state_number'],
      [{ n: 0.5 }, 'wrong_state_number'],
      [{ n: 2 ** 53 }, 'wrong_state_number'],
      [{ workHashes: 1000n * EH + 1n }, 'over_budget'],
      [{ workHashes: -1n }, 'bad_amount'],
      [{ n: 0 }, 'bad_amount'],
      [{ shareRoot: root.subarray(1) }, 'bad_amount'],
    ] as const;
    for (const [change, expected] of bad) {
      expect(code(() => signSealClaim(params, { ...claim, ...change }, minerSigner))).toBe(expected);
    }
    buildSealClaim(params, { n: 0, workHashes: 0n, shareRoot: new ShareTree().root() });
  });
});

describe('verifyNextSealClaim', () => {
  const sign = (change: Partial<SealClaim>) => signSealClaim(params, { ...claim, ...change }, minerSigner);

  it('takes claims forward, also over gaps and without new work, and a repetition as nothing new', () => {
    expect(verifyNextSealClaim(params, undefined, signed)).toBe('next');
    expect(verifyNextSealClaim(params, signed, sign({}))).toBe('same');
    expect(verifyNextSealClaim(params, signed, sign({ n: 9, workHashes: 11n * EH }))).toBe('next');
    expect(verifyNextSealClaim(params, signed, sign({ n: 5 }))).toBe('next');
  });

  it('refuses to go back, and two contents for one number', () => {
    const later = { workHashes: 11n * EH };
    expect(code(() => verifyNextSealClaim(params, signed, sign({ n: 3, ...later })))).toBe(
      'wrong_state_number',
    );
    expect(code(() => verifyNextSealClaim(params, signed, sign({ n: 5, workHashes: 9n * EH })))).toBe(
      'not_monotone',
    );
    expect(code(() => verifyNextSealClaim(params, signed, sign(later)))).toBe('equivocation');
    expect(code(() => verifyNextSealClaim(params, signed, sign({ shareRoot: seedOf('x') })))).toBe(
      'equivocation',
    );
  });

  it('refuses any change of a signed claim, and a claim of another channel', () => {
    const bad = [
      { ...signed, n: 5 },
      { ...signed, workHashes: 11n * EH },
      { ...signed, shareRoot: seedOf('x') },
      { ...signed, signature: sign({ n: 5 }).signature },
      { ...signed, signature: signed.signature.toUpperCase() },
      { ...signed, signature: '' },
    ];
    for (const next of bad)
      expect(code(() => verifyNextSealClaim(params, undefined, next))).toBe('bad_signature');
    const others = [
      makeParams({ seal: { vout: 300, nextScript: params.seal!.nextScript } }, params.terms),
      makeParams({ seal: { vout: 301, nextScript: PAYOUTS.p2wpkh('other') } }, params.terms),
      makeParams({}, makeTerms({ seal: { ...SEAL, sealSat: 2001n } })),
      makeParams({}, makeTerms({ seal: { ...SEAL, claimFeeRateSatPerKvb: 1999 } })),
    ];
    for (const other of others) expect(code(() => verifySealClaim(other, signed))).toBe('bad_signature');
  });

  it('reads a claim from JSON and nothing else', () => {
    const json = signedSealClaimToJson(signed);
    expect(parseSignedSealClaim(JSON.parse(JSON.stringify(json)))).toEqual(signed);
    const bad: unknown[] = [
      { ...json, more: 1 },
      { ...json, n: -1 },
      { ...json, n: '4' },
    ];
    for (const key of Object.keys(json)) bad.push({ ...json, [key]: null }, { ...json, [key]: '0g' });
    for (const value of bad) expect(code(() => parseSignedSealClaim(value))).toBe('protocol');
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(code(() => parseSignedSealClaim(value))).toBe('protocol');
      }),
    );
  });
});

describe('the refund of the seal', () => {
  const height = params.terms.expiryHeight + 2016;

  function signedWith(change: (transaction: Transaction) => void, by: Signer = minerSigner): string {
    const transaction = buildSealRefund(params, 5000);
    change(transaction);
    const signature = derSignature(by.signEcdsa('sealExit', sealDigest(params, transaction)));
    transaction.setWitness(0, refundWitness(signature, channelFacts(params).seal!.script));
    return run(transaction);
  }

  it('gives it back to the miner alone at T_exp + 2016', () => {
    const refund = signAndFinalizeSealRefund(params, 5000, minerSigner);
    const transaction = Transaction.fromHex(refund.hex);
    expect(run(transaction)).toBe('ok');
    expect(transaction.locktime).toBe(height);
    expect(transaction.outs).toEqual([{ script: params.minerPayoutScript, value: 2000n - 650n }]);
    expect(refund.feeSat).toBe(650n);
    const unsigned = buildSealRefund(params, 5000);
    expect(secondDigest(unsigned, 0, channelFacts(params).seal!.script, 2000n)).toBe(
      toHex(sealDigest(params, unsigned)),
    );
  });

  it('is invalid one block early, as a time, with a final sequence, a satoshi moved, or another key', () => {
    const locked = 'SCRIPT_ERR_UNSATISFIED_LOCKTIME';
    expect(signedWith(() => {})).toBe('ok');
    for (const locktime of [height - 1, params.terms.expiryHeight, 0, 500_000_000]) {
      expect(signedWith((transaction) => Object.assign(transaction, { locktime }))).toBe(locked);
    }
    expect(signedWith(({ ins }) => Object.assign(ins[0]!, { sequence: 0xffff_ffff }))).toBe(locked);
    for (const by of [makerSigner, strangerSigner]) {
      expect(signedWith(() => {}, by)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
    }
    const transaction = Transaction.fromHex(signAndFinalizeSealRefund(params, 5000, minerSigner).hex);
    transaction.outs[0]!.value -= 1n;
    expect(run(transaction)).toBe('SCRIPT_ERR_SIG_NULLFAIL');
    transaction.outs[0]!.value += 1n;
    transaction.ins[0]!.witness.unshift(Uint8Array.of(1));
    expect(run(transaction)).not.toBe('ok');
  });

  it('refuses a fee rate no one means, one the seal cannot pay, a stranger, and no seal', () => {
    for (const rate of [0, 99, 1.5, 10_000_001, 20_000]) {
      expect(code(() => buildSealRefund(params, rate))).toBe('bad_amount');
    }
    expect(code(() => signAndFinalizeSealRefund(params, 5000, makerSigner))).toBe('bad_key_file');
    expect(code(() => finalizeSealRefund(params, 5000, signed.signature))).toBe('bad_signature');
    expect(code(() => buildSealRefund(unsealed, 5000))).toBe('bad_terms');
  });

  it('does not depend on the channel’s own output or its bonds', () => {
    const both = makeParams({}, makeTerms({ seal: SEAL, bonds: makeBonds('auditor') }));
    expect(run(Transaction.fromHex(signAndFinalizeSealRefund(both, 5000, minerSigner).hex), both)).toBe(
      'ok',
    );
    expect(toHex(channelFacts(both).seal!.script)).toBe(toHex(channelFacts(params).seal!.script));
  });
});
