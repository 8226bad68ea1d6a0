import { compileMiniscript } from '@bitcoinerlab/miniscript';
import { script as bitcoinScript, payments } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { channelScript, publicKeyHashOutput, witnessScriptHashOutput } from '../../src/channel/scripts.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { keys, seedOf } from './fixtures.ts';

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

describe('output scripts', () => {
  it('agree with the payments of bitcoinjs-lib', () => {
    const script = channelScript(keys, 920_000);
    expect(witnessScriptHashOutput(script)).toEqual(payments.p2wsh({ redeem: { output: script } }).output);
    expect(publicKeyHashOutput(keys.minerChannel)).toEqual(
      payments.p2wpkh({ pubkey: keys.minerChannel }).output,
    );
  });
});
