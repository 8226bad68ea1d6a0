import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { compactOfTarget, targetOfCompact, workOfTarget } from '../../src/bitcoin/target.ts';
import { mostLostBeads } from '../../src/contract/bead-odds.ts';
import { DaemonProcess } from '../../src/daemon/child.ts';
import { fetchStatus, type ProxyStatusAnswer, readStatus } from '../../src/daemon/status-client.ts';
import { type BraidpoolNode, startBraidpoolNode } from '../../src/devnet/braidpool/braidpool-node.ts';
import { POOL_SCRIPT_HEX, startDevnet } from '../../src/devnet/devnet.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import { type DevnetPool, startDevnetPool } from '../../src/devnet/pool/pool.ts';
import { devnetMakerToml, devnetProxyToml } from '../../src/devnet/role-config.ts';
import {
  addressOf,
  chainToml,
  type Identity,
  identity,
  placeOf,
  RPC_USER,
  type StageRole,
  writeRole,
} from '../../src/devnet/stage.ts';
import { silentLogger } from '../../src/log/logger.ts';
import type { MakerStatusAnswer } from '../api/all-operations.ts';
import { Orders } from './hostile/orders.ts';

/** Hashes of a share where terms fix it, of one of a maker's pool, of a step and of a block. */
export const SHARE_HASHES = 2n ** 14n;
export const STEP_HASHES = 2n ** 18n;
export const BLOCK_HASHES = 2n ** 20n;
const SHARE_DIFFICULTY = Number(SHARE_HASHES) / 2 ** 32;
/** Each share of a contract on jobs is a solution of its maker's pool. */
export const POOL_DIFFICULTY = 2 * SHARE_DIFFICULTY;
export const POOL_SHARE_HASHES = 2n * SHARE_HASHES;
const BITS = compactOfTarget((1n << 256n) / BLOCK_HASHES);
/** Of a cheap contract. */
export const PRICE_MSAT_PER_EH = 10n ** 18n;
/** Steps that may be unpaid; jobs that may be withdrawn on a block; seconds to show a block in. */
export const MAX_UNPAID_STEPS = 2n;
export const WITHDRAWALS = 3;
const SAMPLE_SECONDS = 2;
export const STALE_GRACE_SECONDS = 10;
const COIN_SAT = 50_000_000n;
const HOOK = new URL('./hostile/hook.ts', import.meta.url).href;

/** The third is not started but by who wants it. */
export type MakerName = 'first' | 'second' | 'third';
export type ProxyName = 'one' | 'two' | 'three';

/** What a proxy sells, and to whom. */
export type Sale = {
  readonly name: string;
  readonly to: MakerName;
  readonly binding: 'work' | 'payout' | 'sampled payout' | 'bead';
  readonly priceMsatPerEh: bigint;
};

export type MakerRow = MakerStatusAnswer['contracts'][number];
export type MakerPage = MakerStatusAnswer;

export type Daemon = StageRole & { readonly process: DaemonProcess; readonly log: () => string };
export type MakerSide = Daemon &
  Identity & {
    readonly page: () => Promise<MakerPage>;
    /** Its ckpool-like pool. */
    readonly pool: DevnetPool;
    readonly node: BraidpoolNode;
    readonly peer: string;
  };
export type ProxySide = Daemon &
  Identity & {
    readonly stratum: { readonly host: string; readonly port: number };
    readonly status: () => Promise<ProxyStatusAnswer | undefined>;
  };

export type MarketStage = {
  readonly chain: Awaited<ReturnType<typeof startDevnet>>['chain'];
  readonly ownPool: DevnetPool;
  /** Of the seller itself: its blocks pay the makers' `binding_script`. */
  readonly soloPool: DevnetPool;
  readonly makers: Readonly<Record<MakerName, MakerSide>>;
  readonly proxies: Readonly<Record<ProxyName, ProxySide>>;
  /** Writes what a proxy sells from its next start on. */
  readonly sell: (proxy: ProxyName, sale: Sale) => void;
  /** Starts a daemon that takes orders. */
  readonly startHostile: (daemon: Daemon, side: 'seller' | 'buyer') => Promise<Orders>;
};

