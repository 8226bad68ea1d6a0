import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { feeAt } from '../../src/chain/fee-rate.ts';
import type { Utxo } from '../../src/chain/source.ts';
import {
  buildAndSignChild,
  CHANGE_DUST_SAT,
  CHANGE_VBYTES,
  INPUT_VBYTES,
  listUtxos,
  OVERHEAD_VBYTES,
  SCRIPT_HASH_OUTPUT_VBYTES,
  selectCoins,
} from '../../src/chain/wallet.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { createDevnetChainSource } from '../devnet/chain-source.ts';
import { pay, testKey } from '../devnet/wallets.ts';

const utxosOf = (values: readonly bigint[]): Utxo[] =>
  values.map((valueSat, vout) => ({ txid: 'aa'.repeat(32), vout, valueSat, height: 1 }));

describe('coin selection', () => {
  it('takes the smallest coin that is enough by itself, and locks no larger one', () => {
    const chosen = (amountSat: bigint): bigint[] =>
      selectCoins(utxosOf([90_000n, 10_000n, 50_000n, 30_000n]), amountSat, 1_000).inputs.map(
        ({ valueSat }) => valueSat,
      );
    expect([9_000n, 9_878n, 9_879n, 40_000n, 60_000n].map(chosen)).toEqual([
      [10_000n],
      [10_000n],
      [30_000n],
      [50_000n],
      [90_000n],
    ]);
    expect(chosen(100_000n)).toEqual([90_000n, 50_000n]);
  });

  it('takes the fewest coins, largest first, and gives change', () => {
    const { inputs, feeSat, changeSat } = selectCoins(utxosOf([10_000n, 50_000n, 30_000n]), 60_000n, 1_000);
    expect(inputs.map((input) => input.valueSat)).toEqual([50_000n, 30_000n]);
    expect(feeSat).toBe(BigInt(11 + 43 + 2 * 68 + 31));
    expect(changeSat).toBe(80_000n - 60_000n - feeSat);
  });

  it('gives dust to the fee and says when there is not enough', () => {
    const { changeSat, feeSat } = selectCoins(utxosOf([10_000n]), 9_700n, 1_000);
    expect([changeSat, feeSat]).toEqual([0n, 300n]);
    expect(() => selectCoins(utxosOf([10_000n]), 9_900n, 1_000)).toThrow(/insufficient_funds/);
    expect(() => selectCoins([], 1n, 1_000)).toThrow(/insufficient_funds/);
  });

  it('balances to the satoshi and pays at least the rate', () => {
    const values = fc.array(fc.bigInt({ min: 1n, max: 1_000_000n }), { maxLength: 12 });
    const rate = fc.integer({ min: 1, max: 50_000 });
    fc.assert(
      fc.property(values, fc.bigInt({ min: 1n, max: 3_000_000n }), rate, (sats, amountSat, satPerKvb) => {
        const all = utxosOf(sats);
        let chosen: ReturnType<typeof selectCoins>;
        try {
          chosen = selectCoins(all, amountSat, satPerKvb);
        } catch {
          const total = sats.reduce((sum, value) => sum + value, 0n);
          const vbytes = OVERHEAD_VBYTES + SCRIPT_HASH_OUTPUT_VBYTES + sats.length * INPUT_VBYTES;
          const useful = sats.every((value) => value > feeAt(INPUT_VBYTES, satPerKvb));
          if (useful) expect(total).toBeLessThan(amountSat + feeAt(vbytes, satPerKvb));
          return;
        }
        const { inputs, feeSat, changeSat } = chosen;
        const inSat = inputs.reduce((sum, input) => sum + input.valueSat, 0n);
        expect(inSat).toBe(amountSat + feeSat + changeSat);
        expect(changeSat === 0n || changeSat >= CHANGE_DUST_SAT).toBe(true);
        const change = changeSat === 0n ? 0 : CHANGE_VBYTES;
        const vbytes = OVERHEAD_VBYTES + SCRIPT_HASH_OUTPUT_VBYTES + inputs.length * INPUT_VBYTES + change;
        expect(feeSat).toBeGreaterThanOrEqual(feeAt(vbytes, satPerKvb));
        expect(new Set(inputs.map((input) => input.vout)).size).toBe(inputs.length);
      }),
    );
  });
});

describe('the coins of a key', () => {
  it('are those on its address that the mempool leaves', async () => {
    const key = testKey(5);
    const premine = [
      { scriptHex: key.scriptHex, valueSat: 70_000n },
      { scriptHex: key.scriptHex, valueSat: 80_000n },
      { scriptHex: testKey(6).scriptHex, valueSat: 90_000n },
    ];
    const chain = new DevnetChain({ premine }, { clock: new ManualClock() });
    const source = createDevnetChainSource(chain);
    const before = await listUtxos(source, key.publicKey);
    expect(new Set(before.map((utxo) => utxo.valueSat))).toEqual(new Set([70_000n, 80_000n]));
    const spent = before.find((utxo) => utxo.valueSat === 70_000n)!;
    const to = [{ scriptHex: key.scriptHex, valueSat: 69_000n }];
    const payment = pay({ from: [spent], key, to });
    chain.broadcast(payment.toHex());
    expect((await listUtxos(source, key.publicKey)).map((utxo) => utxo.valueSat)).toEqual([80_000n]);
    expect(payment.virtualSize()).toBeLessThanOrEqual(OVERHEAD_VBYTES + INPUT_VBYTES + CHANGE_VBYTES);
  });
});

describe('a child', () => {
  const key = testKey(1);
  const from = [{ txid: '12'.repeat(32), vout: 0, valueSat: 10_000n }];
  const parent = pay({ from, key, to: [{ scriptHex: key.scriptHex, valueSat: 9_000n }], version: 3 });
  const signer = { publicKey: key.publicKey, sign: () => new Uint8Array(64).fill(1) };

  it('gives back what its parent paid less its fee, to the same script, of the same version', () => {
    const child = buildAndSignChild(parent, 0, 500n, signer);
    expect(child.version).toBe(3);
    expect(child.outs).toEqual([{ script: parent.outs[0]!.script, value: 8_500n }]);
    expect(child.ins[0]).toMatchObject({ hash: parent.getHash(false), index: 0, sequence: 0xffff_fffd });
    expect(child.ins[0]!.witness[1]).toEqual(key.publicKey);
  });

  it('spends an own output, and leaves one that nodes relay', () => {
    const build =
      (feeSat: bigint, vout = 0, publicKey = key.publicKey) =>
      () =>
        buildAndSignChild(parent, vout, feeSat, { ...signer, publicKey });
    expect(build(9_000n - 294n)().outs[0]!.value).toBe(294n);
    expect(build(9_000n - 293n)).toThrow('child_output_relays');
    expect(build(500n, 1)).toThrow('child_spends_own_output');
    expect(build(500n, 0, testKey(2).publicKey)).toThrow('child_spends_own_output');
  });
});
