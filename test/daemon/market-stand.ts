import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { compactOfTarget } from '../../src/bitcoin/target.ts';
import { loadOrCreateSeed } from '../../src/channel/key-file.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import { type Command, type CommandIo, parseOptions } from '../../src/cli/command.ts';
import { wordsOf } from '../../src/cli/words.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startAuditor } from '../../src/daemon/auditor.ts';
import { startMaker } from '../../src/daemon/maker.ts';
import { startProxy } from '../../src/daemon/proxy.ts';
import { startAsics } from '../../src/devnet/asic/asic.ts';
import { type Devnet, startDevnet } from '../../src/devnet/devnet.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import { chainToml, identity, placeOf, RPC_USER, writeRole } from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';

/** Hashes of a block, of a share of the maker's pool, and of a step. */
export const BLOCK_HASHES = 2n ** 12n;
export const SHARE_HASHES = 2n ** 11n;
export const STEP_HASHES = 2n ** 13n;
const BITS = compactOfTarget((1n << 256n) / BLOCK_HASHES);
const POOL_DIFFICULTY = Number(SHARE_HASHES) / 2 ** 32;
const COIN_SAT = 100_000_000n;
const MSAT_PER_EH_A_SAT = 10n ** 21n;

export type Role = 'proxy' | 'maker' | 'auditor';

/** What a command did: its exit code, and what it printed, or the code and the words of what refused it. */
export type Typed = {
  readonly code: number;
  readonly text: string;
  readonly json: () => Readonly<Record<string, unknown>>;
};

/** Further lines of the configuration of a role; `{AUDITOR}` and others are filled in. */
export type MarketOptions = {
  /** Of `[sell]` and after it. */
  readonly sell: string;
  /** Of `[policy]` and after it. */
  readonly policy: string;
  readonly hasAuditor?: boolean;
};

/** Sats a hash as a price of the configuration. */
export function satPerHash(sat: number): string {
  return `${BigInt(Math.round(sat * 1e9)) * (MSAT_PER_EH_A_SAT / 10n ** 9n)} msat/EH`;
}

/**
 * A chain with a pool of the maker, and a proxy, a market maker and an auditor of it as daemons of this
 * process, each with its page; commands are typed beside them.
 */
export class MarketStand {
  readonly directory = mkdtempSync(join(tmpdir(), 'sharestream-market-'));
  devnet!: Devnet;
  readonly #options: MarketOptions;
  readonly #closers: (() => unknown)[] = [() => rmSync(this.directory, { recursive: true, force: true })];
  readonly #daemons = new Map<Role, () => Promise<void>>();
  readonly #urls = new Map<Role, string>();

  constructor(options: MarketOptions) {
    this.#options = options;
  }

  /** All of it, on a chain of so many blocks. */
  async begin(height: number): Promise<void> {
    const deps = { clock: systemClock, random: systemRandom, log: silentLogger };
    const home = (role: Role): string => join(this.directory, role);
    for (const role of ['proxy', 'maker', 'auditor'] as const)
      mkdirSync(home(role), { recursive: true, mode: 0o700 });
    const miner = identity(join(home('proxy'), 'seed'), systemRandom);
    const maker = identity(join(home('maker'), 'seed'), systemRandom);
    const password = toHex(systemRandom.bytes(16));
    const coins = [miner, maker].flatMap(({ scriptHex }) =>
      Array.from({ length: 4 }, () => ({ scriptHex, valueSat: COIN_SAT })),
    );
    this.devnet = await startDevnet(
      {
        ...{ bits: BITS, shareDifficulty: POOL_DIFFICULTY, makerPoolDifficulty: POOL_DIFFICULTY },
        ...{ premine: coins, auth: { user: RPC_USER, password } },
      },
      deps,
    );
    this.#closers.push(() => this.devnet.close());
    this.devnet.chain.generate(height - this.devnet.chain.height);
    const [peer, proxyPage, makerPage, stratum, auditorPort] = await freePorts(5, systemRandom);
    const auditor = this.#options.hasAuditor
      ? await this.#startAuditor(auditorPort!, [miner.nodeId, maker.nodeId])
      : '';
    const shared = (page: number): string => `network = "regtest"
data_dir = "."

[chain]
${chainToml(this.devnet.rpcUrl)}

[metrics]
listen = "127.0.0.1:${page}"
${auditor}`;
    const { pool, makerPool } = this.devnet;
    const proxyToml = `${shared(proxyPage!)}
[stratum]
listen = "127.0.0.1:${stratum}"
difficulty = { mode = "fixed", start = ${POOL_DIFFICULTY}, min = ${POOL_DIFFICULTY} }

[[destination]]
name = "own-pool"
url = "stratum+tcp://${pool.host}:${pool.port}"
worker = "${miner.scriptHex}.farm"

[[maker]]
name = "desk"
url = "127.0.0.1:${peer}"
node_id = "${maker.nodeId}"

[payout]
script = "${miner.scriptHex}"

[sell]
step = "${STEP_HASHES} H"
max_unpaid_steps = 5
share_difficulty = ${POOL_DIFFICULTY}
${this.#options.sell}
`;
    const makerToml = `${shared(makerPage!)}
[peer]
listen = "127.0.0.1:${peer}"

[peers]
allow = ["${miner.nodeId}"]

[[pool]]
name = "maker-pool"
url = "stratum+tcp://${makerPool!.host}:${makerPool!.port}"
worker = "maker.devnet"

[policy]
bindings = ["work"]
max_budget = "${COIN_SAT} sat"
max_total_budget = "${3n * COIN_SAT} sat"
min_step = "1 H"
max_step = "${STEP_HASHES} H"
min_share_difficulty = ${POOL_DIFFICULTY}
min_depth = 1
${this.#options.policy}
`;
    writeRole(home('proxy'), placeOf(proxyPage!).metricsListen, password, proxyToml);
    writeRole(home('maker'), placeOf(makerPage!).metricsListen, password, makerToml);
    this.stratum = { host: '127.0.0.1', port: stratum! };
    this.#serve('maker', await startMaker(this.#config('maker'), silentLogger));
    this.#serve('proxy', await startProxy(this.#config('proxy'), silentLogger));
  }

