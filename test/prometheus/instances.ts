import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { type ChainRpcServer, startChainRpcServer } from '../../src/devnet/chain/chain-rpc-server.ts';
import { DEVNET_PRICE_MSAT_PER_EH } from '../../src/devnet/devnet.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import { type DevnetPool, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { identity, type Stage, type StageRole, startStage, writeRole } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { until } from '../e2e/evidence.ts';
import type { Target } from './prometheus.ts';

export type Undo = (step: () => Promise<unknown>) => void;
type Env = Readonly<Record<string, string>>;
type Rigs = Parameters<typeof startAsics>[0];

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;
export const SHARE_DIFFICULTY = 2 ** -20;
const POOL_DIFFICULTY = 2 * SHARE_DIFFICULTY;
const STEP_HASHES = 2n ** 16n;
/** So many that the day is over before they are. */
const EXPIRY_BLOCKS = 450;
/** Seldom enough that few shares are late for a block, and often enough for `BLOCK_INTERVAL`. */
const BLOCK_MS = 3_000;
/** Of a block: one is made in a moment. */
const BITS = compactOfTarget((1n << 256n) / 2n ** 14n);
const START_MS = 180_000;
const DEPS = { clock: systemClock, random: systemRandom, log: silentLogger };

/** A daemon of the day, as a process that is started and ended. */
export class Instance {
  readonly target: Target;
  readonly dataDir: string;
  readonly logFile: string;
  readonly #start: (env: Env, before: readonly string[]) => Promise<unknown>;
  readonly #kill: () => Promise<void>;
  readonly #pid: () => number | undefined;

  constructor(
    target: Target,
    place: { readonly dataDir: string; readonly logFile: string },
    process: {
      readonly start: (env: Env, before: readonly string[]) => Promise<unknown>;
      readonly kill: () => Promise<void>;
      readonly pid: () => number | undefined;
    },
  ) {
    this.target = target;
    this.dataDir = place.dataDir;
    this.logFile = place.logFile;
    this.#start = process.start;
    this.#kill = process.kill;
    this.#pid = process.pid;
  }

  get pid(): number {
    return this.#pid()!;
  }

  /**
   * Resolves when it is ready.
   * @param before words of a program that starts it; of a watch alone
   */
  async start(env: Env = {}, before: readonly string[] = []): Promise<void> {
    await this.#start(env, before);
  }

  kill(): Promise<void> {
    return this.#kill();
  }

  /** Sets a limit of the running process, as `prlimit` spells it. */
  limit(words: string): void {
    execFileSync('prlimit', ['--pid', String(this.pid), words]);
  }
}

/** One of ours by its configuration. */
export function daemonOf(
  { instance, role }: { readonly instance: string; readonly role: 'proxy' | 'maker' },
  at: StageRole,
  undo: Undo,
): Instance {
  const logFile = join(at.dataDir, 'log');
  const child = new DaemonProcess({ role, configFile: at.configFile, logFile }, { timers: systemTimers });
  undo(() => child.kill());
  return new Instance(
    { instance, role, url: at.metricsUrl },
    { dataDir: at.dataDir, logFile },
    {
      start: (env) => child.start(START_MS, env),
      kill: () => child.kill(),
      pid: () => child.pid,
    },
  );
}

/**
 * A watch of a folder.
 * @param rpcUrl of its node, at each start
 */
