import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';

const folder = mkdtempSync(join(tmpdir(), 'contract-lease-'));
afterAll(() => rmSync(folder, { recursive: true }));

const MAKER = '79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798';
const LEDGER = '[ledger]\nurl = "postgres://writer@127.0.0.1/sharestream"\ninstance = "proxy-1"\n';

/** The lease of the contract in ms, or why it is refused. */
function leaseOf(more: string, ledger = LEDGER): number | undefined | readonly string[] {
  const file = join(folder, 'proxy.toml');
  writeFileSync(
    file,
    `[[destination]]
name = "own"
url = "stratum+tcp://own.example:3333"
worker = "w"
[contract]
enabled = true
maker_url = "192.0.2.3:7333"
maker_node_id = "${MAKER}"
price = "46000 sat/PH/day"
work_total = "3000 EH"
${more}
[payout]
address = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"
[chain]
rpc_url = "http://127.0.0.1:8332"
${ledger}`,
  );
  try {
    return loadConfig('proxy', { file, env: { HOME: '/h' } }).contract?.leaseMs;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return (error.meta['problems'] as readonly Problem[]).map(({ path, message }) => `${path} ${message}`);
  }
}

it('a contract is leased where that is said, and the ledger is one of several proxies', () => {
  expect(leaseOf('')).toBeUndefined();
  expect(leaseOf('lease = "10s"')).toBe(10_000);
  expect(leaseOf('lease = "1s"')).toEqual([expect.stringContaining('contract.lease')]);
});

it('a lease is refused where several proxies cannot serve the contract', () => {
  const refused = (why: string): unknown => [expect.stringContaining(`contract.lease ${why}`)];
  expect(leaseOf('lease = "10s"', '')).toEqual(refused('needs ledger.url'));
  expect(leaseOf('lease = "10s"\nrenew = true')).toEqual(refused('and contract.renew'));
  expect(leaseOf('lease = "10s"\nmax_unpaid_total = "5000 sat"')).toEqual(
    refused('and contract.max_unpaid_total'),
  );
});
