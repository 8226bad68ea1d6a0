import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { exampleToml } from '../../src/config/document.ts';
import { openConfig } from '../../src/config/load.ts';
import { checkMaker, checkProxy, type Findings } from '../../src/operator/config-check.ts';

const folder = mkdtempSync(join(tmpdir(), 'config-check-'));
afterAll(() => rmSync(folder, { recursive: true }));

const MAKER_ID = '79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798';
const OWN = '[[destination]]\nname = "own"\nurl = "stratum+tcp://192.0.2.1:3333"\nworker = "w"\n';
const BUYER =
  '[[destination]]\nname = "buyer"\nurl = "stratum+tcp://192.0.2.2:3333"\nworker = "m"\nrole = "contract"\n';

type Rows = Readonly<Record<string, string>>;
const CONTRACT: Rows = {
  enabled: 'true',
  maker_url: '"192.0.2.3:7333"',
  maker_node_id: `"${MAKER_ID}"`,
  price: '"46000 sat/PH/day"',
  work_total: '"3000 EH"',
};
const ADDRESS = 'bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq';

function sold(rows: Rows = {}, address = ADDRESS, destinations = BUYER + OWN): string {
  const lines = Object.entries({ ...CONTRACT, ...rows }).map(([key, value]) => `${key} = ${value}`);
  const payout = `[payout]\naddress = "${address}"\n`;
  return `${destinations}[contract]\n${lines.join('\n')}\n${payout}[chain]\nrpc_url = "http://127.0.0.1:8332"\n`;
}

function proxy(toml: string, descriptors: number | undefined = 1_000_000): Findings {
  const file = join(folder, 'proxy.toml');
  writeFileSync(file, toml);
  const { config, destinationPath } = openConfig('proxy', { file, env: { HOME: '/h' } });
  return checkProxy(config, { descriptors, destinationPath });
}

function maker(toml: string): Findings {
  const file = join(folder, 'maker.toml');
  writeFileSync(file, toml);
  return checkMaker(openConfig('maker', { file, env: { HOME: '/h' } }).config);
}

const problems = (found: Findings): string[] =>
  found.problems.map(({ path, message }) => `${path} ${message}`);
const warnings = (found: Findings): string[] =>
  found.warnings.map(({ path, message }) => `${path} ${message}`);

describe('the check of a payout', () => {
  it.each([
    ['bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp', 'does not match its checksum'],
    [
      'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx',
      'is an address of testnet or testnet4 or signet, not of mainnet',
    ],
    ['bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080', 'is an address of regtest, not of mainnet'],
    ['1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa', 'is of a type that no channel pays'],
    ['3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy', 'is of a type that no channel pays'],
    [
      'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn',
      'is an address of testnet or testnet4 or signet or regtest, not of mainnet',
    ],
    ['bc1qexample', 'does not match its checksum'],
    ['hello', 'is no bitcoin address'],
    // BIP350: a valid address of version 2.
    ['bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs', 'is of a type that nobody can spend yet'],
  ])('refuses %s', (address, why) => {
    const found = problems(proxy(sold({}, address)));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`payout.address`);
    expect(found[0]).toContain(why);
  });

  it.each([
    ADDRESS,
    ADDRESS.toUpperCase(),
    // BIP350.
    'bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0',
    'bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3',
  ])('takes %s', (address) => {
    expect(problems(proxy(sold({}, address)))).toEqual([]);
  });
});

