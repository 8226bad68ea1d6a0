import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { feeAt } from '../../src/chain/fee-rate.ts';
import { buildAndSignChild, p2wpkhScript } from '../../src/chain/wallet.ts';
import { type Ladder, makeLadder, parseLadder, printLadder } from '../../src/channel/ladder-file.ts';
import { signState } from '../../src/channel/states.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { spend } from './consensus.ts';
import { EH, makeParams, makerSigner, makeTerms, minerSigner, strangerSigner } from './fixtures.ts';

const MARGINS = { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36 };
const walletKey = {
  publicKey: minerSigner.publicKey('wallet'),
  sign: (hash: Uint8Array) => minerSigner.signEcdsa('wallet', hash),
};

/** The ladder of a channel that pays the own wallet so much. */
function ladderOf(minerReserveSat: bigint, payout = p2wpkhScript(walletKey.publicKey)): Ladder {
  const terms = makeTerms({ workTotalHashes: 10n * EH, budgetSat: 4_851n, minerReserveSat });
  const params = makeParams({ minerPayoutScript: payout }, terms);
  const state = signState(params, 7, 4n * EH, makerSigner);
  return makeLadder(params, state, MARGINS, minerSigner, 7);
}

function refused(change: (of: Ladder) => Ladder, of: Ladder): string {
  try {
    parseLadder(printLadder(change(of)));
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return String(error.meta['type']);
  }
}

describe('the children of a ladder', () => {
  const ladder = ladderOf(3_000_000n);
  const top = ladder.rungs.at(-1)!;
  const parent = Transaction.fromHex(top.hex);
  const child = (feeSat: bigint) => buildAndSignChild(parent, 0, feeSat, walletKey);

  it('pay for the highest rung at half as much again each, and are valid as they stand', () => {
    expect(ladder.children.map(({ satPerKvb }) => satPerKvb)).toEqual([
      480_000, 720_000, 1_080_000, 1_620_000, 2_430_000, 3_645_000,
    ]);
    for (const { hex, feeSat, satPerKvb, vsize } of ladder.children) {
      const transaction = Transaction.fromHex(hex);
      expect(transaction.ins.map(({ index }) => index)).toEqual([0]);
      const [spent] = parent.outs;
      expect(spend(transaction, 0, { script: spent!.script, valueSat: spent!.value })).toBe('ok');
      // Nothing leaves the wallet but the fee.
      expect(transaction.outs).toEqual([
        { script: spent!.script, value: spent!.value - (feeSat - top.feeSat) },
      ]);
      expect(vsize).toBe(top.vsize + transaction.virtualSize());
      expect(feeSat - feeAt(vsize, satPerKvb)).toBeLessThan(feeAt(2, satPerKvb));
    }
  });

  it('burn at most half of the output, whoever broadcasts them', () => {
    for (const reserveSat of [90_000n, 250_000n, 400_000n, 900_000n, 3_000_000n]) {
      const { rungs, children } = ladderOf(reserveSat);
      const { value } = Transaction.fromHex(rungs.at(-1)!.hex).outs[0]!;
      for (const { feeSat } of children)
        expect((feeSat - rungs.at(-1)!.feeSat) * 2n).toBeLessThanOrEqual(value);
      const more = feeAt(300, (children.at(-1)?.satPerKvb ?? 320_000) * 1.6) - rungs.at(-1)!.feeSat;
      expect(more * 2n).toBeGreaterThan(value);
    }
  });

  it('are none where the output is not of the own wallet: that file is as before', () => {
    const other = ladderOf(3_000_000n, p2wpkhScript(strangerSigner.publicKey('wallet')));
    expect(other.children).toEqual([]);
    expect(printLadder(other)).toContain('"version":1');
    expect(printLadder(ladder)).toContain('"version":2');
  });

  it('are none of the output of a payee, though it is of the own wallet', () => {
    const scriptHex = toHex(p2wpkhScript(walletKey.publicKey));
    const splits = [{ scriptHex, ppm: 300_000, seedSat: 2_000_000n, label: 'rig' }];
    const terms = makeTermsV3({ splits, minerReserveSat: 4_000_000n });
    const own = (minerPayoutScript: Uint8Array) => {
      const params = makeParams({ minerPayoutScript }, terms);
      return makeLadder(params, signState(params, 1, EH, makerSigner), MARGINS, minerSigner, 7).children;
    };
    const elsewhere = p2wpkhScript(strangerSigner.publicKey('wallet'));
    expect(own(elsewhere)).toEqual([]);
  });

  it('come back as they were, in any number up to eight', () => {
    expect(parseLadder(printLadder(ladder))).toEqual(ladder);
    const rising = (count: number) =>
      Array.from({ length: count }, (_, step) => ({
        ...ladder.children[0]!,
        satPerKvb: 400_000 + step,
        hex: child(50_000n + BigInt(step)).toHex(),
      }));
    expect(refused((of) => ({ ...of, children: rising(8) }), ladder)).toBe('taken');
    expect(refused((of) => ({ ...of, children: rising(9) }), ladder)).toBe('content');
  });

  it('are refused where they would take something, or pay for another rung', () => {
    const with_ = (hex: string, satPerKvb = 400_000): string =>
      refused((of) => ({ ...of, children: [{ ...of.children[0]!, hex, satPerKvb }] }), ladder);
    const changed = (change: (transaction: Transaction) => void): string => {
      const transaction = child(50_000n);
      change(transaction);
      return with_(transaction.toHex());
    };
    expect(changed(() => {})).toBe('taken');
    const thief = p2wpkhScript(strangerSigner.publicKey('wallet'));
    expect(changed(({ outs }) => Object.assign(outs[0]!, { script: thief }))).toBe('content');
    expect(changed((transaction) => transaction.addOutput(thief, 1_000n))).toBe('content');
    expect(changed((transaction) => transaction.addInput(new Uint8Array(32), 0))).toBe('content');
    expect(changed(({ ins }) => Object.assign(ins[0]!, { index: 7 }))).toBe('content');
    expect(changed((transaction) => (transaction.version = 2))).toBe('content');
    const lower = Transaction.fromHex(ladder.rungs[0]!.hex);
    expect(with_(buildAndSignChild(lower, 0, 50_000n, walletKey).toHex())).toBe('content');
    expect(with_(child(50_000n).toHex(), 320_000)).toBe('content');
    expect(with_('00')).toBe('content');
    const [low, high] = ladder.children;
    expect(refused((of) => ({ ...of, children: [high!, low!] }), ladder)).toBe('content');
    expect(refused((of) => ({ ...of, children: [low!, { ...high!, hex: low!.hex }] }), ladder)).toBe(
      'content',
    );
  });
});
