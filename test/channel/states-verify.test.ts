import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { owedSat } from '../../src/base/units.ts';
import type { ChannelParams } from '../../src/channel/params.ts';
import {
  parseSignedState,
  type SignedState,
  sameState,
  signedStateToJson,
  signState,
  verifySignedState,
  verifyState,
} from '../../src/channel/states.ts';
import { fixedPriceMsatPerEh } from '../../src/contract/terms-access.ts';
import {
  code,
  EH,
  keys,
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

describe('verifyState', () => {
  it('takes states in order, state 0 first, and a repetition as nothing new', () => {
    expect(verifyState(params, undefined, state0)).toBe('next');
    expect(verifyState(params, state0, state1)).toBe('next');
    expect(verifyState(params, state1, state2)).toBe('next');
    expect(verifyState(params, state1, state1)).toBe('same');
    expect(sameState(state1, { ...state1, signatures: [] })).toBe(true);
    expect(sameState(state1, state2)).toBe(false);
  });

  it('refuses a number that is not the next', () => {
    expect(code(() => verifyState(params, undefined, state1))).toBe('wrong_state_number');
    expect(code(() => verifyState(params, state0, state2))).toBe('wrong_state_number');
    expect(code(() => verifyState(params, state1, state0))).toBe('wrong_state_number');
    for (const n of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(code(() => verifySignedState(params, { ...state1, n }))).toBe('wrong_state_number');
    }
  });

  it('refuses work that does not rise', () => {
    const again = signState(params, 2, EH, makerSigner);
    const less = signState(params, 2, EH - 1n, makerSigner);
    expect(code(() => verifyState(params, state1, again))).toBe('not_monotone');
    expect(code(() => verifyState(params, state1, less))).toBe('not_monotone');
  });

  it('refuses more than the contract has, before it is used for anything', () => {
    const workHashes = params.terms.workTotalHashes + 1n;
    expect(code(() => signState(params, 2, workHashes, makerSigner))).toBe('over_budget');
    expect(code(() => verifyState(params, state1, { ...state2, workHashes }))).toBe('over_budget');
    expect(code(() => verifyState(params, state1, { ...state2, workHashes: 10n ** 78n }))).toBe(
      'over_budget',
    );
    expect(code(() => verifyState(params, state1, { ...state2, paidSat: 485_061n }))).toBe('over_budget');
  });

  it('refuses pay that is not the floor of the work, one satoshi either way', () => {
    for (const by of [-1n, 1n]) {
      const next = { ...state2, paidSat: state2.paidSat + by };
      expect(code(() => verifyState(params, state1, next))).toBe('bad_amount');
    }
    expect(state2.paidSat).toBe(owedSat(3n * EH, fixedPriceMsatPerEh(params.terms)));
    expect(code(() => verifySignedState(params, { ...state0, workHashes: 1n }))).toBe('bad_amount');
    expect(code(() => verifySignedState(params, { ...state1, workHashes: -1n }))).toBe('bad_amount');
  });

  it('calls two contents for one number equivocation, only when both are signed', () => {
    const other = signState(params, 1, 2n * EH, makerSigner);
    expect(code(() => verifyState(params, state1, other))).toBe('equivocation');
    expect(code(() => verifyState(params, state1, { ...other, receiptSignature: '00'.repeat(64) }))).toBe(
      'bad_signature',
    );
  });

  it('refuses any single mutation of any field', () => {
    const mutate: fc.Arbitrary<SignedState> = fc.oneof(
      fc
        .integer({ min: 0, max: 1000 })
        .filter((n) => n !== state2.n)
        .map((n) => ({ ...state2, n })),
      fc
        .bigInt(0n, 2000n * EH)
        .filter((workHashes) => workHashes !== state2.workHashes)
        .map((workHashes) => ({ ...state2, workHashes })),
      fc
        .bigInt(0n, 10n ** 12n)
        .filter((paidSat) => paidSat !== state2.paidSat)
        .map((paidSat) => ({ ...state2, paidSat })),
      flippedBit(state2.receiptSignature).map((receiptSignature) => ({ ...state2, receiptSignature })),
      fc.nat({ max: state2.signatures.length - 1 }).chain((rung) =>
        flippedBit(state2.signatures[rung]!).map((signature) => ({
          ...state2,
          signatures: state2.signatures.with(rung, signature),
        })),
      ),
      fc.constantFrom(
        { ...state2, signatures: state2.signatures.slice(1) },
        { ...state2, signatures: [...state2.signatures, state2.signatures[0]!] },
        { ...state2, signatures: state2.signatures.toReversed() },
        { ...state2, signatures: [] },
        { ...state2, receiptSignature: state1.receiptSignature },
        { ...state2, signatures: state1.signatures },
        { ...state2, receiptSignature: state2.receiptSignature.toUpperCase() },
      ),
    );
    fc.assert(
      fc.property(mutate, (next) => {
        expect(code(() => verifyState(params, state1, next))).toMatch(
          /^(wrong_state_number|not_monotone|over_budget|bad_amount|bad_signature)$/,
        );
      }),
      { numRuns: 300 },
    );
  });

  it('refuses a signature with a high s, and r or s out of range', () => {
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const signature = state1.signatures[0]!;
    const r = signature.slice(0, 64);
    const high = (order - BigInt(`0x${signature.slice(64)}`)).toString(16).padStart(64, '0');
    for (const bad of [
      r + high,
      'ff'.repeat(64),
      '00'.repeat(64),
      r + '00'.repeat(32),
      r + 'ff'.repeat(32),
    ]) {
      const next = { ...state1, signatures: state1.signatures.with(0, bad) };
      expect(code(() => verifyState(params, state0, next))).toBe('bad_signature');
    }
  });

  it('refuses a state of any other channel: each parameter is bound', () => {
    const others: ChannelParams[] = [
      makeParams({ funding: { ...params.funding, vout: 2 } }),
      makeParams({ funding: { txid: `00${params.funding.txid.slice(2)}`, vout: 1 } }),
      makeParams({ minerPayoutScript: PAYOUTS.p2wpkh('x') }),
      makeParams({ makerPayoutScript: PAYOUTS.p2wpkh('x') }),
      makeParams({ keys: { ...keys, makerRefund: strangerSigner.publicKey('refund') } }),
      makeParams({}, makeTerms({ nonceHex: 'ff'.repeat(16) })),
      makeParams({}, makeTerms({ staleGraceSeconds: 31 })),
    ];
    for (const other of others) {
      expect(code(() => verifyState(other, state0, state1))).toBe('bad_signature');
    }
  });

  it('is signed the same way twice: a crash after signing changes nothing', () => {
    expect(signState(params, 2, 3n * EH, makerSigner)).toEqual(state2);
  });

  it('is not signed with keys that are not the maker’s', () => {
    expect(code(() => signState(params, 1, EH, minerSigner))).toBe('bad_key_file');
    const node = makeParams(
      {},
      makeTerms({ makerNodeId: toHex(strangerSigner.publicKey('node').subarray(1)) }),
    );
    expect(code(() => signState(node, 1, EH, makerSigner))).toBe('bad_key_file');
    expect(code(() => signState(params, 0, 1n, makerSigner))).toBe('bad_amount');
    expect(code(() => signState(params, -1, 1n, makerSigner))).toBe('wrong_state_number');
  });
});

function flippedBit(hex: string): fc.Arbitrary<string> {
  return fc.nat({ max: hex.length * 4 - 1 }).map((bit) => {
    const at = bit >> 2;
    const digit = (Number.parseInt(hex[at]!, 16) ^ (1 << (bit & 3))).toString(16);
    return hex.slice(0, at) + digit + hex.slice(at + 1);
  });
}

describe('a state in JSON', () => {
  it('survives the round trip', () => {
    const text = JSON.stringify(signedStateToJson(state2));
    expect(parseSignedState(JSON.parse(text))).toEqual(state2);
  });

  it('is refused when a field is absent, unknown or of another shape', () => {
    const good = signedStateToJson(state2);
    const bad: unknown[] = [
      null,
      [],
      'x',
      { ...good, more: 1 },
      ...Object.keys(good).map((key) =>
        Object.fromEntries(Object.entries(good).filter(([k]) => k !== key)),
      ),
      ...Object.keys(good).map((key) => ({ ...good, [key]: null })),
      { ...good, n: '2' },
      { ...good, n: -1 },
      { ...good, n: 1e300 },
      { ...good, work_hashes: 3 },
      { ...good, work_hashes: '-3' },
      { ...good, work_hashes: '03' },
      { ...good, paid_sat: '1e3' },
      { ...good, signatures: [] },
      { ...good, signatures: new Array(9).fill(state2.receiptSignature) },
      { ...good, signatures: ['00'] },
      { ...good, signatures: [state2.receiptSignature.replace(/./, 'G')] },
      { ...good, receipt_signature: state2.receiptSignature.toUpperCase() },
      { ...good, receipt_signature: `${state2.receiptSignature}00` },
    ];
    for (const value of bad) expect(code(() => parseSignedState(value))).toBe('protocol');
  });

  it('never throws anything but a coded error, whatever comes', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(code(() => parseSignedState(value))).toBe('protocol');
      }),
    );
  });
});
