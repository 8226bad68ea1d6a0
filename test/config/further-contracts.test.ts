import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { ProxyConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';

const folder = mkdtempSync(join(tmpdir(), 'further-contracts-'));
afterAll(() => rmSync(folder, { recursive: true }));

const MAKER = '79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798';
const OTHER = 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';

const destination = (name: string, role: string): string =>
  `[[destination]]\nname = "${name}"\nurl = "stratum+tcp://${name}.example:3333"\nworker = "w"\nrole = "${role}"\n`;
const OWN = destination('own', 'fallback');
const FIRST = `[contract]
enabled = true
maker_url = "192.0.2.3:7333"
maker_node_id = "${MAKER}"
price = "46000 sat/PH/day"
work_total = "3000 EH"
step = "2 EH"
max_unpaid_total = "5000 sat"
[contract.work_binding]
withdrawals_per_block = 7
[payout]
address = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"
[chain]
rpc_url = "http://127.0.0.1:8332"
`;

function load(more: string, before = OWN): ProxyConfig {
  const file = join(folder, 'proxy.toml');
  writeFileSync(file, `${before}${FIRST}${more}`);
  return loadConfig('proxy', { file, env: { HOME: '/h' } });
}

function problemsOf(more: string, before = OWN): string[] {
  try {
    load(more, before);
    return [];
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return (error.meta['problems'] as Problem[]).map(({ path, message }) => `${path} ${message}`);
  }
}

describe('contracts beside the first', () => {
  it('take what they leave out from it, in sections too, and their own for the rest', () => {
    const { contract, furtherContracts } = load(`
[[further_contract]]
name = "second"
maker_url = "192.0.2.4:7333"
maker_node_id = "${OTHER}"
price = "50000 sat/PH/day"
rate = "4 PH/s"
[[further_contract]]
name = "third"
weight = 2
[further_contract.work_binding]
withdrawals_per_block = 9
`);
    expect(contract).toMatchObject({ name: 'first', quota: undefined });
    const [second, third] = furtherContracts;
    expect(second).toEqual({
      ...contract,
      ...{ name: 'second', maker: { host: '192.0.2.4', port: 7333 }, makerNodeId: OTHER },
      priceMsatPerEh: second!.priceMsatPerEh,
      budgetSat: second!.budgetSat,
      quota: {
        ...{ type: 'rate', hashesPerSecond: 4_000_000_000_000_000n },
        maxHashesPerSecond: 5_000_000_000_000_000n,
      },
    });
    expect(second!.priceMsatPerEh).toBeGreaterThan(contract!.priceMsatPerEh);
    expect(third).toEqual({
      ...contract,
      ...{ name: 'third', quota: { type: 'weight', weight: 2 } },
      binding: { ...contract!.binding, withdrawalsPerBlock: 9 },
    });
  });

  it('are there none unless written', () => {
    expect(load('').furtherContracts).toEqual([]);
  });

  it.each([
    ['', 'further_contract.0.name is missing: each contract has a name of its own'],
    ['name = "first"', 'further_contract.0.name "first" is taken by another contract'],
    ['name = "b"\nmax_rate = "1 PH/s"', 'further_contract.0.max_rate needs contract.rate'],
    [
      'name = "b"\nrate = "1 PH/s"\nweight = 1',
      'further_contract.0.weight and contract.rate exclude each other',
    ],
    [
      'name = "b"\nrate = "2 PH/s"\nmax_rate = "1 PH/s"',
      'further_contract.0.max_rate must be at least contract.rate',
    ],
    ['name = "b"\nwork_total = "1 EH"', 'further_contract.0.work_total must be at least contract.step'],
    ['name = "b"\nbinding = "none"', 'further_contract.0.binding "none" is for [contract]'],
    ['name = "b"\ndestination = "own"', 'further_contract.0.destination is not for binding "work"'],
    ['name = "b"\nenabled = true', 'further_contract.0.enabled is not an option'],
  ])('%s: is refused where it stands', (rows, problem) => {
    expect(problemsOf(`[[further_contract]]\n${rows}\n`).join('\n')).toContain(problem);
  });

  it('of the miner’s own jobs name their destination where there are several', () => {
    const two = OWN + destination('left', 'contract') + destination('right', 'contract');
    const payout = 'binding = "payout"\nbinding_script = "0014751e76e8199196d454941c45d1b3a323f1433bd6"\n';
    const further = (rows: string): string => `[[further_contract]]\nname = "b"\n${payout}${rows}`;
    expect(problemsOf(further(''), two)).toEqual([
      'further_contract.0.destination is missing: more than one destination has role = "contract"',
    ]);
    expect(problemsOf(further('destination = "own"\n'), two)).toEqual([
      'further_contract.0.destination "own" is no destination with role = "contract"',
    ]);
    expect(load(further('destination = "right"\n'), two).furtherContracts).toMatchObject([
      { destination: 'right', binding: { type: 'payout' } },
    ]);
  });
});
