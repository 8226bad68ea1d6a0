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

  it('names the auditor whose rulings are taken, and takes a proxy to it', async () => {
    const key = '02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';
    const config = join(folder, 'audited.toml');
    const audited = `${MAKER.replace('data_dir = "maker"', 'data_dir = "audited"')}
[policy.bonds]
modes = ["auditor"]
max_maker_bond = "5000 sat"
[auditor]
address = "auditor.example:7334"
node_id = "${key.slice(2)}"
key = "${key}"
`;
    writeFileSync(config, audited);
    await sharestream(['keys', 'new', 'maker', '--config', config, '--json']);
    const made = await sharestream(['offer', 'make', '--config', config, '--endpoint', '127.0.0.1:7333']);
    const line = made.stdout.trim();
    const shown = await sharestream(['offer', 'show', line]);
    expect(shown.stdout).toContain(`auditor    ${key} of ${key.slice(2)} at auditor.example:7334\n`);
    expect(shown.stdout).toContain('back after 144 to 4320 blocks, a cure of 6 at least');
    expect((await sharestream(['offer', 'show', line, '--json'])).json()['auditor']).toMatchObject({ key });
    const toml = await sharestream(['offer', 'show', line, '--toml']);
    const proxy = join(folder, 'audited-proxy.toml');
    const rest = `work_total = "100 EH"
bonds = { mode = "auditor", collateral = "3000 sat" }
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
    const { contract, auditor } = loadConfig('proxy', { file: proxy, env: {} });
    expect(auditor).toMatchObject({ host: 'auditor.example', port: 7334, keyHex: key });
    expect(contract?.bonds).toMatchObject({ bondMode: 'auditor', auditorKeyHex: key });
  });
});
