import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { BindingConfig, BraidpoolConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';

const folder = mkdtempSync(join(tmpdir(), 'bead-'));
afterAll(() => rmSync(folder, { recursive: true }));

const MAKER = 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4';
const OTHER = '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa';
const SCRIPT = '0014751e76e8199196d454941c45d1b3a323f1433bd6';

let count = 0;
function file(text: string): { readonly file: string; readonly env: Record<string, string> } {
  const path = join(folder, `${count++}.toml`);
  writeFileSync(path, text);
  return { file: path, env: { HOME: '/home-of-test' } };
}

function bindingOf(
  worker: string,
  lines = '',
  profile = 'braidpool',
  rpcUrl?: string,
): BindingConfig | undefined {
  const rpc = rpcUrl === undefined ? '' : `rpc_url = "${rpcUrl}"\n`;
  const text = `network = "mainnet"\ndata_dir = "data"\n[[destination]]\nname = "node"
url = "stratum+tcp://node.example:3333"\nworker = "${worker}"\nprofile = "${profile}"\nrole = "contract"
${rpc}[contract]\nenabled = true\nmaker_url = "maker.example:7333"\nmaker_node_id = "${'c6'.repeat(32)}"
price = "520 sat/EH"\nwork_total = "100 EH"\nbinding = "bead"
[contract.bead_binding]\n${lines}\n[payout]\naddress = "${MAKER}"\n[chain]\nrpc_url = "http://127.0.0.1:8332"\n`;
  return loadConfig('proxy', file(text)).contract?.binding;
}

function braidpoolOf(lines: string): BraidpoolConfig | undefined {
  const text = `network = "mainnet"\ndata_dir = "data"\n[policy]\nmax_price = "520 sat/EH"\n${lines}`;
  return loadConfig('maker', file(text)).braidpool;
}

function problems(load: () => unknown): string[] {
  try {
    load();
    return [];
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return (error.meta['problems'] as Problem[]).map(({ path }) => path);
  }
}

describe('a contract bound by beads, as configured', () => {
  const paid = `payout_address = "${MAKER}"`;

  it('is of a Braidpool node whose worker begins with the address of the maker', () => {
    const binding = {
      type: 'bead',
      scriptHex: SCRIPT,
      profile: 'as_is',
      stopPpb: 1000,
      maxLossSat: 10_000n,
    };
    expect(bindingOf(MAKER, paid)).toEqual(binding);
    expect(bindingOf(`${MAKER}.rig.1`, `${paid}\nprofile = "weak"`)).toEqual({
      ...binding,
      profile: 'weak',
    });
  });

  it('needs the RPC of a node that commits to the payee in each job, which tells what to', () => {
    const lines = `${paid}\nprofile = "spec"`;
    expect(problems(() => bindingOf(MAKER, lines))).toEqual(['destination.0.rpc_url']);
    const rpcUrl = 'http://127.0.0.1:6682';
    expect(bindingOf(MAKER, lines, 'braidpool', rpcUrl)).toMatchObject({ profile: 'spec' });
  });

  it('F5: is refused with any other worker, before anything is mined', () => {
    for (const worker of [OTHER, `${OTHER}.${MAKER}`, 'account', `rig.${MAKER}`, SCRIPT])
      expect(
        problems(() => bindingOf(worker, paid)),
        worker,
      ).toEqual(['destination.0.worker']);
    expect(problems(() => bindingOf(MAKER, paid, 'generic'))).toEqual(['destination.0.profile']);
    expect(problems(() => bindingOf(MAKER))).toEqual(['contract.bead_binding.payout_address']);
    expect(problems(() => bindingOf(MAKER, 'payout_address = "tb1q"'))).toEqual([
      'contract.bead_binding.payout_address',
    ]);
  });
});

describe('the Braidpool node of a maker, as configured', () => {
  it('is none unless named, and needs an address', () => {
    expect(braidpoolOf('')).toBeUndefined();
    const rpc = '[braidpool]\nrpc_url = "http://127.0.0.1:6682"\n';
    expect(braidpoolOf(`${rpc}payout_address = "${MAKER}"\n`)).toEqual({
      ...{ rpcUrl: 'http://127.0.0.1:6682', scriptHex: SCRIPT, profiles: ['as_is'] },
      ...{ minStopPpb: 1000, maxLossSat: 10_000n },
    });
    expect(problems(() => braidpoolOf(rpc))).toEqual(['braidpool.payout_address']);
    expect(problems(() => braidpoolOf(`[braidpool]\npayout_address = "${MAKER}"\n`))).toEqual([
      'braidpool.rpc_url',
    ]);
    expect(problems(() => braidpoolOf(`${rpc}payout_address = "${MAKER}"\nprofiles = []\n`))).toEqual([
      'braidpool.profiles',
    ]);
  });
});
