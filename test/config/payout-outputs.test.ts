import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';

const folder = mkdtempSync(join(tmpdir(), 'payout-outputs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SCRIPT = '0014751e76e8199196d454941c45d1b3a323f1433bd6';
const script = `script = "${SCRIPT}"`;
const address = 'address = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"';
const PATH = 'contract.payout_binding.outputs';

const row = (payee: string, ppm: number): string => `[[${PATH}]]\n${payee}\nppm = ${ppm}\n`;
const TWO = row(script, 990_000) + row(address, 10_000);

/** The payees of a contract with these lines in its section, and those behind it; or what is wrong. */
function outputsOf(lines: string, rows = ''): unknown {
  const file = join(folder, 'proxy.toml');
  writeFileSync(
    file,
    `[[destination]]
name = "solo"
url = "stratum+tcp://solo.example:3333"
worker = "w"
role = "contract"
[contract]
enabled = true
maker_url = "maker.example:7333"
maker_node_id = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
price = "520 sat/EH"
work_total = "100.5 EH"
${lines}
${rows}
[payout]
${script}
[chain]
rpc_url = "http://127.0.0.1:18443"
`,
  );
  chmodSync(file, 0o600);
  try {
    const { contract } = loadConfig('proxy', { file, env: { HOME: '/h' } });
    return contract?.binding.type === 'payout' ? contract.binding.outputs : undefined;
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'config_invalid') throw error;
    return (error.meta['problems'] as Problem[])
      .map(({ path, message }) => `${path} ${message}`)
      .join('\n');
  }
}

describe('a coinbase that binds the work', () => {
  it('pays the maker alone unless it is said whom', () => {
    expect(outputsOf(`binding_script = "${SCRIPT}"`)).toEqual([{ scriptHex: SCRIPT, ppm: 1_000_000 }]);
  });

  it('pays several, each by address or script', () => {
    const paid = [
      { scriptHex: SCRIPT, ppm: 990_000 },
      { scriptHex: '0014c0cebcd6c3d3ca8c75dc5ec62ebe55330ef910e2', ppm: 10_000 },
    ];
    expect(outputsOf('binding = "payout"', TWO)).toEqual(paid);
    expect(outputsOf(`binding_script = "${SCRIPT}"`, TWO)).toEqual(paid);
  });

  it.each([
    [row(script, 990_000), 'have 990000 ppm together, and must have 1,000,000'],
    [row(script, 500_000).repeat(2), 'name one payee twice'],
    [row('', 1_000_000), '.0.address or script: a payee has one of them'],
    [row(`${script}\n${address}`, 1_000_000), '.0.address or script: a payee has one of them'],
    [row('address = "bc1qnone"', 1_000_000), '.0.address bc1qnone'],
  ])('is refused with %j', (rows, problem) => {
    expect(outputsOf('binding = "payout"', rows)).toContain(problem);
  });

  it('is refused under another binding, in version 2, and where the script of the maker is not among them', () => {
    expect(outputsOf('binding = "work"', TWO)).toContain(`${PATH} is for contract.binding "payout"`);
    const old = `binding_script = "${SCRIPT}"\nterms_version = 2`;
    expect(outputsOf(old, TWO)).toContain(`contract.terms_version 2 has no ${PATH}`);
    const other = `binding_script = "${SCRIPT.replace('75', '76')}"`;
    expect(outputsOf(other, TWO)).toContain(`contract.binding_script is none of ${PATH}`);
  });
});
