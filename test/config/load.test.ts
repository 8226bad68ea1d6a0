import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import { type ConfigInput, explainConfig, loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';
import { readSecretFile } from '../../src/config/secrets.ts';

const folder = mkdtempSync(join(tmpdir(), 'config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NODE_ID = 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';
const DESTINATION =
  '[[destination]]\nname = "own"\nurl = "stratum+tcp://pool.example:3333"\nworker = "w"\n';
const CONTRACT = `[stratum.difficulty]
min = 1024
[[destination]]
name = "buyer"
url = "stratum+tcp://buyer.example:3333"
worker = "m"
role = "contract"
[contract]
enabled = true
maker_url = "maker.example:7333"
maker_node_id = "${NODE_ID.toUpperCase()}"
price = "520 sat/EH"
work_total = "100.5 EH"
[payout]
address = "bcrt1qexample"
[chain]
rpc_url = "http://127.0.0.1:18443"
`;

/** The contract with these lines more. */
const bound = (lines: string): string => CONTRACT.replace('[payout]', `${lines}\n[payout]`);

let count = 0;
function file(text: string, mode = 0o644): string {
  const path = join(folder, `${count++}.toml`);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

function input(text: string, more: Partial<ConfigInput> = {}): ConfigInput {
  return { file: file(text), env: { HOME: '/home-of-test' }, ...more };
}

/** The problems of a configuration as `path message`, and their lines. */
function problemsOf(
  role: 'proxy' | 'maker',
  given: ConfigInput,
): { text: string; line: number | undefined }[] {
  try {
    loadConfig(role, given);
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'config_invalid') throw error;
    return (error.meta['problems'] as Problem[]).map((problem) => ({
      text: `${problem.path} ${problem.message}`,
      line: problem.source?.type === 'file' ? problem.source.line : undefined,
    }));
  }
  return [];
}

describe('loadConfig', () => {
  it('fills in defaults and resolves paths', () => {
    const config = loadConfig('proxy', input(DESTINATION));
    expect(config.stratum.listen).toEqual({ host: '127.0.0.1', port: 3333 });
    expect(config.stratum.versionMask).toBe(0x1fffe000);
    expect(config.dataDir).toBe('/home-of-test/.sharestream/proxy');
    expect(config.keys.seedFile).toBe('/home-of-test/.sharestream/proxy/seed');
    expect(config.contract).toBeUndefined();
    expect(config.chain).toBeUndefined();
    const relative = loadConfig('proxy', input(`data_dir = "state"\n${DESTINATION}`));
    expect(relative.dataDir).toBe(join(folder, 'state'));
  });

  it('lets flags win over the environment over the file over the defaults', () => {
    const text = `[log]\nlevel = "debug"\n[metrics]\nlisten = "127.0.0.1:1"\n[stratum]\nlisten = "127.0.0.1:2"\n${DESTINATION}`;
    const env = {
      HOME: '/h',
      SHARESTREAM_METRICS__LISTEN: '127.0.0.1:11',
      SHARESTREAM_STRATUM__LISTEN: '127.0.0.1:12',
    };
    const config = loadConfig('proxy', input(text, { env, flags: { 'stratum.listen': '127.0.0.1:22' } }));
    expect(config.log.level).toBe('debug');
    expect(config.metrics.listen.port).toBe(11);
    expect(config.stratum.listen.port).toBe(22);
    expect(config.network).toBe('mainnet');
  });

  it('takes a whole configuration from the environment, lists included', () => {
    const config = loadConfig('proxy', {
      env: {
        HOME: '/h',
        SHARESTREAM_CONFIG: 'the command line reads this one',
        SHARESTREAM_COMMIT: 'and this one',
        SHARESTREAM_DATA_DIR: '/var/lib/x',
        SHARESTREAM_DESTINATION__0__NAME: 'a',
        SHARESTREAM_DESTINATION__0__URL: 'stratum+tcp://a.example:1',
        SHARESTREAM_DESTINATION__0__WORKER: 'w',
        SHARESTREAM_METRICS__ALLOWED_HOSTS: 'proxy, other',
        SHARESTREAM_LOG__LEVEL: '',
      },
    });
    expect(config.dataDir).toBe('/var/lib/x');
    expect(config.destinations).toMatchObject([
      { name: 'a', host: 'a.example', port: 1, role: 'fallback' },
    ]);
    expect(config.metrics.allowedHosts).toEqual(['proxy', 'other']);
    expect(config.log.level).toBe('info');
  });

  it('is frozen all the way down', () => {
    const config = loadConfig('proxy', input(DESTINATION + CONTRACT));
    const loose = config as { -readonly [K in keyof typeof config]: (typeof config)[K] };
    expect(() => {
      loose.network = 'regtest';
    }).toThrow(TypeError);
    expect(Object.isFrozen(config.destinations[0])).toBe(true);
    expect(Object.isFrozen(config.contract?.payout)).toBe(true);
  });

  it.each([
    ['', 3, 'work'],
    ['binding = "work"', 3, 'work'],
    ['binding_script = "0014751e76e8199196d454941c45d1b3a323f1433bd6"', 3, 'payout'],
    ['terms_version = 2', 2, 'none'],
    ['terms_version = 2\nbinding_script = "0014751e76e8199196d454941c45d1b3a323f1433bd6"', 2, 'payout'],
  ])('binds the work of a contract with %j', (lines, termsVersion, type) => {
    const { contract } = loadConfig('proxy', input(DESTINATION + bound(lines)));
    expect(contract).toMatchObject({ termsVersion, binding: { type } });
  });

  it('is metering without money with "binding = none", which takes no price', () => {
    const free = bound('binding = "none"')
      .replace(/^price = .*\n/m, '')
      .replace(/\[payout\]\n[\s\S]*/, '');
    const { contract, metering, chain } = loadConfig('proxy', input(DESTINATION + free));
    expect(contract).toBeUndefined();
    expect(metering).toMatchObject({ name: 'first', stepHashes: expect.any(BigInt) as bigint });
    expect(chain).toBeUndefined();
    const priced = `${DESTINATION}${bound('binding = "none"')}`;
    expect(() => loadConfig('proxy', input(priced))).toThrow('contract.price is not for contract.binding');
    for (const money of ['bonds.mode = "hostage"', 'seal.enabled = true', 'budget = "1 sat"'])
      expect(() => loadConfig('proxy', input(`${DESTINATION}${free}${money}\n`))).toThrow(
        'is not for contract.binding',
      );
  });

  it('needs no node at a maker that only meters', () => {
    const text = '[policy]\nmax_price = "46000 sat/PH/day"\nbindings = ["none"]\n';
    expect(loadConfig('maker', input(text)).chain).toBeUndefined();
    const both = text.replace('["none"]', '["none", "payout"]');
    expect(loadConfig('maker', input(both)).chain?.rpcUrl).toBe('http://127.0.0.1:8332');
  });

  it('needs no destination for jobs that the market maker gives', () => {
    const text = CONTRACT.replace(/\[\[destination\]\]\n(.*\n){4}/, '');
    const { contract, destinations } = loadConfig('proxy', input(DESTINATION + text));
    expect(destinations.map(({ name }) => name)).toEqual(['own']);
    expect(contract?.binding).toEqual({
      ...{ type: 'work', hardestShare: 64 * 65_536, extranonce2Bytes: 8, foreignChain: false },
      ...{ withdrawalsPerBlock: 480, solutionsPerMinute: 1200 },
    });
  });

  it('names no share by itself that is worth more than a step, whatever step and share', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 40 }),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(3),
        (bits, shares, more) => {
          const step = 2n ** BigInt(bits) * BigInt(shares) + BigInt(more);
          const lines = [
            `step = "${step} H"`,
            `work_total = "${step * 4n} H"`,
            `share_difficulty = ${2 ** (bits - 32)}`,
          ];
          const text = CONTRACT.replace(/^work_total = .*\n/m, '').replace(
            '[contract]',
            `[contract]\n${lines.join('\n')}`,
          );
          const { contract } = loadConfig('proxy', input(DESTINATION + text));
          const { hardestShare } = contract!.binding as { hardestShare: number };
          const shareHashes = workOfTarget(targetOfDifficulty(hardestShare));
          expect(shareHashes <= step || hardestShare === contract!.shareDifficulty).toBe(true);
        },
      ),
    );
  });

  it('reads a contract into plain units, and works out its budget', () => {
    const config = loadConfig('proxy', input(DESTINATION + CONTRACT));
    expect(config.contract).toMatchObject({
      maker: { host: 'maker.example', port: 7333 },
      makerNodeId: NODE_ID,
      priceMsatPerEh: 520_000n,
      workTotalHashes: 100_500_000_000_000_000_000n,
      stepHashes: 10n ** 18n,
      budgetSat: 52_260n,
      reserveSat: 1000n,
      staleGraceSeconds: 30,
      payout: { type: 'address', address: 'bcrt1qexample' },
    });
    expect(config.destinations.map(({ name }) => name)).toEqual(['buyer', 'own']);
    expect(config.chain).toEqual({
      rpcUrl: 'http://127.0.0.1:18443',
      auth: { type: 'none' },
      otherNodes: [],
      pollMs: 5000,
      feeRateSatPerKvb: 5000,
      blockIntervalMs: 600_000,
    });
  });

  it('takes several bitcoin nodes, each with its own access, and projects no heights on regtest', () => {
    const nodes = '[[chain.nodes]]\nrpc_url = "http://192.0.2.7:8332"\ncookie_file = "c"\n';
    const { chain } = loadConfig('proxy', input(`${CONTRACT}${nodes}`));
    expect(chain?.rpcUrl).toBe('http://127.0.0.1:18443');
    expect(chain?.otherNodes).toMatchObject([
      { rpcUrl: 'http://192.0.2.7:8332', auth: { type: 'cookie' } },
    ]);
    const alone = CONTRACT.replace(/rpc_url.*\n/, '') + nodes;
    expect(loadConfig('proxy', input(alone)).chain).toMatchObject({
      ...{ rpcUrl: 'http://192.0.2.7:8332', auth: { type: 'cookie' }, otherNodes: [] },
    });
    const regtest = loadConfig('proxy', input(`network = "regtest"\n${CONTRACT}`));
    expect(regtest.chain?.blockIntervalMs).toBe(0);
  });

  it('orders fallbacks by priority', () => {
    const more = (name: string, priority: number) =>
      `${DESTINATION.replace('own', name)}priority = ${priority}\n`;
    const config = loadConfig('proxy', input(more('c', 9) + more('a', 1) + more('b', 5)));
    expect(config.destinations.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('reads the policy of a maker', () => {
    const text = `[policy]\nmax_price = "46000 sat/PH/day"\n[peers]\nallow = ["${NODE_ID}", "${NODE_ID}"]\n`;
    const config = loadConfig('maker', input(text));
    expect(config.policy).toMatchObject({ maxPriceMsatPerEh: 532_407n, maxBudgetSat: 1_000_000n });
    expect(config.peers.allow).toEqual([NODE_ID]);
    expect(config.chain!.rpcUrl).toBe('http://127.0.0.1:8332');
    expect(config.peer.listen.port).toBe(7333);
  });
});

describe('problems', () => {
  it('are all told at once, with their lines and what was probably meant', () => {
    const text = `[stratum]
lisen = "x"
max_sessions = 100000000
[stratum.difficulty]
min = 5
max = 2
[foo]
[metrics.listen]
x = 1
[[destination]]
name = "a b"
url = "x"
worker = "w"
`;
    const env = { SHARESTREAM_LOG__LEVEL: 'loud' };
    const problems = problemsOf('proxy', input(text, { env, flags: { 'contract.step': '0 H' } }));
    const expected: [string, number | undefined][] = [
      ['stratum.lisen is not an option; did you mean stratum.listen?', 2],
      ['stratum.max_sessions must be at most 60000', 3],
      ['stratum.difficulty.min must not exceed stratum.difficulty.max', 5],
      ['foo is not an option', 7],
      ['metrics.listen is one value, not a section', 8],
      ['destination.0.name must be a name of 1 to 32 letters, digits, "-" or "_", got "a b"', 11],
      [
        'destination.0.url must be "stratum+tcp://host:port" or, with TLS, "stratum+ssl://host:port", got "x"',
        12,
      ],
      ['log.level must be one of "debug", "info", "warn", "error", got "loud"', undefined],
      ['contract.step must be at least "1 H"', undefined],
    ];
    for (const [problem, line] of expected) expect(problems).toContainEqual({ text: problem, line });
  });

  it('name the file, the line, the variable or the flag', () => {
    const given = input(`network = "moon"\n${DESTINATION}`, {
      env: { SHARESTREAM_LOG__LEVEL: 'loud' },
      flags: { data_dri: 'x' },
    });
    let message = '';
    try {
      loadConfig('proxy', given);
    } catch (error) {
      message = (error as Error).message;
    }
    const [head = '', ...lines] = message.split('\n');
    expect(head).toMatch(/^config_invalid: 3 problems in .*\.toml$/);
    expect(lines[0]).toMatch(/^ {2}line 1: network must be one of .*, got "moon"$/);
    expect(lines[1]).toMatch(/^ {2}SHARESTREAM_LOG__LEVEL: log\.level must be one of /);
    expect(lines[2]).toBe('  flag: data_dri is not an option; did you mean data_dir?');
  });

  it('tell the line of a syntax error', () => {
    expect(problemsOf('proxy', input('[stratum]\nlisten = \n'))).toMatchObject([{ line: 2 }]);
  });

  it('say that a file cannot be read', () => {
    expect(() => loadConfig('proxy', { file: join(folder, 'none.toml'), env: {} })).toThrow(
      /config_unreadable.*ENOENT/,
    );
  });

  it.each([
    ['', 'destination is missing: write at least 1 [[destination]]'],
    [`stratum = 5\n${DESTINATION}`, 'stratum is a section: write [stratum]'],
    [DESTINATION + DESTINATION, 'destination.1.name "own" is taken by another destination'],
    [
      DESTINATION.replace('pool.example', '127.0.0.1'),
      'destination.0.url is the address of the proxy itself (stratum.listen)',
    ],
    [
      `${DESTINATION}[metrics]\nlisten = "0.0.0.0:3333"`,
      'metrics.listen must be another port than stratum.listen',
    ],
    [
      `${DESTINATION}[stratum.difficulty]\nstart = 5`,
      'stratum.difficulty.start must lie between stratum.difficulty.min and max',
    ],
    [
      bound('binding = "none"').replace('role = "contract"', ''),
      'destination needs one with role = "contract" for contract.binding "none"',
    ],
    [bound('binding = "payout"'), 'contract.binding_script is missing: contract.binding "payout" needs it'],
    [
      bound('binding = "work"\nbinding_script = "0014751e76e8199196d454941c45d1b3a323f1433bd6"'),
      'contract.binding_script is for contract.binding "payout"',
    ],
    [
      bound('binding = "work"\nterms_version = 2'),
      'contract.terms_version 2 has no contract.binding "work"',
    ],
    [
      bound('[contract.work_binding]\nhardest_share = 65_535'),
      'contract.work_binding.hardest_share must be at least contract.share_difficulty',
    ],
    [
      CONTRACT.replace(/\[payout\]\n.*\n/, ''),
      'payout.address is missing: contract.enabled needs it (or payout.script)',
    ],
    [CONTRACT.replace(/rpc_url.*\n/, ''), 'chain.rpc_url is missing: contract.enabled needs it'],
    [CONTRACT.replace(/price.*\n/, ''), 'contract.price is missing: contract.enabled needs it'],
    [
      CONTRACT.replace('[payout]', 'budget = "52259 sat"\n[payout]'),
      'contract.budget does not cover work_total at this price: that earns 52260 sat',
    ],
    [
      CONTRACT.replace('[payout]', 'step = "1 ZH"\n[payout]'),
      'contract.work_total must be at least contract.step',
    ],
    [`${CONTRACT}user = "u"\n`, 'chain.password_file is missing: user and password_file belong together'],
    [
      `${CONTRACT}user = "u"\ncookie_file = "c"\n`,
      'chain.cookie_file and chain.user with password_file exclude each other',
    ],
    [
      `${CONTRACT}[[chain.nodes]]\nrpc_url = "http://127.0.0.1:18443"\n`,
      'chain.nodes.0.rpc_url is named twice: one node is no second way out',
    ],
  ])('refuse %j', (text, problem) => {
    expect(problemsOf('proxy', input(text)).map((item) => item.text)).toContain(problem);
  });

  it('of a maker', () => {
    const text =
      '[policy]\nmin_step = "2 EH"\nmax_step = "1 EH"\nmin_expiry_blocks = 500\nmax_expiry_blocks = 400\n';
    expect(problemsOf('maker', input(text)).map((item) => item.text)).toEqual([
      'policy.max_price is missing; for example "46000 sat/PH/day"',
      'policy.min_step must not exceed policy.max_step',
      'policy.min_expiry_blocks must not exceed policy.max_expiry_blocks',
    ]);
  });
});

describe('secrets', () => {
  const withPassword = (path: string) => `${DESTINATION}password_file = "${path}"\n`;

  it('are read from a file that only the owner can read', () => {
    const secret = file(' hunter2\n', 0o600);
    const config = loadConfig('proxy', input(withPassword(secret)));
    expect(config.destinations[0]?.password).toEqual({ type: 'file', file: secret });
    expect(readSecretFile(secret, {})).toBe('hunter2');
  });

  it('are refused when others can read the file or it is not there', () => {
    const open = file('hunter2', 0o640);
    expect(problemsOf('proxy', input(withPassword(open)))[0]?.text).toMatch(
      /password_file cannot be used: .*mode 0640.*chmod 600/,
    );
    expect(problemsOf('proxy', input(withPassword('/nowhere/x')))[0]?.text).toContain('does not exist');
    expect(() => readSecretFile(open, {})).toThrow(/config_unreadable/);
    expect(problemsOf('proxy', input(`${DESTINATION}[keys]\nseed_file = "${open}"`))[0]?.text).toContain(
      'keys.seed_file',
    );
  });

  it('may be group-readable where systemd puts them', () => {
    const secret = file('hunter2', 0o440);
    const env = { CREDENTIALS_DIRECTORY: folder };
    const text = withPassword(`$CREDENTIALS_DIRECTORY/${secret.slice(folder.length + 1)}`);
    expect(loadConfig('proxy', input(text, { env })).destinations[0]?.password).toEqual({
      type: 'file',
      file: secret,
    });
  });

  it('never show up in a message or in the effective configuration', () => {
    const bad = input(`${DESTINATION}password = "hunter2\\u0000"\n`);
    expect(
      problemsOf('proxy', bad)
        .map((item) => item.text)
        .join(),
    ).toMatch(/destination\.0\.password must be/);
    expect(
      problemsOf('proxy', bad)
        .map((item) => item.text)
        .join(),
    ).not.toContain('hunter2');
    const shown = explainConfig('proxy', input(`${DESTINATION}password = "hunter2"\n`));
    expect(JSON.stringify(shown)).not.toContain('hunter2');
    expect(shown).toContainEqual({
      path: 'destination.0.password',
      env: 'SHARESTREAM_DESTINATION__0__PASSWORD',
      value: '(hidden)',
      source: 'file',
    });
    expect(shown.find(({ path }) => path === 'log.level')).toMatchObject({
      value: '"info"',
      source: 'default',
    });
  });
});
