import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { toHex } from '../base/bytes.ts';
import type { Clock, Random } from '../base/clock.ts';
import { p2wpkhScript } from '../chain/wallet.ts';
import { loadOrCreateSeed } from '../channel/key-file.ts';
import { nodeIdBytes, SeedSigner } from '../channel/signer.ts';
import type { Logger } from '../log/logger.ts';
import type { AsicSpec } from './asic/asic-spec.ts';
import { type BraidpoolNode, startBraidpoolNode } from './braidpool/braidpool-node.ts';
import { DevnetChain } from './chain/chain.ts';
import { startChainRpcServer } from './chain/chain-rpc-server.ts';
import { type DevnetPool, startDevnetPool } from './pool/pool.ts';

export type StageOptions = {
  /** An empty or new directory: keys, configurations and ledgers go here. */
  readonly directory: string;
  readonly stratum: { readonly host: string; readonly port: number };
  /** nBits of every block. */
  readonly bits: number;
  /** A block is mined when nobody found one for this long. */
  readonly blockIntervalMs: number;
  readonly shareDifficulty: number;
  readonly stepHashes: bigint;
  readonly workTotalHashes: bigint;
  readonly priceMsatPerEh: bigint;
};

export type StageRole = {
  readonly configFile: string;
  readonly dataDir: string;
  readonly metricsUrl: string;
};

/**
 * A devnet around one proxy and one market maker, whose configurations are written and whose wallets are
 * funded.
 */
export type Stage = {
  readonly chain: DevnetChain;
  readonly node: BraidpoolNode;
  readonly pool: DevnetPool;
  readonly proxy: StageRole;
  readonly maker: StageRole;
  readonly stratum: { readonly host: string; readonly port: number };
  close(): Promise<void>;
};

const RPC_USER = 'devnet';
const MAKER_COINS = 4;
const COIN_SAT = 100_000_000n;

type StageDeps = { readonly clock: Clock; readonly random: Random; readonly log: Logger };

/**
 * Starts the chain, its RPC, a Braidpool node and a pool on loopback; writes what the two daemons need to
 * start.
 */
