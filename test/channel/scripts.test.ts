import { compileMiniscript } from '@bitcoinerlab/miniscript';
import { script as bitcoinScript, payments } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import {
  auditedBondScript,
  channelScript,
  dataOutput,
  hostageBondScript,
  publicKeyHashOutput,
  sealScript,
  witnessScriptHashOutput,
} from '../../src/channel/scripts.ts';
import { type KeyRole, SeedSigner } from '../../src/channel/signer.ts';
import { code, keys, seedOf } from './fixtures.ts';

/** What the miniscript compiler makes of a sane expression. */
function bytesOf(miniscript: string): string {
  const { asm, issane } = compileMiniscript(miniscript);
  expect(issane).toBe(true);
  const words = asm.replace(/ ([0-9]+) (?=OP_CHECK)/g, ' OP_$1 ').replace(/<([0-9a-f]+)>/g, '$1');
  return toHex(bitcoinScript.fromASM(words.replace(/(?<= |^)([0-9])(?= |$)/g, 'OP_$1')));
}

/** Five different keys for an index. */
function someKeys(index: number): readonly Uint8Array[] {
  const roles: readonly KeyRole[] = ['channel', 'refund', 'bond', 'exit', 'seal'];
  const signer = new SeedSigner({ seed: seedOf('some keys'), network: 'regtest', channelIndex: index });
  return roles.map((role) => signer.publicKey(role));
}

function compiled(minerHex: string, makerHex: string, refundHex: string, height: number): string {
  const { asm, issane } = compileMiniscript(
    `or_i(and_v(v:pk(${minerHex}),pk(${makerHex})),and_v(v:pk(${refundHex}),after(${height})))`,
  );
  expect(issane).toBe(true);
  return asm.replace(/ ([0-9]+) (?=OP_CHECKLOCK)/, ' OP_$1 ').replace(/<([0-9a-f]+)>/g, '$1');
}

describe('the channel script', () => {
  it('is what the miniscript compiler makes of F0, for any keys and height', () => {
    const heights = fc.oneof(
      fc.integer({ min: 1, max: 499_999_999 }),
      fc.constantFrom(
        1,
        16,
        17,
        127,
        128,
        255,
        256,
        32_767,
        32_768,
        920_000,
        8_388_607,
        8_388_608,
        499_999_999,
      ),
    );
    fc.assert(
      fc.property(fc.nat(), heights, (index, height) => {
        const signer = new SeedSigner({ seed: seedOf('keys'), network: 'regtest', channelIndex: index });
        const made = { ...keys, minerChannel: signer.publicKey('channel') };
        const asm = compiled(
          toHex(made.minerChannel),
          toHex(made.makerChannel),
          toHex(made.makerRefund),
          height,
        );
        const expected = bitcoinScript.fromASM(asm);
        expect(toHex(channelScript(made, height))).toBe(toHex(expected));
      }),
      { numRuns: 60 },
    );
  });

  it('takes 113 bytes for a height of this century', () => {
    expect(channelScript(keys, 32_768)).toHaveLength(113);
    expect(channelScript(keys, 920_000)).toHaveLength(113);
    expect(channelScript(keys, 8_388_607)).toHaveLength(113);
  });

  it('refuses heights that BIP65 reads as times, and none at all', () => {
    for (const height of [0, -1, 1.5, 500_000_000, Number.NaN]) {
      expect(() => channelScript(keys, height)).toThrow('bad_terms');
    }
  });

  it('refuses equal, uncompressed and invalid keys', () => {
    const negated = Uint8Array.from(keys.makerChannel);
    negated[0]! ^= 1;
    const uncompressed = new Uint8Array(65).fill(4);
    const offCurve = Uint8Array.from(keys.minerChannel).fill(0xff, 1);
    for (const minerChannel of [
      keys.makerChannel,
      keys.makerRefund,
      negated,
      uncompressed,
      offCurve,
      keys.minerChannel.subarray(1),
      new Uint8Array(0),
    ]) {
      expect(() => channelScript({ ...keys, minerChannel }, 920_000)).toThrow('bad_terms');
    }
  });
});

