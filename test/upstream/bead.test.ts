import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { count, hashes, parseBead, work } from '../../src/upstream/bead.ts';
import { parseJsonBigint } from '../../src/upstream/json-bigint.ts';
import { Outcomes } from '../base/outcomes.ts';

const HASH = 'ab'.repeat(32);

/** The genesis block of Bitcoin as a bead. */
const GENESIS = '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f';
const text = `{
  "block_header": {
    "version": 1, "prev_blockhash": "${'00'.repeat(32)}",
    "merkle_root": "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",
    "time": 1231006505, "bits": 486604799, "nonce": 2083236893
  },
  "committed_metadata": {
    "transaction_ids": ["${HASH}"], "parents": ["${'CD'.repeat(32)}"], "parent_bead_timestamps": [1700000000],
    "payout_address": "bc1qminer.rig", "start_timestamp": 1700000001, "comm_pub_key": "${'02'.repeat(33)}",
    "min_target": 486604799, "weak_target": 545259519, "miner_ip": "10.0.0.1:4242"
  },
  "uncommitted_metadata": {
    "extra_nonce_1": 18446744073709551615, "extra_nonce_2": 9007199254740993,
    "broadcast_timestamp": 1700000002, "signature": {"signature": "3006020101020101", "sighash_type": "SIGHASH_ALL"}
  }
}`;

describe('parseBead', () => {
  it('loses no bit of a u64, and hashes the header', () => {
    expect(parseBead(parseJsonBigint(text))).toMatchObject({
      hash: GENESIS,
      parents: ['cd'.repeat(32)],
      payoutAddress: 'bc1qminer.rig',
      weakTarget: 0x207fffff,
      extranonce1: 18446744073709551615n,
      extranonce2: 9007199254740993n,
      signature: '3006020101020101',
    });
  });

  it('takes what older nodes give: the bead as text, targets and signature as hex', () => {
    const older = text
      .replace('486604799, "weak', '"1d00ffff", "weak')
      .replace(/\{"signature": ("[^"]+")[^}]*\}/, '$1');
    expect(older).not.toBe(text);
    const bead = parseBead(older);
    expect(bead).toMatchObject({ hash: GENESIS, minTarget: 0x1d00ffff, extranonce2: 9007199254740993n });
    expect(bead.signature).toBe('3006020101020101');
    expect(parseBead(text.replace('"version": 1', '"version": -2147483648')).header.version).toBe(
      0x80000000,
    );
  });

  it('refuses everything else with a code', () => {
    const whole = parseJsonBigint(text) as Record<string, Record<string, unknown>>;
    const paths = Object.entries(whole).flatMap(([part, fields]) =>
      Object.keys(fields).map((field) => [part, field] as const),
    );
    const junk = fc.oneof(fc.constant(undefined), fc.jsonValue(), fc.constant(-1n), fc.constant(1n << 64n));
    const outcomes = new Outcomes('parsed', 'refused');
    fc.assert(
      fc.property(fc.constantFrom(...paths), junk, ([part, field], value) => {
        const bead = { ...whole, [part]: { ...whole[part], [field]: value } };
        try {
          const parsed = parseBead(bead);
          expect(parsed.hash).toMatch(/^[0-9a-f]{64}$/);
          for (const one of [parsed.extranonce1, parsed.extranonce2]) expect(one >> 64n).toBe(0n);
          expect(typeof parsed.payoutAddress).toBe('string');
          outcomes.saw('parsed');
        } catch (error) {
          expect(error).toBeInstanceOf(CodedError);
          expect((error as CodedError).code).toBe('braidpool_rpc');
          outcomes.saw('refused');
        }
      }),
      { numRuns: 500 },
    );
    outcomes.expectEach();
    for (const value of [undefined, null, 7, 'x', '[]', [], {}])
      expect(() => parseBead(value)).toThrow(CodedError);
  });
});

describe('values', () => {
  it('are read strictly', () => {
    expect([count(5, 'f'), count('42', 'f')]).toEqual([5, 42]);
    expect([work('21475164165', 'f'), work(7, 'f'), work(1n << 90n, 'f')]).toEqual([
      21475164165n,
      7n,
      1n << 90n,
    ]);
    for (const bad of [-1, 1.5, '4x', '', null, {}, 2n ** 60n, 'Infinity'])
      expect(() => count(bad, 'f')).toThrow(CodedError);
    for (const bad of [-1, '-1', '0x10', '', null, -1n]) expect(() => work(bad, 'f')).toThrow(CodedError);
    for (const bad of [null, {}, [1], ['ab'], [HASH, null], HASH])
      expect(() => hashes(bad, 'f')).toThrow(CodedError);
  });

  it('of JSON stay exact', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(1n << 70n), max: 1n << 70n }), (value) => {
        const parsed = parseJsonBigint(`{"a":[${value}]}`) as { a: [number | bigint] };
        expect(BigInt(parsed.a[0])).toBe(value);
        expect(typeof parsed.a[0]).toBe(Number.isSafeInteger(Number(value)) ? 'number' : 'bigint');
      }),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(
          JSON.stringify(parseJsonBigint(JSON.stringify(value)), (_, one: unknown) =>
            typeof one === 'bigint' ? Number(one) : one,
          ),
        ).toBe(JSON.stringify(value));
      }),
    );
  });
});