/** A chain, its pools and Braidpool nodes in this process; three makers and three proxies, not started. */
export async function startMarketStage(
  directory: string,
  undo: (step: () => Promise<unknown>) => void,
): Promise<MarketStage> {
  const deps = { clock: systemClock, random: systemRandom, log: silentLogger };
  const makerKeys = {
    first: keysOf(directory, 'maker-first'),
    second: keysOf(directory, 'maker-second'),
    third: keysOf(directory, 'maker-third'),
  };
  const proxyKeys = {
    one: keysOf(directory, 'proxy-one'),
    two: keysOf(directory, 'proxy-two'),
    three: keysOf(directory, 'proxy-three'),
  };
  const coins = (scriptHex: string): { scriptHex: string; valueSat: bigint }[] =>
    Array.from({ length: 8 }, () => ({ scriptHex, valueSat: COIN_SAT }));
  const password = toHex(systemRandom.bytes(16));
  const devnet = await startDevnet(
    {
      ...{ bits: BITS, blockIntervalMs: 3_000, shareDifficulty: SHARE_DIFFICULTY, nodeProfile: 'asIs' },
      premine: [...Object.values(makerKeys), ...Object.values(proxyKeys)].flatMap(({ scriptHex }) =>
        coins(scriptHex),
      ),
      auth: { user: RPC_USER, password },
    },
    deps,
  );
  undo(() => devnet.close());
  const { chain } = devnet;
  const open = async <T extends { close(): Promise<void> }>(starting: Promise<T>): Promise<T> => {
    const opened = await starting;
    undo(() => opened.close());
    return opened;
  };
  const poolOf = (name: string): Promise<DevnetPool> =>
    open(startDevnetPool({ name, difficulty: POOL_DIFFICULTY }, { ...deps, chain }));
  // Without transactions of its own every node has the template that it makes.
  const soloPool = await open(
    startDevnetPool(
      { name: 'solo', difficulty: SHARE_DIFFICULTY, poolScriptHex: POOL_SCRIPT_HEX, minTransactions: 0 },
      { ...deps, chain },
    ),
  );
  const node = await open(
    startBraidpoolNode({ poolScriptHex: POOL_SCRIPT_HEX, profile: 'of2025' }, { ...deps, chain }),
  );
  const nodes = { first: devnet.node, second: node, third: node };
  const pools = {
    first: await poolOf('pool-first'),
    second: await poolOf('pool-second'),
    third: await poolOf('pool-third'),
  };
  const ports = (await freePorts(14, systemRandom)).values();
  const nextPort = (): number => ports.next().value!;
  const chainOptions = chainToml(devnet.rpcUrl);
  const daemonOf = (role: 'proxy' | 'maker', at: StageRole): Daemon => {
    const logFile = join(at.dataDir, 'log');
    const child = new DaemonProcess({ role, configFile: at.configFile, logFile }, { timers: systemTimers });
    undo(() => child.kill());
    return { ...at, process: child, log: () => readFileSync(logFile, 'utf8') };
  };
  const beadOf = (maker: MakerName) => ({
    profile: 'as_is' as const,
    payoutAddress: addressOf(makerKeys[maker].scriptHex),
    rpcUrl: nodes[maker].rpcUrl,
    maxLossSat:
      (mostLostBeads(1000) * workOfTarget(targetOfCompact(BITS)) * 8n * PRICE_MSAT_PER_EH) / 10n ** 21n,
  });
  const facts = { shareDifficulty: SHARE_DIFFICULTY, stepHashes: STEP_HASHES, chainToml: chainOptions };
  const makerOf = (name: MakerName): MakerSide => {
    const [peerListen, place] = [`127.0.0.1:${nextPort()}`, placeOf(nextPort())];
    const { host, port } = pools[name];
    const toml = devnetMakerToml({
      ...{ ...facts, ...place, peerListen, priceMsatPerEh: 8n * PRICE_MSAT_PER_EH },
      ...{ bead: beadOf(name), makerPool: `${host}:${port}` },
      ...{ minerNodeId: '', maxBudgetSat: COIN_SAT / 4n },
    })
      .replace(
        'allow = [""]',
        `allow = ${JSON.stringify(Object.values(proxyKeys).map(({ nodeId }) => nodeId))}`,
      )
      .replace(
        /^max_total_budget.*$/m,
        `max_total_budget = "${4n * COIN_SAT} sat"\nmax_contracts_per_miner = 32`,
      )
      .replace(
        'bindings = ["work"]',
        `binding_script = "${POOL_SCRIPT_HEX}"\nbindings = ["work", "payout", "bead"]`,
      );
    const role = writeRole(join(directory, `maker-${name}`), place.metricsListen, password, toml);
    const page = async () => (await fetchStatus(role.metricsUrl)) as unknown as MakerPage;
    return {
      ...{ ...daemonOf('maker', role), ...makerKeys[name], page, peer: peerListen },
      ...{ pool: pools[name], node: nodes[name] },
    };
  };
  const makers = { first: makerOf('first'), second: makerOf('second'), third: makerOf('third') };
  const proxyOf = (name: ProxyName): ProxySide => {
    const place = placeOf(nextPort());
    const role = writeRole(join(directory, `proxy-${name}`), place.metricsListen, password, '');
    const stratum = { host: '127.0.0.1', port: nextPort() };
    const status = () => readStatus(role.metricsUrl);
    return { ...daemonOf('proxy', role), ...proxyKeys[name], stratum, status };
  };
  const proxies = { one: proxyOf('one'), two: proxyOf('two'), three: proxyOf('three') };
  const sell = (name: ProxyName, { to, binding, priceMsatPerEh, name: contract }: Sale): void => {
    const { metricsUrl, configFile, stratum, scriptHex } = proxies[name];
    const at = { ...makers[to], pool: pools[to], node: nodes[to] };
    const toml = devnetProxyToml({
      ...{ ...facts, ...placeOf(Number(new URL(metricsUrl).port)), priceMsatPerEh },
      ...{ peerListen: at.peer, workTotalHashes: STEP_HASHES * 2_000n },
      stratumListen: `${stratum.host}:${stratum.port}`,
      ...(binding === 'bead' ? { bead: beadOf(to) } : {}),
      ...(binding === 'work' ? { makerPool: 'of the maker' } : {}),
      node: binding === 'bead' ? `${at.node.host}:${at.node.port}` : `${soloPool.host}:${soloPool.port}`,
      nodeRpcUrl: at.node.rpcUrl,
      pool: `${devnet.pool.host}:${devnet.pool.port}`,
      workers: [addressOf(at.scriptHex), `${scriptHex}.farm`],
      makerNodeId: at.nodeId,
      payoutToml: `script = "${scriptHex}"`,
    })
      .replace(
        'enabled = true',
        `enabled = true\nname = "${contract}"\nstale_grace = "${STALE_GRACE_SECONDS}s"`,
      )
      .replace(/^max_unpaid_steps.*$/m, `max_unpaid_steps = ${MAX_UNPAID_STEPS}`)
      .replace(
        'binding = "work"',
        `binding = "work"\n[contract.work_binding]\nwithdrawals_per_block = ${WITHDRAWALS}`,
      );
    writeFileSync(configFile, `${forPayout(binding, toml)}`);
  };
  const startHostile = async (daemon: Daemon, side: 'seller' | 'buyer'): Promise<Orders> => {
    const socket = join(daemon.dataDir, `${Math.floor(systemClock.nowMs())}.orders`);
    await daemon.process.start(30_000, {
      ...{ NODE_OPTIONS: `--import ${HOOK}`, HOSTILE_SIDE: side, HOSTILE_SOCKET: socket },
    });
    return Orders.connect(socket);
  };
  return { chain, ownPool: devnet.pool, soloPool, makers, proxies, sell, startHostile };
}

/** An ordinary pool is no Braidpool node. */
function forPayout(binding: Sale['binding'], toml: string): string {
  if (binding !== 'payout' && binding !== 'sampled payout') return toml;
  const sampled = `[contract.payout_binding]\nsample_ppm = 1_000_000\nsample_seconds = ${SAMPLE_SECONDS}\n`;
  return toml
    .replace('profile = "braidpool"\n', '')
    .replace(/^rpc_url = .*\n/m, '')
    .replace('[payout]', `${binding === 'payout' ? '' : sampled}\n[payout]`);
}

function keysOf(directory: string, folder: string): Identity {
  const place = join(directory, folder);
  mkdirSync(place, { recursive: true, mode: 0o700 });
  return identity(join(place, 'seed'), systemRandom);
}