describe('the bond scripts', () => {
  it('are what the miniscript compiler makes of them, for any keys and delay', () => {
    const delays = fc.oneof(
      fc.integer({ min: 1, max: 65_535 }),
      fc.constantFrom(1, 16, 17, 127, 128, 144, 255, 256, 2016, 32_767, 32_768, 65_535),
    );
    fc.assert(
      fc.property(fc.nat(), delays, (index, delay) => {
        const [miner, maker, auditor, owner] = someKeys(index) as Uint8Array[];
        const [p, m, a, x] = [miner!, maker!, auditor!, owner!].map(toHex);
        const audited = { miner: miner!, maker: maker!, auditor: auditor!, owner: owner! };
        expect(toHex(auditedBondScript(audited, delay))).toBe(
          bytesOf(`or_d(multi(2,${p},${m},${a}),and_v(v:pk(${x}),older(${delay})))`),
        );
        expect(toHex(hostageBondScript(miner!, maker!))).toBe(bytesOf(`multi(2,${p},${m})`));
      }),
      { numRuns: 60 },
    );
  });

  it('take 147 and 71 bytes, and differ by owner', () => {
    const [miner, maker, auditor, exit, other] = someKeys(1) as [Uint8Array, ...Uint8Array[]];
    const of = (owner: Uint8Array): Uint8Array =>
      auditedBondScript({ miner, maker: maker!, auditor: auditor!, owner }, 2016);
    expect(of(exit!)).toHaveLength(147);
    expect(toHex(of(exit!))).not.toBe(toHex(of(other!)));
    expect(hostageBondScript(miner, maker!)).toHaveLength(71);
  });

  it('refuse keys that are none and delays that are no blocks (BIP68)', () => {
    const [miner, maker, auditor, owner] = someKeys(1) as Uint8Array[];
    const good = { miner: miner!, maker: maker!, auditor: auditor!, owner: owner! };
    for (const delay of [0, -1, 1.5, 65_536, 0x40_0001, Number.NaN]) {
      expect(code(() => auditedBondScript(good, delay))).toBe('bad_terms');
    }
    const bad = new Uint8Array(33).fill(2, 0, 1).fill(0xff, 1);
    for (const name of Object.keys(good)) {
      expect(code(() => auditedBondScript({ ...good, [name]: bad }, 2016))).toBe('bad_terms');
    }
    expect(code(() => hostageBondScript(bad, maker!))).toBe('bad_terms');
  });
});

describe('the seal script', () => {
  it('is what the miniscript compiler makes of F1, for any keys and height', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 499_999_999 }), (index, height) => {
        const [miner, maker, exit] = someKeys(index) as Uint8Array[];
        const [p, m, x] = [miner!, maker!, exit!].map(toHex);
        expect(toHex(sealScript({ miner: miner!, maker: maker!, exit: exit! }, height))).toBe(
          bytesOf(`or_i(and_v(v:pk(${p}),pk(${m})),and_v(v:pk(${x}),after(${height})))`),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('refuses keys that are none and heights that are times', () => {
    const [miner, maker, exit] = someKeys(2) as Uint8Array[];
    const good = { miner: miner!, maker: maker!, exit: exit! };
    expect(code(() => sealScript(good, 500_000_000))).toBe('bad_terms');
    for (const name of Object.keys(good)) {
      expect(code(() => sealScript({ ...good, [name]: new Uint8Array(33) }, 1))).toBe('bad_terms');
    }
  });
});

describe('output scripts', () => {
  it('of data are what bitcoinjs-lib embeds', () => {
    const data = seedOf('data');
    expect(dataOutput(data)).toEqual(payments.embed({ data: [data] }).output);
  });

  it('agree with the payments of bitcoinjs-lib', () => {
    const script = channelScript(keys, 920_000);
    expect(witnessScriptHashOutput(script)).toEqual(payments.p2wsh({ redeem: { output: script } }).output);
    expect(publicKeyHashOutput(keys.minerChannel)).toEqual(
      payments.p2wpkh({ pubkey: keys.minerChannel }).output,
    );
  });
});