  stratum = { host: '', port: 0 };

  /** @returns what configurations say of it */
  async #startAuditor(port: number, allow: readonly string[]): Promise<string> {
    const folder = join(this.directory, 'auditor');
    const toml = `network = "regtest"
data_dir = "."

[peer]
listen = "127.0.0.1:${port}"

[peers]
allow = ${JSON.stringify(allow)}

[metrics]
listen = "127.0.0.1:0"
`;
    writeFileSync(join(folder, 'config.toml'), toml);
    const { nodeId } = identity(join(folder, 'seed'), systemRandom);
    const file = join(folder, 'config.toml');
    const config = loadConfig('auditor', { file, env: {} });
    this.#serve('auditor', await startAuditor(config, silentLogger));
    const seed = loadOrCreateSeed(join(folder, 'seed'), systemRandom);
    const signer = new SeedSigner({ seed, network: 'regtest', random: systemRandom });
    const key = toHex(signer.publicKey('auditor'));
    return `\n[auditor]\naddress = "127.0.0.1:${port}"\nnode_id = "${nodeId}"\nkey = "${key}"\n`;
  }

  #config<R extends 'proxy' | 'maker'>(role: R) {
    return loadConfig(role, { file: join(this.directory, role, 'config.toml'), env: {} });
  }

  #serve(
    role: Role,
    daemon: { readonly ready: Readonly<Record<string, unknown>>; close(): Promise<void> },
  ): void {
    this.#urls.set(role, `http://${String(daemon.ready['http'])}`);
    let closed: Promise<void> | undefined;
    const close = (): Promise<void> => {
      closed ??= daemon.close();
      return closed;
    };
    this.#daemons.set(role, close);
    this.#closers.push(close);
  }

  /** Machines of so many hashes per second in all, at the proxy. */
  async mine(hashesPerSecond: number): Promise<() => Promise<unknown>> {
    const fleet = await startAsics([{ ...this.stratum, worker: 'farm.one', hashesPerSecond }]);
    let stopped: Promise<unknown> | undefined;
    const stop = (): Promise<unknown> => {
      stopped ??= fleet.stop();
      return stopped;
    };
    this.#closers.push(stop);
    return stop;
  }

  /** Ends a daemon; its data stay. */
  async stop(role: Role): Promise<void> {
    await this.#daemons.get(role)!();
  }

  /** What the page of a daemon says. */
  async status<T>(role: Role): Promise<T> {
    return (await (await fetch(`${this.#urls.get(role)}/api/v1/status`)).json()) as T;
  }

  url(role: Role): string {
    return this.#urls.get(role)!;
  }

  /** Types a command for a role. */
  async type(role: Role, command: Command, ...words: readonly string[]): Promise<Typed> {
    const said: string[] = [];
    const stdout = { write: (text: string) => void said.push(text) };
    const io = { stdout, stderr: stdout, env: {} } as unknown as CommandIo;
    const config =
      'config' in command.options ? ['--config', join(this.directory, role, 'config.toml')] : [];
    const json = () => JSON.parse(said.join('').trim().split('\n').at(-1)!) as Record<string, unknown>;
    try {
      const code = await command.run(parseOptions(command, [...words, ...config]), io);
      return { code, text: said.join(''), json };
    } catch (error) {
      return { code: 1, text: wordsOf(error), json };
    }
  }

  async end(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}