describe('the check of a proxy', () => {
  it('finds nothing wrong with a sound contract, and says its figures in all units', () => {
    const found = proxy(sold());
    expect([...problems(found), ...warnings(found)]).toEqual([]);
    const price = found.facts.find(({ path }) => path === 'contract.price');
    expect(price?.text).toBe(
      '532.407 sat/EH = 45999.9648 sat/PH/day = 45.9999648 sat/TH/day = 0.000459999648 BTC/PH/day',
    );
    expect(price?.units).toEqual({
      msat_per_eh: '532407',
      sat_per_eh: '532.407',
      sat_per_th_day: '45.9999648',
      sat_per_ph_day: '45999.9648',
      btc_per_ph_day: '0.000459999648',
      btc_per_eh_day: '0.459999648',
    });
  });

  it('refuses every placeholder of the sample', () => {
    const found = proxy(exampleToml('proxy'));
    expect(found.problems.map(({ path }) => path)).toEqual(['destination.0.url', 'destination.0.worker']);
    expect(found.problems.every(({ isPlaceholder }) => isPlaceholder)).toBe(true);
    const filled = {
      maker_url: '"maker.example:7333"',
      maker_node_id: '"c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"',
      binding_script: '"0014751e76e8199196d454941c45d1b3a323f1433bd6"',
    };
    const contract = proxy(sold(filled, 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'));
    expect(contract.problems.map(({ path, isPlaceholder }) => `${path} ${isPlaceholder}`)).toEqual([
      'contract.maker_url true',
      'contract.maker_node_id true',
      'payout.address true',
      'contract.binding_script true',
    ]);
  });

  it.each<[string, Rows, string]>([
    [
      'a mistyped node id',
      { maker_node_id: `"${'ff'.repeat(32)}"` },
      'contract.maker_node_id is no public key',
    ],
    [
      'a share above all that may be unpaid',
      { share_difficulty: '1e10' },
      'contract.share_difficulty is too hard',
    ],
    [
      'a bound below one step',
      { max_unpaid_total: '"100 sat"' },
      'contract.max_unpaid_total is below the pay',
    ],
    [
      'no block for work',
      { expiry_blocks: '330', min_depth: '6' },
      'contract.expiry_blocks leaves no block',
    ],
    [
      'work worth nothing',
      { work_total: '"1 PH"', step: '"1 TH"' },
      'contract.work_total earns less than one sat',
    ],
  ])('refuses %s', (_name, rows, expected) => {
    expect(problems(proxy(sold(rows))).join('\n')).toContain(expected);
  });

  it('refuses work that the rate of its destination cannot deliver', () => {
    const slow = `${BUYER}rate = "1 TH/s"\n${OWN}`;
    expect(problems(proxy(sold({}, ADDRESS, slow))).join()).toContain(
      'contract.work_total cannot be delivered',
    );
    const fast = `${BUYER}rate = "5 PH/s"\n${OWN}`;
    expect(problems(proxy(sold({}, ADDRESS, fast)))).toEqual([]);
  });

  it('refuses terms that no peer would take', () => {
    const bonds = `${sold()}[contract.bonds]\nmode = "hostage"\nmaker_bond = "9000000 sat"\n`;
    expect(problems(proxy(bonds)).join()).toContain('contract has terms that nobody takes: ');
  });

  it.each<[string, Rows, string]>([
    ['a price of another unit', { price: '"46000 sat/EH"' }, 'contract.price is 46000 sat/EH'],
    ['fees that eat the pay', { work_total: '"5 EH"' }, 'contract.work_total earns 2662 sat, and opening'],
    ['a budget beyond the work', { budget: '"9000000 sat"' }, 'contract.budget has 7402779 sat that'],
    ['a reserve above the budget', { reserve: '"9000000 sat"' }, 'contract.reserve is more than'],
    ['steps without pay', { step: '"1 PH"' }, 'contract.step earns less than one sat'],
    [
      'shares above a step',
      { step: '"100 TH"', max_unpaid_steps: '10' },
      'contract.share_difficulty one share',
    ],
  ])('warns of %s', (_name, rows, expected) => {
    const found = proxy(sold(rows));
    expect(problems(found)).toEqual([]);
    expect(warnings(found).join('\n')).toContain(expected);
  });

  it('warns where the reserve of the miner does not pay for a close', () => {
    const dear = sold({ miner_reserve: '"5000 sat"' }).replace(
      '[chain]',
      '[chain]\nfee_rate = "40 sat/vB"',
    );
    expect(warnings(proxy(dear)).join()).toContain('contract.miner_reserve does not pay for a close');
  });

  it('warns of a contract without a fallback, and of too few descriptors', () => {
    expect(warnings(proxy(sold({}, ADDRESS, BUYER)))).toEqual([
      'destination has no fallback: while the contract pauses, the miners have no work',
    ]);
    expect(warnings(proxy(OWN, 1024)).join()).toContain('this system allows one process 1024 open files');
    expect(warnings(proxy(OWN, 10_200))).toEqual([]);
    expect(warnings(proxy(OWN, undefined))).toEqual([]);
  });
});

describe('the check of a maker', () => {
  const POLICY = '[policy]\nmax_price = "46000 sat/PH/day"\n';
  const peers = (listen: string): string =>
    `[peer]\nlisten = "${listen}:7333"\n[peers]\nallow = ["${MAKER_ID}"]\n${POLICY}`;

  it('says its price in all units, and who can connect', () => {
    expect(maker(peers('0.0.0.0')).facts[0]?.text).toContain('532.407 sat/EH');
    expect(warnings(maker(peers('0.0.0.0')))).toEqual([]);
    expect(warnings(maker(POLICY))).toEqual(['peers.allow is empty: no miner is served']);
    expect(warnings(maker(peers('127.0.0.1'))).join()).toContain('only miners on this machine can connect');
    expect(warnings(maker('[policy]\nmax_price = "46000 sat/EH"\n')).join()).toContain(
      'is the unit right?',
    );
  });

  it('refuses keys that are none, and shares too hard for any step', () => {
    expect(problems(maker(`[peers]\nallow = ["${'ff'.repeat(32)}"]\n${POLICY}`))).toEqual([
      'peers.allow is no public key: a digit is mistyped',
    ]);
    expect(problems(maker(`${POLICY}min_share_difficulty = 1e12\n`)).join()).toContain('is too hard');
    const xpub = '[wallet]\ntype = "file"\nxpub = "xpub6Cat..."\nfingerprint = "73c5da0a"\npath = "m/84"\n';
    expect(maker(POLICY + xpub).problems).toMatchObject([{ path: 'wallet.xpub', isPlaceholder: true }]);
  });
});

it('the bound over all contracts leaves room for a step of each, which need not be signed', () => {
  const further = '[[further_contract]]\nname = "b"\n[[further_contract]]\nname = "c"\n';
  const found = (max: string, more = ''): string[] =>
    problems(proxy(`${sold({ max_unpaid_total: max })}${more}`)).filter((each) =>
      each.includes('max_unpaid'),
    );
  // A step of 1 EH earns 532.4 sat.
  expect(found('"711 sat"')).toEqual([]);
  expect(found('"710 sat"')).toHaveLength(1);
  expect(found('"711 sat"', further)).toHaveLength(1);
  expect(found('"2132 sat"', further)).toEqual([]);
});
