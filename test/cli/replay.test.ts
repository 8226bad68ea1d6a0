import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { refusal, sharestream } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sharestream-replay-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** 60 days whose difficulty falls by a fifth on the 40th: from there on hashes are worth a quarter more. */
const DROP = [
  'date,difficulty,subsidy_sat,fees_sat,hashrate',
  ...Array.from({ length: 60 }, (_, index) => {
    const day = new Date(Date.UTC(2021, 5, 1 + index)).toISOString().slice(0, 10);
    return `${day},${index < 40 ? 20e12 : 16e12},625000000,0,${1e17}`;
  }),
].join('\n');

describe('sharestream replay', () => {
  it('says who leaves, and with which bonds nobody does', async () => {
    const path = fileOf('drop.csv', DROP);
    const { code, json, stdout } = await sharestream(['replay', path, '--json']);
    expect(code).toBe(0);
    expect(stdout.trim().split('\n').length).toBe(1);
    const { prices, delivery } = json() as {
      prices: Record<string, unknown>;
      delivery: Record<string, unknown>;
    };
    // Those begun on days 11 to 30 see the drop, 25 % above their price: beyond the bond of 18 %.
    expect([prices['contracts'], prices['miner_leaves'], prices['maker_leaves']]).toEqual([31, 20, 0]);
    expect(prices['collateral_needed_percent']).toMatchObject({ p1: '0', p50: '25.0001', p99: '25.0001' });
    expect(delivery).toMatchObject({ contracts: 24, short: 0, defaults: 0 });
    const bonded = await sharestream(['replay', path, '--collateral', '25.1', '--json']);
    expect(bonded.json()).toMatchObject({ prices: { miner_leaves: 0, maker_leaves: 0 } });
    const shown = await sharestream(['replay', path, '--for', '7']);
    expect(shown.stdout).toContain('54 contracts of 7 days, begun from 2021-06-01 to 2021-07-24');
    expect(shown.stdout).toContain('each side stays on 99 % of the start days');
  });

  it('refuses what it cannot read, and says why', async () => {
    const path = fileOf('good.csv', DROP);
    expect(await refusal(['replay', join(folder, 'missing.csv')])).toBe('1 bad_history');
    expect(await refusal(['replay', folder])).toBe('1 bad_history');
    expect(await refusal(['replay', path, '--for', '61'])).toBe('1 bad_history');
    expect(await refusal(['replay', path, '--premium', '-100'])).toBe('2 usage');
  });
});
