import { bech32m } from 'bech32';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../seed.ts';
import { deflateRawSync } from 'node:zlib';
import { concat, toHex } from '../../src/base/bytes.ts';
import { taggedHash } from '../../src/base/hash.ts';
import { canonicalJson, type Json } from '../../src/base/json.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { type Offer, parseOffer, printOffer } from '../../src/contract/offer.ts';

const signer = new SeedSigner({ seed: new Uint8Array(32).fill(7), network: 'regtest' });
const sign = (digest: Uint8Array): Uint8Array => signer.signSchnorr('node', digest);

const OFFER: Offer = {
  version: 1,
  network: 'regtest',
  makerNodeId: toHex(nodeIdBytes(signer)),
  endpoints: ['maker.example:7333', '[2001:db8::1]:7333'],
  issuedAt: 1_790_000_000,
  validUntil: 1_790_086_400,
  priceMsatPerEh: 532_407n,
  bindings: ['work', 'bead'],
  budgetSat: 1_000_000n,
  stepHashes: { min: 10n ** 14n, max: 10n ** 19n },
  maxUnpaidSteps: 10,
  shareHashes: 2_199_056_809_984n,
  expiryBlocks: { min: 432, max: 4320 },
  minDepth: 3,
  bondModes: ['none'],
};

/** A line of whatever JSON, signed as offers are. */
function lineOf(value: Json | string): string {
  const text = typeof value === 'string' ? value : canonicalJson(value);
  const digest = taggedHash('shct/offer/1', new TextEncoder().encode(text));
  const payload = concat(sign(digest), deflateRawSync(text));
  return bech32m.encode('shst', bech32m.toWords(payload), 100_000);
}

function complaint(line: string): string {
  try {
    parseOffer(line);
    return 'an offer';
  } catch (error) {
    return (error as Error).message;
  }
}

/** The JSON in a line. */
const json = {
  ...{ version: 1, network: 'regtest', maker_node_id: OFFER.makerNodeId, endpoints: ['a:1'], issued_at: 1 },
  ...{ valid_until: 2, price_msat_per_eh: '1', bindings: ['work'], budget_sat: '1', max_unpaid_steps: 1 },
  ...{ step_hashes: { min: '1', max: '1' }, share_hashes: '1', expiry_blocks: { min: 1, max: 1 } },
  ...{ min_depth: 1, bond_modes: ['none'] },
} satisfies Json;

describe('an offer', () => {
  it('is read as it was printed, and short enough to paste', () => {
    const line = printOffer(OFFER, sign);
    expect(line).toMatch(/^shst1[02-9ac-hj-np-z]+$/);
    expect(line.length).toBeLessThan(700);
    expect(parseOffer(line)).toEqual(OFFER);
    expect(parseOffer(` ${line.toUpperCase()}\n`)).toEqual(OFFER);
  });

  it('is read back whatever it says', () => {
    fc.assert(
      fc.property(
        fc.bigInt(0n, 10n ** 20n),
        fc.integer({ min: 1, max: 65_535 }),
        fc.uniqueArray(fc.constantFrom('work', 'payout', 'bead' as const), { minLength: 1 }),
        (priceMsatPerEh, most, bindings) => {
          const offer = {
            ...OFFER,
            priceMsatPerEh,
            bindings,
            expiryBlocks: { min: 1, max: most },
          } as Offer;
          expect(parseOffer(printOffer(offer, sign))).toEqual(offer);
        },
      ),
    );
  });

  it('with one character wrong is refused, wherever', () => {
    const line = printOffer(OFFER, sign);
    const alphabet = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
    fc.assert(
      fc.property(
        fc.integer({ min: 5, max: line.length - 1 }),
        fc.constantFrom(...alphabet.split('')),
        (at, other) => {
          fc.pre(line[at] !== other);
          expect(complaint(line.slice(0, at) + other + line.slice(at + 1))).toContain('bad_offer');
        },
      ),
    );
    expect(complaint(line.slice(0, -1))).toContain('cut short');
  });

  it('says who rules on its bonds, where it is reached and what it asks of delivery', () => {
    const keyHex = '02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';
    const auditor = {
      ...{ keyHex, nodeId: keyHex.slice(2), endpoint: 'auditor.example:7334', cureBlocks: 6 },
      csvBlocks: { min: 144, max: 4320 },
    };
    const offer: Offer = { ...OFFER, bondModes: ['auditor'], auditor };
    const line = printOffer(offer, sign);
    expect(line.length).toBeLessThan(1200);
    expect(parseOffer(line)).toEqual(offer);
    const moving: Offer['moving'] = {
      ...{ type: 'index', formula: 'hash_value_144', epoch: 'day', ttlBlocks: 144, premiumPpm: -20_000 },
      ...{ minMsatPerEh: 480_000n, maxMsatPerEh: 600_000n },
    };
    expect(parseOffer(printOffer({ ...offer, moving }, sign))).toEqual({ ...offer, moving });
    expect(complaint(printOffer({ ...offer, auditor: { ...auditor, endpoint: 'a b' } }, sign))).toContain(
      'host:port',
    );
    const csvBlocks = { min: 2, max: 1 };
    expect(complaint(printOffer({ ...offer, auditor: { ...auditor, csvBlocks } }, sign))).toContain(
      'exclude each other',
    );
  });

  it('altered and encoded anew is refused: the maker did not sign it', () => {
    const words = bech32m.decode(printOffer(OFFER, sign), 4096).words;
    const payload = Uint8Array.from(bech32m.fromWords(words));
    const dearer = canonicalJson({ ...json, price_msat_per_eh: '2' });
    const forged = concat(payload.subarray(0, 64), deflateRawSync(dearer));
    expect(complaint(bech32m.encode('shst', bech32m.toWords(forged), 4096))).toContain('signature');
    const others = {
      ...json,
      maker_node_id: 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5',
    };
    expect(complaint(lineOf(others))).toContain('signature');
    expect(complaint(lineOf({ ...json, maker_node_id: '00'.repeat(32) }))).toContain('signature');
  });

  it.each<[what: string, value: Json | string, why: string]>([
    ['of another version', { ...json, version: 2 }, 'offer.version'],
    ['with a member more', { ...json, extra: 1 }, 'offer.extra is not known'],
    ['without a member', { version: 1 }, 'is missing'],
    ['spelled otherwise', JSON.stringify(json), 'not spelled'],
    ['that is no JSON', 'offer', 'holds no JSON'],
    ['over before it begins', { ...json, valid_until: 1 }, 'exclude each other'],
    ['of no step', { ...json, step_hashes: { min: '2', max: '1' } }, 'exclude each other'],
    ['of no duration', { ...json, expiry_blocks: { min: 2, max: 1 } }, 'exclude each other'],
    ['at a place that is none', { ...json, endpoints: ['a b:1'] }, 'host:port'],
    ['at a place with a quote', { ...json, endpoints: ['a":1'] }, 'host:port'],
    ['at no place', { ...json, endpoints: [] }, 'list of 1 to 8'],
  ])('%s is refused', (_, value, why) => {
    expect(complaint(lineOf(value))).toContain(why);
  });

  it('is bounded: no line unpacks into more than some kilobytes', () => {
    expect(complaint(lineOf({ ...json, endpoints: ['a'.repeat(10_000)] }))).toContain('cannot be unpacked');
    expect(complaint(`shst1${'q'.repeat(5000)}`)).toContain('cut short');
    expect(complaint(bech32m.encode('bc', bech32m.toWords(new Uint8Array(70)), 4096))).toContain(
      'begins with bc',
    );
    expect(complaint('')).toContain('cut short');
  });
});
