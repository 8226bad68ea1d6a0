import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { sleep, systemClock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import { formatSi } from '../base/units.ts';
import { ChainRpcClient } from '../chain/rpc-client.ts';
import { AMOUNT, HTTP_URL, Invalid, LISTEN } from '../config/values.ts';
import { startAsics } from '../devnet/asic/asic.ts';
import type { AsicReport } from '../devnet/asic/asic-spec.ts';
import {
  DEVNET_BITS,
  DEVNET_PRICE_MSAT_PER_EH,
  DEVNET_SHARE_DIFFICULTY,
  DEVNET_STEP_HASHES,
  type Devnet,
  POOL_SCRIPT_HEX,
  startDevnet,
} from '../devnet/devnet.ts';
import { devnetMakerToml, devnetProxyToml } from '../devnet/role-config.ts';
import { silentLogger } from '../log/logger.ts';
import { type Command, type CommandIo, numberOption, type ParsedOptions } from './command.ts';
import { stopSignal } from './serve.ts';

const PORTS = {
  chain: 18_443,
  node: 18_533,
  'node-rpc': 18_534,
  pool: 18_633,
  'maker-pool': 18_634,
} as const;
const BLOCK_SECONDS = 10;
/** Enough for the faucet and for the other transactions of blocks. */
const FILLER_COINS = 100;
const WORK_TOTAL_STEPS = 1000n;
const MAX_BUDGET_SAT = 3_000_000n;
const CALL_TIMEOUT_MS = 60_000;
const ASICS = 3;
const ASIC_HASHES_PER_SECOND = 150_000;
const REPORT_MS = 5_000;
const MAX_ADDRESSES = 20;
const MAX_GENERATED = 1_000;
/** In the configurations, for what only the two parties know. */
const BLANKS = {
  makerNodeId: 'NODE_ID_OF_THE_MAKER',
  proxyNodeId: 'NODE_ID_OF_THE_PROXY',
  payout: 'ADDRESS_OF_THE_MINER',
};

export const devnetCommand: Command = {
  name: 'devnet',
  summary: 'a simulated chain, Braidpool node and pool on this machine, to try proxy and maker against',
  usage: '[--out DIR] [--binding payout|work]  |  fund ADDRESS...  |  mine [N]  |  asics HOST:PORT',
  words: 1 + MAX_ADDRESSES,
  help: [
    'Without an action it runs until Ctrl+C, on loopback, keeps nothing, and prints what to put into the configurations of a',
    'proxy and a market maker, or writes both to DIR. The coins are worth nothing; the proof of work is real, and small enough',
    'for a processor. Blocks come from whoever finds one, else after --block-interval.',
    '',
    'fund    sends coins of the running devnet to each address and mines a block: maker and proxy both pay into a channel.',
    'mine    mines N blocks there now (default 1).',
    'asics   hashes for real against a Stratum port, as a small farm would, until Ctrl+C.',
  ],
  options: {
    out: {
      type: 'string',
      value: 'DIR',
      help: 'write proxy.toml and maker.toml there; never over another file',
    },
    strangers: {
      type: 'boolean',
      help: 'the two do not know each other: the maker serves whoever comes, the miner asks for quotes',
    },
    'chain-port': port('JSON-RPC of the chain, as bitcoind has it', PORTS.chain),
    'node-port': port('Stratum of the node', PORTS.node),
    'node-rpc-port': port('JSON-RPC of the node', PORTS['node-rpc']),
    'pool-port': port('Stratum of the pool', PORTS.pool),
    'maker-pool-port': port("Stratum of the market maker's pool, with --binding work", PORTS['maker-pool']),
    binding: {
      type: 'string',
      value: 'WHAT',
      help: 'in the configurations: payout (default), jobs of the node that pay the maker; or work, jobs of a pool of the maker',
    },
    'block-interval': {
      type: 'string',
      value: 'SECONDS',
      help: `a block when nobody found one for so long (default ${BLOCK_SECONDS}; 0: on command alone)`,
    },
    'rpc-url': {
      type: 'string',
      value: 'URL',
      help: `fund, mine: the chain of the running devnet (default http://127.0.0.1:${PORTS.chain})`,
    },
    amount: { type: 'string', value: 'AMOUNT', help: 'fund: how much (default "1 BTC")' },
    miners: { type: 'string', value: 'N', help: `asics: how many (default ${ASICS})` },
    rate: {
      type: 'string',
      value: 'N',
      help: `asics: hashes a second of each (default ${ASIC_HASHES_PER_SECOND})`,
    },
    'with-parent': {
      type: 'boolean',
      help: 'stop when standard input ends, as when the parent process dies',
    },
  },
  run: async (options, io) => {
    const [action, ...words] = options.positionals;
    if (action === undefined) return run(options, io);
    if (action === 'fund') return fund(words, options, io);
    if (words.length > 1) throw new CodedError('usage', `what is ${JSON.stringify(words[1])}?`);
    if (action === 'mine') return mine(words[0], options, io);
    if (action === 'asics') return runAsics(words[0], options, io);
    throw new CodedError('usage', 'say `devnet`, `devnet fund`, `devnet mine` or `devnet asics`');
  },
};

function port(what: string, fallback: number): Command['options'][string] {
  return { type: 'string', value: 'PORT', help: `${what} (default ${fallback}; 0 takes any)` };
}

async function run(options: ParsedOptions, io: CommandIo): Promise<number> {
  const isJson = options.flag('json');
  const out = options.text('out');
  const areStrangers = options.flag('strangers');
  // The maker's own jobs need nothing of the miner's.
  const binding = options.text('binding') ?? (areStrangers ? 'work' : 'payout');
  if (binding !== 'payout' && binding !== 'work')
    throw new CodedError('usage', '--binding must be payout or work');
  if (areStrangers && binding !== 'work') throw new CodedError('usage', '--strangers is of binding work');
  const seconds = wholeOption(options, 'block-interval', BLOCK_SECONDS, 86_400);
  const stopped = stopSignal(options.flag('with-parent'));
  const devnet = await startDevnet(
    {
      ...{ bits: DEVNET_BITS, shareDifficulty: DEVNET_SHARE_DIFFICULTY, fillerCoins: FILLER_COINS },
      ...(seconds === 0 ? {} : { blockIntervalMs: seconds * 1000 }),
      // Between the easiest and the hardest share of the contract.
      ...(binding === 'work' ? { makerPoolDifficulty: DEVNET_SHARE_DIFFICULTY * 2 } : {}),
      ports: {
        chain: wholeOption(options, 'chain-port', PORTS.chain, 65_535),
        node: wholeOption(options, 'node-port', PORTS.node, 65_535),
        nodeRpc: wholeOption(options, 'node-rpc-port', PORTS['node-rpc'], 65_535),
        pool: wholeOption(options, 'pool-port', PORTS.pool, 65_535),
        makerPool: wholeOption(options, 'maker-pool-port', PORTS['maker-pool'], 65_535),
      },
    },
    { clock: systemClock, random: systemRandom, log: silentLogger },
  );
  try {
    const config = configsOf(devnet, areStrangers);
    const files = out === undefined ? undefined : writeConfigs(out, config);
    const { chain, node, pool, makerPool, rpcUrl } = devnet;
    const at: Places = {
      chain_rpc_url: rpcUrl,
      node: `stratum+tcp://${node.host}:${node.port}`,
      node_rpc_url: node.rpcUrl,
      pool: `stratum+tcp://${pool.host}:${pool.port}`,
      ...(makerPool === undefined
        ? {}
        : { maker_pool: `stratum+tcp://${makerPool.host}:${makerPool.port}` }),
    };
    if (isJson) {
      const json = {
        pid: process.pid,
        ...at,
        binding_script: POOL_SCRIPT_HEX,
        config,
        files: files ?? null,
      };
      io.stdout.write(`${JSON.stringify(json)}\n`);
    } else {
      io.stdout.write(`${introduction(at, config, files)}\n`);
      chain.onTip(({ height, hash }) => io.stdout.write(`block ${height}  ${hash}\n`));
    }
    await stopped;
  } finally {
    await devnet.close();
    process.stdin.destroy();
  }
  if (!isJson) io.stdout.write('stopped\n');
  return 0;
}

type Configs = { readonly proxy: string; readonly maker: string };

type Places = Readonly<Record<'chain_rpc_url' | 'node' | 'node_rpc_url' | 'pool', string>> & {
  readonly maker_pool?: string;
};

function configsOf({ node, pool, makerPool, rpcUrl }: Devnet, areStrangers: boolean): Configs {
  const market = {
    areStrangers,
    peerListen: '127.0.0.1:7333',
    shareDifficulty: DEVNET_SHARE_DIFFICULTY,
    stepHashes: DEVNET_STEP_HASHES,
    priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH,
    chainToml: `rpc_url = "${rpcUrl}"\npoll = "500ms"`,
    ...(makerPool === undefined ? {} : { makerPool: `${makerPool.host}:${makerPool.port}` }),
  };
  return {
    proxy: devnetProxyToml({
      ...market,
      dataDir: 'proxy-data',
      metricsListen: '127.0.0.1:9332',
      stratumListen: '127.0.0.1:3333',
      node: `${node.host}:${node.port}`,
      nodeRpcUrl: node.rpcUrl,
      pool: `${pool.host}:${pool.port}`,
      workers: ['devnet', 'devnet.farm'],
      makerNodeId: BLANKS.makerNodeId,
      workTotalHashes: DEVNET_STEP_HASHES * WORK_TOTAL_STEPS,
      payoutToml: `address = "${BLANKS.payout}"`,
    }),
    maker: devnetMakerToml({
      ...market,
      dataDir: 'maker-data',
      metricsListen: '127.0.0.1:9333',
      minerNodeId: BLANKS.proxyNodeId,
      maxBudgetSat: MAX_BUDGET_SAT,
    }),
  };
}

function writeConfigs(out: string, config: Configs): Configs {
  const folder = resolve(out);
  mkdirSync(folder, { recursive: true });
  const files = { proxy: join(folder, 'proxy.toml'), maker: join(folder, 'maker.toml') };
  writePrivateFile(files.proxy, config.proxy);
  writePrivateFile(files.maker, config.maker);
  return files;
}

function introduction(at: Places, config: Configs, files: Configs | undefined): string {
  const [proxy, maker] =
    files === undefined
      ? [`# proxy.toml\n${config.proxy}`, `# maker.toml\n${config.maker}`]
      : [`proxy   ${files.proxy}`, `maker   ${files.maker}`];
  return [
    `chain   ${at.chain_rpc_url}  (JSON-RPC as of bitcoind, regtest, no password)`,
    `node    ${at.node}  (Braidpool; its JSON-RPC at ${at.node_rpc_url})`,
    `pool    ${at.pool}`,
    ...(at.maker_pool === undefined
      ? []
      : [`        ${at.maker_pool}  (of the market maker, whose jobs are sold)`]),
    '',
    proxy,
    maker,
    '',
    'Put in what only you know:',
    ...(config.proxy.includes(BLANKS.makerNodeId)
      ? [
          `  ${BLANKS.makerNodeId}   the node id that \`sharestream keys new maker --config maker.toml\` prints`,
          `  ${BLANKS.proxyNodeId}   that of \`sharestream keys new proxy --config proxy.toml\``,
        ]
      : []),
    `  ${BLANKS.payout}   any regtest address, such as the one printed with it`,
    'and give coins to both wallets: sharestream devnet fund ADDRESS_OF_THE_MAKER ADDRESS_OF_THE_MINER',
    '',
    'Ctrl+C ends it; nothing of the chain is kept.',
  ].join('\n');
}

async function fund(addresses: readonly string[], options: ParsedOptions, io: CommandIo): Promise<number> {
  const [first] = addresses;
  if (first === undefined) throw new CodedError('usage', 'say which address');
  const sats = parsed(AMOUNT, options.text('amount') ?? '1 BTC', '--amount');
  const [payments, height] = await withChain(options, async (call) => {
    const paid: { address: string; txid: unknown }[] = [];
    for (const address of addresses) {
      paid.push({ address, txid: await call('sendtoaddress', [address, Number(sats) / 1e8]) });
    }
    await call('generatetoaddress', [1, NOBODY]);
    return [paid, await call('getblockcount', [])];
  });
  const lines = payments.map(({ address, txid }) => `${sats} sat for ${address}: ${String(txid)}`);
  const json = { sats: String(sats), payments, height };
  const text = [...lines, `in block ${String(height)}`].join('\n');
  io.stdout.write(`${options.flag('json') ? JSON.stringify(json) : text}\n`);
  return 0;
}

/** Pays nobody: anyone could spend it. */
const NOBODY = 'bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85';

async function mine(count: string | undefined, options: ParsedOptions, io: CommandIo): Promise<number> {
  const blocks = whole(count ?? '1', 'N', MAX_GENERATED);
  const height = await withChain(options, async (call) => {
    for (let mined = 0; mined < blocks; mined += 1) await call('generatetoaddress', [1, NOBODY]);
    return call('getblockcount', []);
  });
  io.stdout.write(`${options.flag('json') ? JSON.stringify({ height }) : `height ${String(height)}`}\n`);
  return 0;
}

type Call = (method: string, params: readonly unknown[]) => Promise<unknown>;

async function withChain<T>(options: ParsedOptions, act: (call: Call) => Promise<T>): Promise<T> {
  const url = parsed(HTTP_URL, options.text('rpc-url') ?? `http://127.0.0.1:${PORTS.chain}`, '--rpc-url');
  const client = new ChainRpcClient({ url, timeoutMs: CALL_TIMEOUT_MS }, { timers: systemTimers });
  try {
    return await act((method, params) => client.call(method, params));
  } finally {
    client.close();
  }
}

async function runAsics(at: string | undefined, options: ParsedOptions, io: CommandIo): Promise<number> {
  if (at === undefined) throw new CodedError('usage', 'say where to: HOST:PORT');
  const address = parsed(LISTEN, at, 'HOST:PORT');
  const miners = whole(options.text('miners') ?? String(ASICS), '--miners', 1_000);
  const hashesPerSecond = numberOption(options, 'rate', ASIC_HASHES_PER_SECOND);
  const names = Array.from({ length: miners }, (_, index) => `farm.rig${index + 1}`);
  const fleet = await startAsics(names.map((worker) => ({ ...address, worker, hashesPerSecond })));
  const stopping = new AbortController();
  const stopped = stopSignal(options.flag('with-parent')).then(() => stopping.abort());
  try {
    while (!stopping.signal.aborted) {
      await sleep(systemTimers, REPORT_MS, stopping.signal);
      if (!options.flag('json')) io.stdout.write(`${reportLine(await fleet.refresh())}\n`);
    }
    await stopped;
  } finally {
    const reports = await fleet.stop();
    process.stdin.destroy();
    const rows = reports.map(({ worker, submitted, accepted, rejected }) => {
      return { worker, submitted, accepted, rejected };
    });
    if (options.flag('json')) io.stdout.write(`${JSON.stringify({ asics: rows })}\n`);
  }
  return 0;
}

function reportLine(reports: readonly AsicReport[]): string {
  const sum = (pick: (report: AsicReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  const refused = sum(({ rejected }) => Object.values(rejected).reduce((all, count) => all + count, 0));
  return (
    `${sum(({ connected }) => (connected ? 1 : 0))} of ${reports.length} connected, ` +
    `${formatSi(
      sum(({ hashes }) => hashes),
      'H',
    )} hashed, ` +
    `${sum(({ accepted }) => accepted)} shares accepted, ${refused} refused`
  );
}

type Parser<T> = { readonly parse: (input: string) => T | Invalid };

function parsed<T>(kind: Parser<T>, text: string, name: string): T {
  const value = kind.parse(text);
  if (value instanceof Invalid) throw new CodedError('usage', `${name} ${value.why}`);
  return value;
}

function wholeOption(options: ParsedOptions, name: string, fallback: number, most: number): number {
  const text = options.text(name);
  return text === undefined ? fallback : whole(text, `--${name}`, most);
}

function whole(text: string, name: string, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= most)) throw new CodedError('usage', `${name} must be a whole number up to ${most}`);
  return value;
}
