import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Transaction } from 'bitcoinjs-lib';
import { afterAll, describe, expect, it } from 'vitest';
import { payOf, recompute } from './recompute.ts';

const directory = mkdtempSync(join(tmpdir(), 'sharestream-demo-test-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Summary = {
  shares: { accepted: number; in_evidence: number; rejected: Record<string, number> };
  work_hashes: string;
  price_msat_per_eh: string;
  step_hashes: string;
  state_number: number;
  signed_work_hashes: string;
  paid_sat: string;
  funding_txid: string;
  funding_tx_hex: string;
  close_tx_hex: string;
  close_confirmed: boolean;
  /** What the maker has for its money. */
  beads: { worth: number; paid: number; redirected: number; stolen?: string };
};

describe('the demo', () => {
  it('streams sats for real work, closes on chain, and leaves evidence a stranger can recompute', async () => {
    const main = new URL('../../src/main.ts', import.meta.url).pathname;
    const words = [
      main,
      'demo',
      '--seconds',
      '20',
      '--json',
      '--out',
      directory,
      '--stratum',
      '127.0.0.1:0',
    ];
    const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: 120_000 });
    const summary = JSON.parse(stdout.trim().split('\n').at(-1)!) as Summary;

    expect(summary.shares.accepted).toBeGreaterThan(0);
    expect(summary.shares.rejected['duplicate']).toBeGreaterThan(0);
    expect(summary.shares.rejected['stale']).toBeGreaterThan(0);
    expect(summary.shares.rejected['low_difficulty']).toBeGreaterThan(0);
    expect(summary.state_number).toBeGreaterThanOrEqual(5);
    expect(summary.close_confirmed).toBe(true);
    expect(summary.beads.paid).toBeGreaterThan(0);
    expect(summary.beads).toMatchObject({ redirected: 0 });
    expect(summary.beads.stolen).toBeUndefined();

    const evidence = recompute(readFileSync(join(directory, 'evidence.jsonl'), 'utf8'));
    expect(evidence.workHashes.toString()).toBe(summary.work_hashes);
    expect(evidence.shares).toBe(summary.shares.in_evidence);
    expect(new Set(evidence.hashes).size).toBe(evidence.shares);

    const price = BigInt(summary.price_msat_per_eh);
    const paidSat = BigInt(summary.paid_sat);
    expect(payOf(BigInt(summary.signed_work_hashes), price)).toBe(paidSat);
    expect(BigInt(summary.signed_work_hashes)).toBeLessThanOrEqual(evidence.workHashes);
    expect(paidSat).toBeGreaterThan(0n);

    const funding = Transaction.fromHex(summary.funding_tx_hex);
    const close = Transaction.fromHex(summary.close_tx_hex);
    expect(funding.getId()).toBe(summary.funding_txid);
    expect(Buffer.from(close.ins[0]!.hash).reverse().toString('hex')).toBe(funding.getId());
    const minerSat = close.outs[0]!.value;
    const minerReserveSat = 6000n;
    const feeSat =
      funding.outs[close.ins[0]!.index]!.value - close.outs.reduce((sum, out) => sum + out.value, 0n);
    expect(minerSat).toBe(minerReserveSat + paidSat - feeSat);
  }, 150_000);
});
