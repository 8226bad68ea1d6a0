import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { sha256d } from '../../src/base/hash.ts';
import {
  displayHash,
  headerHash,
  parseDisplayHash,
  parseHeader,
  serializeHeader,
  swapWords,
} from '../../src/bitcoin/header.ts';
import { branchesForCoinbase, merkleRoot, merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import { targetOfCompact } from '../../src/bitcoin/target.ts';
import { blockVectors, headers665280, prevHashes } from '../vectors.ts';

describe('the genesis block', () => {
  const header = {
    version: 1,
    prevHash: new Uint8Array(32),
    merkleRoot: parseDisplayHash('4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b'),
    time: 1231006505,
    bits: 0x1d00ffff,
    nonce: 2083236893,
  };

  it('has its hash', () => {
    expect(displayHash(headerHash(header))).toBe(
      '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
    );
  });

  it('survives the round trip', () => {
    expect(parseHeader(serializeHeader(header))).toEqual(header);
  });
});

describe('128 consecutive mainnet headers', () => {
  const headers = headers665280().map((line) => parseHeader(fromHex(line, 80)));

  it('each meets its own target and builds on the one before', () => {
    headers.forEach((header, index) => {
      const hash = headerHash(header);
      expect(BigInt(`0x${displayHash(hash)}`) <= targetOfCompact(header.bits)).toBe(true);
      if (index > 0) expect(toHex(header.prevHash)).toBe(toHex(headerHash(headers[index - 1]!)));
    });
  });
});

describe('stratum prevhash', () => {
  it.each(prevHashes())('$hash', (row) => {
    const header = swapWords(fromHex(row.stratum, 32));
    expect(toHex(header)).toBe(row.header);
    expect(displayHash(header)).toBe(row.hash);
  });
});

describe('the header of a block', () => {
  it.each(blockVectors())('is rebuilt from the job and the submit: $name', (vector) => {
    const [, prevHash, coinb1, coinb2, branches, version, bits] = vector.notify;
    const [, , extranonce2, ntime, nonce] = vector.submit;
    const coinbase = fromHex(coinb1 + vector.extranonce1 + extranonce2 + coinb2);
    const header = {
      version: Number.parseInt(version, 16),
      prevHash: swapWords(fromHex(prevHash, 32)),
      merkleRoot: merkleRootFromBranches(
        sha256d(coinbase),
        branches.map((branch) => fromHex(branch, 32)),
      ),
      time: Number.parseInt(ntime, 16),
      bits: Number.parseInt(bits, 16),
      nonce: Number.parseInt(nonce, 16),
    };
    expect(toHex(serializeHeader(header))).toBe(vector.header);
    expect(displayHash(headerHash(header))).toBe(vector.hash);
  });
});

describe('merkle branches', () => {
  it('lead to the root that pairing all txids gives', () => {
    const txid = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(fc.array(txid, { minLength: 1, maxLength: 33 }), (txids) => {
        let level = txids;
        while (level.length > 1) {
          const next: Uint8Array[] = [];
          for (let at = 0; at < level.length; at += 2) {
            next.push(sha256d(concat(level[at]!, level[at + 1] ?? level[at]!)));
          }
          level = next as typeof level;
        }
        expect(toHex(merkleRoot(txids))).toBe(toHex(level[0]!));
        expect(toHex(merkleRootFromBranches(txids[0]!, branchesForCoinbase(txids.slice(1))))).toBe(
          toHex(level[0]!),
        );
      }),
    );
  });
});

describe('word swap', () => {
  it('undoes itself', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        expect(toHex(swapWords(swapWords(bytes)))).toBe(toHex(bytes));
      }),
    );
  });
});
