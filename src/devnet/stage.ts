import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { address as addresses } from 'bitcoinjs-lib';
import { fromHex, toHex } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { owedSat } from '../base/units.ts';
import { NETWORKS } from '../bitcoin/network.ts';
import { targetOfCompact, workOfTarget } from '../bitcoin/target.ts';
import { p2wpkhScript } from '../chain/wallet.ts';
import { loadOrCreateSeed } from '../channel/key-file.ts';
import { nodeIdBytes, SeedSigner } from '../channel/signer.ts';
import { mostLostBeads } from '../contract/bead-odds.ts';
import type { AsicSpec } from './asic/asic-spec.ts';
import type { BraidpoolProfileName } from './braidpool/braidpool-profile.ts';
import type { DevnetChain } from './chain/chain.ts';
import { type Devnet, type DevnetDeps, POOL_SCRIPT_HEX, startDevnet } from './devnet.ts';
import { freePorts } from './net/free-ports.ts';
import { type DevnetPool, startDevnetPool } from './pool/pool.ts';
import { devnetMakerToml, devnetProxyToml, type MarketFacts, type PlaceFacts } from './role-config.ts';

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
  /** The part of the beads that the node of the miner has pay the miner; default none. */
  readonly thiefPart?: number;
  /** See `DevnetOptions`. */
  readonly nodeProfile?: BraidpoolProfileName;
  /** Share difficulty of a pool of the maker, whose jobs are sold; default none, and beads are. */
  readonly makerPoolDifficulty?: number;
  /** Whether there is a seal on work of a solo pool of the miner; default no such pool. */
  readonly soloSeal?: boolean;
  /** Writes configurations without the options of beads, as programs of before know them; default no. */
  readonly isPlain?: boolean;
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
export type Stage = Omit<Devnet, 'rpcUrl'> & {
  readonly proxy: StageRole;
  readonly maker: StageRole;
  readonly stratum: { readonly host: string; readonly port: number };
  /** The pool of the miner alone, whose blocks pay the maker, if there is one. */
  readonly soloPool: DevnetPool | undefined;
};

/** User at the RPC of a chain whose password is kept beside a configuration. */
export const RPC_USER = 'devnet';
const MAKER_COINS = 4;
const COIN_SAT = 100_000_000n;

/**
 * Starts the chain, its RPC, a Braidpool node and a pool on loopback; writes what the two daemons need to
 * start.
 */
