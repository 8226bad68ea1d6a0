import { readFileSync } from 'node:fs';
import { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { verifyScripts } from '../../src/devnet/chain/interpreter.ts';
import { seedOf } from '../maker/world.ts';
import { Aftermath } from './ledgers.ts';
import { answer } from './program.ts';

/** Processes that start and blocks that are mined: slow on a machine that does other things too. */
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

type View = {
  kind: string;
  rung: number | null;
  txid: string;
  hex: string;
  valid_after_blocks: number | null;
  valid_from_height: number | null;
  outputs: { to: string; value_sat: string; lock: Record<string, unknown> | null }[];
};
type Plan = { transaction: View; later: View[]; shares: Record<string, string> };

const EXPIRY = 600;
const CSV_BLOCKS = 20;
const auditor = new SeedSigner({ seed: seedOf('auditor'), network: 'regtest' });
const auditorKeyHex = toHex(auditor.publicKey('auditor'));

/** A channel with bonds in the hands of an auditor, and a seal. */
const scene = new Aftermath({
  terms: {
    workTotalHashes: 1000n,
    priceMsatPerEh: 100_000n * 10n ** 18n,
    budgetSat: 100_000n,
    expiryHeight: EXPIRY,
    bonds: {
      bondMode: 'auditor',
      makerBondSat: 40_000n,
      collateralSat: 60_000n,
      bondCsvBlocks: CSV_BLOCKS,
      auditorKeyHex,
    },
    seal: { sealSat: 3000n, claimFeeRateSatPerKvb: 2000 },
  },
  policy: {
    maxPriceMsatPerEh: 100_000n * 10n ** 18n,
    minExpiryBlocks: 300,
    stakes: {
      bondModes: ['auditor'],
      maxMakerBondSat: 40_000n,
      minCollateralSat: 10_000n,
      auditorKeysHex: [auditorKeyHex],
      minBondCsvBlocks: 10,
      maxBondCsvBlocks: 2016,
      seal: 'allowed',
      minClaimFeeRateSatPerKvb: 1000,
      earlyClose: 'returned',
    },
  },
});
beforeAll(() => scene.run(3));
afterAll(() => scene.end());

const on = (side: 'miner' | 'maker'): string[] => ['--config', scene.config(side)];

/** What the interpreter says of a spend of an output of a transaction. */
function verdictOn(hex: string, parent: Transaction): string | undefined {
  const transaction = Transaction.fromHex(hex);
  const { script, value } = parent.outs[transaction.ins[0]!.index]!;
  expect(toHex(transaction.ins[0]!.hash.toReversed())).toBe(parent.getId());
  return verifyScripts(transaction, [{ script, valueSat: value }]);
}

describe('a channel with bonds and a seal', () => {
  it('shows which outputs are locked for whom, and what comes back later', async () => {
    const plan = await answer<Plan>(['channel', 'force-close', ...on('miner'), '--dry-run']);
    const { transaction, later, shares } = plan;
    expect(transaction.outputs.map(({ to }) => to)).toEqual(['miner', 'maker', 'miner_bond', 'maker_bond']);
    const lock = { two_of: ['miner', 'maker', 'auditor'], owner_alone_after_blocks: CSV_BLOCKS };
    expect(transaction.outputs.map((output) => output.lock)).toEqual([
      null,
      null,
      { ...lock, owner: 'miner' },
      { ...lock, owner: 'maker' },
    ]);
    const decoded = Transaction.fromHex(transaction.hex);
    expect(decoded.outs.map(({ value }) => value.toString())).toEqual(Object.values(shares));
    expect(later.map(({ kind }) => kind)).toEqual(['bond_return', 'seal_refund']);
    expect(later[0]!.valid_after_blocks).toBe(CSV_BLOCKS);
    expect(later[1]!.valid_from_height).toBe(EXPIRY + 2016);
    expect(verdictOn(later[0]!.hex, decoded)).toBeUndefined();
    const funding = scene.world.chain.transaction(scene.fundingTxid)!.transaction;
    expect(verdictOn(later[1]!.hex, funding)).toBeUndefined();
  });

  it('closes together with each bond back to its owner', async () => {
    const plan = await answer<Plan>(['channel', 'close', ...on('maker'), '--dry-run']);
    expect(plan.transaction.outputs.map(({ to }) => to)).toEqual(['miner', 'maker']);
    const show = await answer<{ split: Record<string, string> }>(['channel', 'show', ...on('maker')]);
    expect(BigInt(plan.shares['maker_sat']!)).toBeGreaterThan(BigInt(show.split['maker_sat']!));
  });

  it('exports all that either side takes back, and the recovery takes only what is right', async () => {
    const files = { miner: scene.path('miner.json'), maker: scene.path('maker.json') };
    for (const side of ['miner', 'maker'] as const) {
      await answer(['channel', 'export', ...on(side), '--out', files[side]]);
    }
    const of = (side: 'miner' | 'maker'): View[] =>
      (JSON.parse(readFileSync(files[side], 'utf8')) as { transactions: View[] }).transactions;
    expect(new Set(of('miner').map(({ kind }) => kind))).toEqual(
      new Set(['state', 'bond_return', 'seal_refund']),
    );
    expect(new Set(of('maker').map(({ kind }) => kind))).toEqual(
      new Set(['refund', 'bond_return', 'seal_claim']),
    );
    const states = of('miner').filter(({ kind }) => kind === 'state');
    for (const side of ['miner', 'maker'] as const) {
      for (const { hex, rung } of of(side).filter(({ kind }) => kind === 'bond_return')) {
        expect(verdictOn(hex, Transaction.fromHex(states[rung!]!.hex))).toBeUndefined();
      }
    }
    const funding = scene.world.chain.transaction(scene.fundingTxid)!.transaction;
    const claim = of('maker').find(({ kind }) => kind === 'seal_claim')!;
    expect(verdictOn(claim.hex, funding)).toBeUndefined();

    const words = ['channel', 'recover', '--from', files.miner, '--rpc-url', scene.rpc.url];
    const { close_txid: closed } = await answer<{ close_txid: string }>([...words, '--yes']);
    const { chain } = scene.world;
    chain.generate(1);
    const rung = states.find(({ txid }) => txid === closed)!.rung;
    const bond = of('miner').find((view) => view.kind === 'bond_return' && view.rung === rung)!;
    expect(() => chain.broadcast(bond.hex)).toThrow(/non-BIP68-final/);
    chain.generate(CSV_BLOCKS - 1);
    expect(chain.broadcast(bond.hex)).toBe(bond.txid);
    expect(chain.broadcast(claim.hex)).toBe(claim.txid);
    chain.generate(1);
    expect(chain.transaction(bond.txid)?.block).toBeDefined();
  });
});
