import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { refusal, sharestream } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sharestream-offer-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MAKER = `
network = "regtest"
data_dir = "maker"
[policy]
max_price = "520 sat/EH"
[[pool]]
name = "own"
url = "stratum+tcp://127.0.0.1:3334"
worker = "account.rig"
[chain]
rpc_url = "http://127.0.0.1:18443"
`;

describe('sharestream offer', () => {
  it('is made by a maker, and takes a proxy to it', async () => {
    const config = join(folder, 'maker.toml');
    writeFileSync(config, MAKER);
    expect(await refusal(['offer', 'make', '--config', config, '--endpoint', '127.0.0.1:7333'])).toBe(
      '1 key_file_missing',
    );
    const keys = await sharestream(['keys', 'new', 'maker', '--config', config, '--json']);
    const nodeId = keys.json()['node_id'] as string;
    const made = await sharestream(['offer', 'make', '--config', config, '--endpoint', '127.0.0.1:7333']);
    expect(made.code).toBe(0);
    const line = made.stdout.trim();
    const shown = await sharestream(['offer', 'show', line]);
    expect(shown.stdout).toContain(`maker      ${nodeId}\nat         127.0.0.1:7333 on regtest\n`);
    expect(shown.stdout).toContain('pays       at most 520 sat/EH');
    expect(shown.stdout).toContain('binding    work, payout\n');
    const toml = await sharestream(['offer', 'show', line, '--toml']);
    const proxy = join(folder, 'proxy.toml');
    const rest = `work_total = "100 EH"
[[destination]]
name = "own"
url = "stratum+tcp://127.0.0.1:3334"
worker = "account.rig"
[payout]
address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
[chain]
rpc_url = "http://127.0.0.1:18443"
`;
    writeFileSync(proxy, `network = "regtest"\n${toml.stdout}${rest}`);
    const { contract } = loadConfig('proxy', { file: proxy, env: {} });
    expect(contract).toMatchObject({ makerNodeId: nodeId, priceMsatPerEh: 520_000n });
    expect(await refusal(['offer', 'show', line.slice(0, -2)])).toBe('1 bad_offer');
    expect(await refusal(['offer', 'make', '--config', config, '--endpoint', 'here'])).toBe('2 usage');
  });
});