export async function startStage(options: StageOptions, deps: DevnetDeps): Promise<Stage> {
  const proxyDir = join(options.directory, 'proxy');
  const makerDir = join(options.directory, 'maker');
  for (const folder of [proxyDir, makerDir]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const miner = identity(join(proxyDir, 'seed'), deps.random);
  const maker = identity(join(makerDir, 'seed'), deps.random);
  const password = toHex(deps.random.bytes(16));
  const coin = (scriptHex: string) => ({ scriptHex, valueSat: COIN_SAT });
  const devnet = await startDevnet(
    {
      ...{ bits: options.bits, blockIntervalMs: options.blockIntervalMs },
      shareDifficulty: options.shareDifficulty,
      ...(options.nodeProfile === undefined ? {} : { nodeProfile: options.nodeProfile }),
      ...(options.makerPoolDifficulty === undefined
        ? {}
        : { makerPoolDifficulty: options.makerPoolDifficulty }),
      premine: [coin(miner.scriptHex), ...Array.from({ length: MAKER_COINS }, () => coin(maker.scriptHex))],
      auth: { user: RPC_USER, password },
    },
    deps,
  );
  const { chain, node, pool, makerPool } = devnet;
  const soloPool =
    options.soloSeal === undefined ? undefined : await startSoloPool(options, { ...deps, chain });
  const [peerPort, proxyMetrics, makerMetrics, stratumPort] = await freePorts(4, deps.random);
  const stratum = {
    host: options.stratum.host,
    port: options.stratum.port === 0 ? stratumPort! : options.stratum.port,
  };
  const { shareDifficulty, stepHashes, priceMsatPerEh, workTotalHashes } = options;
  const bead = {
    ...{ payoutAddress: addressOf(maker.scriptHex), rpcUrl: node.rpcUrl },
    profile: options.nodeProfile === 'spec' ? ('spec' as const) : ('as_is' as const),
    maxLossSat: priceOf(mostLostBeads(1000) * workOfTarget(targetOfCompact(options.bits)), priceMsatPerEh),
  };
  const market = {
    ...{ shareDifficulty, stepHashes, priceMsatPerEh },
    peerListen: `127.0.0.1:${peerPort}`,
    chainToml: chainToml(devnet.rpcUrl),
    ...(options.isPlain === true || soloPool !== undefined ? {} : { bead }),
  };
  const sold = { ...market, ...poolFacts(makerPool, soloPool, options.soloSeal) };
  const { thiefPart = 0 } = options;
  if (thiefPart > 0) node.theft = { part: thiefPart, payoutAddress: addressOf(miner.scriptHex) };
  const proxyAt = placeOf(proxyMetrics!);
  const makerAt = placeOf(makerMetrics!);
  const proxyToml = devnetProxyToml({
    ...{ ...sold, ...proxyAt, workTotalHashes },
    stratumListen: `${stratum.host}:${stratum.port}`,
    node: `${node.host}:${node.port}`,
    nodeRpcUrl: node.rpcUrl,
    pool: `${pool.host}:${pool.port}`,
    workers: [addressOf(maker.scriptHex), `${miner.scriptHex}.farm`],
    makerNodeId: maker.nodeId,
    payoutToml: `script = "${miner.scriptHex}"`,
  });
  const makerToml = devnetMakerToml({
    ...{ ...sold, ...makerAt },
    ...{ minerNodeId: miner.nodeId, maxBudgetSat: COIN_SAT * 3n },
  });
  return {
    ...{ chain, node, pool, makerPool, soloPool, stratum },
    proxy: writeRole(proxyDir, proxyAt.metricsListen, password, proxyToml),
    maker: writeRole(makerDir, makerAt.metricsListen, password, makerToml),
    close: async () => {
      await soloPool?.close();
      await devnet.close();
    },
  };
}

/** Which pool the jobs of contracts are of, where it is no Braidpool node. */
function poolFacts(
  makerPool: DevnetPool | undefined,
  soloPool: DevnetPool | undefined,
  hasSeal = false,
): Pick<MarketFacts, 'makerPool' | 'solo'> {
  const at = ({ host, port }: DevnetPool): string => `${host}:${port}`;
  return {
    ...(makerPool === undefined ? {} : { makerPool: at(makerPool) }),
    ...(soloPool === undefined ? {} : { solo: { pool: at(soloPool), hasSeal } }),
  };
}

/** A pool of one miner: its blocks pay the script that contracts are bound to. */
function startSoloPool(
  { shareDifficulty: difficulty }: StageOptions,
  deps: DevnetDeps & { readonly chain: DevnetChain },
): Promise<DevnetPool> {
  // Without transactions of its own every node has the template that it makes.
  const options = { name: 'solo', difficulty, poolScriptHex: POOL_SCRIPT_HEX, minTransactions: 0 };
  return startDevnetPool(options, deps);
}

/** The regtest address of a script. */
export function addressOf(scriptHex: string): string {
  return addresses.fromOutputScript(fromHex(scriptHex), NETWORKS.regtest.params);
}

/** What work earns, rounded up. */
function priceOf(workHashes: bigint, msatPerEh: bigint): bigint {
  return owedSat(workHashes, msatPerEh) + 1n;
}

/** In the folder of its configuration. */
export function placeOf(metricsPort: number): PlaceFacts {
  return { dataDir: '.', metricsListen: `127.0.0.1:${metricsPort}` };
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

/** Of a role: how others know it, and what pays its wallet. */
export type Identity = { readonly nodeId: string; readonly scriptHex: string };

/** The keys of a role, made where there are none yet. */
export function identity(seedFile: string, random: Random): Identity {
  const signer = new SeedSigner({ seed: loadOrCreateSeed(seedFile, random), network: 'regtest', random });
  return { nodeId: toHex(nodeIdBytes(signer)), scriptHex: toHex(p2wpkhScript(signer.publicKey('wallet'))) };
}

/** Options of `[chain]` for the RPC of a devnet. */
export function chainToml(rpcUrl: string): string {
  return `rpc_url = "${rpcUrl}"
user = "${RPC_USER}"
password_file = "rpc-password"
poll = "250ms"`;
}

/** Writes what a daemon starts with. */
export function writeRole(
  dataDir: string,
  metricsListen: string,
  password: string,
  toml: string,
): StageRole {
  const configFile = join(dataDir, 'config.toml');
  writeFileSync(join(dataDir, 'rpc-password'), password, { mode: 0o600 });
  writeFileSync(configFile, toml);
  return { configFile, dataDir, metricsUrl: `http://${metricsListen}` };
}