export async function startStage(options: StageOptions, deps: StageDeps): Promise<Stage> {
  const proxyDir = join(options.directory, 'proxy');
  const makerDir = join(options.directory, 'maker');
  for (const folder of [proxyDir, makerDir]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const miner = identity(join(proxyDir, 'seed'), deps.random);
  const maker = identity(join(makerDir, 'seed'), deps.random);
  const chain = new DevnetChain(
    {
      bits: options.bits,
      premine: [
        { scriptHex: miner.scriptHex, valueSat: COIN_SAT },
        ...Array.from({ length: MAKER_COINS }, () => ({ scriptHex: maker.scriptHex, valueSat: COIN_SAT })),
      ],
    },
    { clock: deps.clock },
  );
  const password = toHex(deps.random.bytes(16));
  const rpc = await startChainRpcServer({ user: RPC_USER, password }, { chain, log: deps.log });
  const node = await startBraidpoolNode(
    { poolScriptHex: POOL_SCRIPT_HEX, blockIntervalMs: options.blockIntervalMs },
    { chain, log: deps.log, clock: deps.clock, random: deps.random },
  );
  const pool = await startDevnetPool({ difficulty: options.shareDifficulty }, { ...deps, chain });
  const [peerPort, proxyMetrics, makerMetrics, stratumPort] = await freePorts(4);
  const stratum = {
    host: options.stratum.host,
    port: options.stratum.port === 0 ? stratumPort! : options.stratum.port,
  };
  const common = { rpcUrl: rpc.url, password };
  const facts = { options, miner, maker, node, pool, peerPort: peerPort!, stratum, ...common };
  const stage = {
    proxy: writeRole(proxyDir, proxyMetrics!, password, proxyToml(facts)),
    maker: writeRole(makerDir, makerMetrics!, password, makerToml(facts)),
  };
  return {
    ...{ chain, node, pool, stratum },
    ...stage,
    close: async () => {
      await Promise.all([node.close(), pool.close(), rpc.close()]);
    },
  };
}

/** The miners of the demo: honest ones, and one of each fault a pool sees every day. */
export function demoAsics(address: { readonly host: string; readonly port: number }): AsicSpec[] {
  const asic = (worker: string, hashesPerSecond: number, rest: Partial<AsicSpec> = {}): AsicSpec => ({
    ...address,
    worker: `farm.${worker}`,
    hashesPerSecond,
    ...rest,
  });
  return [
    asic('rig1', 150_000),
    asic('rig2', 150_000),
    asic('rig3', 80_000, { versionRolling: false }),
    asic('twice', 120_000, { behaviour: 'duplicate' }),
    asic('late', 60_000, { behaviour: 'stale' }),
    asic('weak', 120_000, { behaviour: 'low_difficulty' }),
  ];
}

/** Paid by every block of the simulated node; contracts bind their work to it. */
const POOL_SCRIPT_HEX = '0014751e76e8199196d454941c45d1b3a323f1433bd6';

type Identity = { readonly nodeId: string; readonly scriptHex: string };

function identity(seedFile: string, random: Random): Identity {
  const signer = new SeedSigner({ seed: loadOrCreateSeed(seedFile, random), network: 'regtest', random });
  return { nodeId: toHex(nodeIdBytes(signer)), scriptHex: toHex(p2wpkhScript(signer.publicKey('wallet'))) };
}

type Facts = {
  readonly options: StageOptions;
  readonly miner: Identity;
  readonly maker: Identity;
  readonly node: BraidpoolNode;
  readonly pool: DevnetPool;
  readonly peerPort: number;
  readonly stratum: { readonly host: string; readonly port: number };
  readonly rpcUrl: string;
};

function proxyToml({ options, maker, miner, node, pool, peerPort, stratum, rpcUrl }: Facts): string {
  return `
[stratum]
listen = "${stratum.host}:${stratum.port}"
difficulty = { mode = "fixed", start = ${options.shareDifficulty}, min = ${options.shareDifficulty} }

[[destination]]
name = "braidpool"
url = "stratum+tcp://${node.host}:${node.port}"
worker = "${maker.scriptHex}"
profile = "braidpool"
role = "contract"
rpc_url = "${node.rpcUrl}"

[[destination]]
name = "own-pool"
url = "stratum+tcp://${pool.host}:${pool.port}"
worker = "${miner.scriptHex}.farm"

[contract]
enabled = true
maker_url = "127.0.0.1:${peerPort}"
maker_node_id = "${maker.nodeId}"
price = "${options.priceMsatPerEh} msat/EH"
work_total = "${options.workTotalHashes} H"
step = "${options.stepHashes} H"
max_unpaid_steps = 5
expiry_blocks = 20000
min_depth = 1
share_difficulty = ${options.shareDifficulty}
binding_script = "${POOL_SCRIPT_HEX}"

[payout]
script = "${miner.scriptHex}"

${chainToml(rpcUrl)}`;
}

function makerToml({ options, miner, peerPort, rpcUrl }: Facts): string {
  return `
[peer]
listen = "127.0.0.1:${peerPort}"

[peers]
allow = ["${miner.nodeId}"]

[policy]
max_price = "${options.priceMsatPerEh} msat/EH"
max_budget = "${COIN_SAT * 3n} sat"
max_total_budget = "${COIN_SAT * 4n} sat"
min_step = "1 H"
max_step = "${options.stepHashes} H"
min_share_difficulty = ${options.shareDifficulty}
max_expiry_blocks = 20000
min_depth = 1
binding_script = "${POOL_SCRIPT_HEX}"

${chainToml(rpcUrl)}`;
}

function chainToml(rpcUrl: string): string {
  return `[chain]
rpc_url = "${rpcUrl}"
user = "${RPC_USER}"
password_file = "rpc-password"
poll = "250ms"
`;
}

function writeRole(dataDir: string, metricsPort: number, password: string, toml: string): StageRole {
  const configFile = join(dataDir, 'config.toml');
  writeFileSync(join(dataDir, 'rpc-password'), password, { mode: 0o600 });
  const head = `network = "regtest"\ndata_dir = "."\n`;
  const metrics = `\n[metrics]\nlisten = "127.0.0.1:${metricsPort}"\n`;
  writeFileSync(configFile, `${head}${toml}${metrics}`);
  return { configFile, dataDir, metricsUrl: `http://127.0.0.1:${metricsPort}` };
}

/** Ports nobody listens on: all are held at once, so that none is given twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