export async function watchOf(
  instance: string,
  place: { readonly directory: string; readonly folder: string; readonly rpcUrl: () => string },
  undo: Undo,
): Promise<Instance> {
  mkdirSync(place.directory, { recursive: true });
  const logFile = join(place.directory, 'log');
  const [port] = await freePorts(1, systemRandom);
  const listen = `127.0.0.1:${port}`;
  let child: ReturnType<typeof spawn> | undefined;
  let exited: Promise<unknown> = Promise.resolve();
  const kill = async (): Promise<void> => {
    child?.kill('SIGKILL');
    await exited;
  };
  const start = async (env: Env, before: readonly string[]): Promise<void> => {
    const log = openSync(logFile, 'a', 0o600);
    const words = ['watch', place.folder, '--network', 'regtest', '--rpc-url', place.rpcUrl()];
    const options = ['--listen', listen, '--read', '1', '--json', '--with-parent'];
    const [program = '', ...rest] = [...before, process.execPath, MAIN, ...words, ...options];
    child = spawn(program, rest, {
      ...{ stdio: ['pipe', 'pipe', log], env: { ...process.env, ...env } },
    });
    closeSync(log);
    const ended = new Promise((resolve) => {
      child!.once('exit', resolve);
    });
    exited = ended;
    const late = systemTimers.after(START_MS, () => child?.kill('SIGKILL'));
    try {
      for await (const _line of createInterface({ input: child.stdout! })) return;
    } finally {
      late.cancel();
    }
    throw new Error(`the watch did not start: ${readFileSync(logFile, 'utf8')}`);
  };
  undo(kill);
  const target = { instance, role: 'watch', url: `http://${listen}` };
  return new Instance(target, { dataDir: place.folder, logFile }, { start, kill, pid: () => child?.pid });
}

/** A bitcoin node of the day that can go away and come back to the same place. */
export class Node {
  readonly #chain: DevnetChain;
  readonly #port: number;
  #server: ChainRpcServer | undefined;

  private constructor(chain: DevnetChain, port: number) {
    this.#chain = chain;
    this.#port = port;
  }

  /** It is not open yet. */
  static async at(chain: DevnetChain, undo: Undo): Promise<Node> {
    const [port] = await freePorts(1, systemRandom);
    const node = new Node(chain, port!);
    undo(() => node.close());
    return node;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async open(): Promise<void> {
    this.#server = await startChainRpcServer(
      { port: this.#port },
      { chain: this.#chain, log: silentLogger },
    );
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }
}

/** A chain on which a block is found now and then, until it is to stand still. */
export class Blocks {
  readonly chain: DevnetChain;
  readonly #timer: NodeJS.Timeout;
  isPaused = false;

  constructor(chain: DevnetChain, undo: Undo) {
    this.chain = chain;
    this.#timer = setInterval(() => {
      if (!this.isPaused) chain.generate(1);
    }, BLOCK_MS);
    undo(async () => clearInterval(this.#timer));
  }
}

/** Miners that can be sent away. */
export async function miners(rigs: Rigs, undo: Undo): Promise<Awaited<ReturnType<typeof startAsics>>> {
  const fleet = await startAsics(rigs);
  undo(() => fleet.stop());
  return fleet;
}

/** The stage of a proxy that sells work to a maker that has a pool of its own. */
export async function sellingStage(directory: string, undo: Undo): Promise<Stage> {
  const stage = await startStage(
    {
      // Blocks are made by the day: none that is found in between is needed.
      ...{ directory, bits: BITS, blockIntervalMs: 86_400_000 },
      stratum: { host: '127.0.0.1', port: 0 },
      ...{ shareDifficulty: SHARE_DIFFICULTY, stepHashes: STEP_HASHES },
      ...{ workTotalHashes: STEP_HASHES * 20_000n, priceMsatPerEh: DEVNET_PRICE_MSAT_PER_EH / 4n },
      makerPoolDifficulty: POOL_DIFFICULTY,
    },
    DEPS,
  );
  undo(() => stage.close());
  for (const pool of [stage.pool, stage.makerPool!]) pool.faults.withholdBlocks = true;
  const { configFile } = stage.proxy;
  const text = readFileSync(configFile, 'utf8').replace(
    /^expiry_blocks.*$/m,
    `expiry_blocks = ${EXPIRY_BLOCKS}`,
  );
  const hardest = `\n[contract.work_binding]\nhardest_share = ${POOL_DIFFICULTY}\n`;
  writeFileSync(configFile, text + hardest, { mode: 0o600 });
  return stage;
}

/** A pool that gives new work when it is told to, and at each block of the chain. */
export async function poolOn(chain: DevnetChain, name: string, undo: Undo): Promise<DevnetPool> {
  const pool = await startDevnetPool(
    { name, difficulty: SHARE_DIFFICULTY, notifyMs: 86_400_000 },
    { ...DEPS, chain },
  );
  undo(() => pool.close());
  pool.faults.withholdBlocks = true;
  return pool;
}

/** A chain of its own, with a block. */
export function otherChain(): DevnetChain {
  const chain = new DevnetChain({ bits: BITS }, { clock: systemClock });
  chain.generate(1);
  return chain;
}

export type ProxyPlace = StageRole & { readonly stratum: { readonly host: string; readonly port: number } };

/**
 * Writes a proxy that sells nothing.
 * @param rest of its configuration; options of `[chain]` first
 */
export async function ownProxy(
  directory: string,
  { pool, node, rest = '' }: { readonly pool: DevnetPool; readonly node: Node; readonly rest?: string },
): Promise<ProxyPlace> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { scriptHex } = identity(join(directory, 'seed'), systemRandom);
  const [stratumPort, pagePort] = await freePorts(2, systemRandom);
  const stratum = { host: '127.0.0.1', port: stratumPort! };
  const listen = `127.0.0.1:${pagePort}`;
  const toml = `network = "regtest"
data_dir = "."

[stratum]
listen = "${stratum.host}:${stratum.port}"
difficulty = { mode = "fixed", start = ${SHARE_DIFFICULTY}, min = ${SHARE_DIFFICULTY} }

[[destination]]
name = "own-pool"
url = "stratum+tcp://${pool.host}:${pool.port}"
worker = "${scriptHex}.farm"

[payout]
script = "${scriptHex}"

[metrics]
listen = "${listen}"

[chain]
rpc_url = "${node.url}"
poll = "250ms"
${rest}`;
  return { ...writeRole(directory, listen, 'unused', toml), stratum };
}

/** Of a contract with a maker that is nowhere. */
export function contractWithNobody(directory: string, port: number): string {
  const { nodeId } = identity(join(directory, 'nobody'), systemRandom);
  return `
[contract]
enabled = true
maker_url = "127.0.0.1:${port}"
maker_node_id = "${nodeId}"
price = "${DEVNET_PRICE_MSAT_PER_EH} msat/EH"
work_total = "${STEP_HASHES * 1_000n} H"
step = "${STEP_HASHES} H"
max_unpaid_steps = 5
expiry_blocks = ${EXPIRY_BLOCKS}
min_depth = 1
share_difficulty = ${SHARE_DIFFICULTY}
binding = "work"
`;
}

/** Resolves when the proxy of a stage delivers to its maker and a state is paid that was not before. */
export async function untilPaid({ proxy }: Pick<Stage, 'proxy'>): Promise<void> {
  let first: number | undefined;
  await until(
    'a paid state',
    async () => {
      const contract = (await readStatus(proxy.metricsUrl).catch(() => undefined))?.contract;
      if (contract?.live !== true) return undefined;
      first ??= contract.channel.state_number;
      return contract.channel.state_number > first ? true : undefined;
    },
    START_MS,
  );
}

/** Resolves when the work of some states is delivered and not paid. */
export async function untilOwed({ proxy }: Pick<Stage, 'proxy'>): Promise<void> {
  await until(
    'unpaid work',
    async () => {
      const contract = (await readStatus(proxy.metricsUrl).catch(() => undefined))?.contract;
      return BigInt(contract?.exposure_hashes ?? 0) >= 3n * STEP_HASHES ? true : undefined;
    },
    START_MS,
  );
}

/** Copies the ladder files of a proxy, as a sync would. */
export function copyLadders(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name));
}
