import { systemClock, type Timer } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { hashValueMsatPerEh, priceText } from '../base/price.ts';
import { systemRandom } from '../base/random.ts';
import { NETWORKS, type NetworkName, subsidySat } from '../bitcoin/network.ts';
import { targetOfDifficulty, workOfTarget } from '../bitcoin/target.ts';
import { ChainRpcClient } from '../chain/rpc-client.ts';
import { orNotOffered, readInteger, readRecord, readText } from '../chain/rpc-fields.ts';
import { trucPolicyOf } from '../chain/truc.ts';
import { loadSeed } from '../channel/key-file.ts';
import { SeedSigner } from '../channel/signer.ts';
import type { ChainNodeConfig, ContractConfig, DestinationConfig, ProxyConfig } from '../config/config.ts';
import { silentLogger } from '../log/logger.ts';
import { upstreamOptions } from '../mining/upstream-options.ts';
import { accessTo } from '../operator/chain-access.ts';
import { OFFERED_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import { DEFAULT_RPC, RpcPeer } from '../peer/rpc-peer.ts';
import { connectPeer, DEFAULT_TRANSPORT } from '../peer/transport.ts';
import { identityOfSigner } from '../settlement/opening.ts';
import { PoolDestination } from '../upstream/pool-destination.ts';
import type { Diagnosis, DoctorDeps } from './diagnosis.ts';

/** A node answers a look at itself in less; its whole answer is small. */
const CALL_MS = 4_000;
const REPLY_BYTES = 4 * 2 ** 20;
/** Clocks further apart make shares, and states, be refused. */
const SKEW_SECONDS = { warn: 60, fail: 600 };
/** How often an attempt is looked at: the first that failed is answer enough. */
const FAILURE_LOOK_MS = 50;
const TIP_AGE_SECONDS = 7_200;
/** A price this many times the value of a hash, or less than its part, is likely of another unit. */
const ODD_TIMES = 3n;

type NodeWants = { readonly network: NetworkName; readonly priceMsatPerEh?: bigint };

/** What a node says of itself, and what that means for channels. Throws what it answers instead. */
export async function checkNode(
  node: ChainNodeConfig,
  wants: NodeWants,
  deps: DoctorDeps,
  signal: AbortSignal,
): Promise<Diagnosis[]> {
  const check = `node ${new URL(node.rpcUrl).host}`;
  const options = { url: node.rpcUrl, ...accessTo(node), timeoutMs: CALL_MS, maxReplyBytes: REPLY_BYTES };
  const client = new ChainRpcClient(options, deps);
  signal.addEventListener('abort', () => client.close());
  try {
    const genesis = readText(await client.call('getblockhash', [0]), 'getblockhash');
    if (genesis !== NETWORKS[wants.network].genesisHash)
      throw new CodedError('chain_network', `its first block is not that of ${wants.network}`);
    const chain = readRecord(await client.call('getblockchaininfo', []), 'getblockchaininfo');
    const offered = await orNotOffered(client.call('getnetworkinfo', []));
    const network = offered === undefined ? {} : readRecord(offered, 'getnetworkinfo');
    return [
      versionOf(check, network),
      ...syncOf(check, chain, deps.nowMs()),
      ...networkOf(check, network, wants.network),
      ...(await policyOf(check, client)),
      ...worthOf(check, chain, wants),
    ];
  } finally {
    client.close();
  }
}

function versionOf(check: string, network: Readonly<Record<string, unknown>>): Diagnosis {
  const { subversion, version } = network;
  if (typeof subversion !== 'string' || typeof version !== 'number')
    return { check, verdict: 'ok', text: 'it answers, and does not say its version' };
  return { check, verdict: 'ok', text: `${subversion.slice(0, 80)} (${version})` };
}

function syncOf(check: string, chain: Readonly<Record<string, unknown>>, nowMs: number): Diagnosis[] {
  const blocks = readInteger(chain['blocks'], 'blocks');
  const headers = typeof chain['headers'] === 'number' ? chain['headers'] : blocks;
  const found: Diagnosis[] = [];
  const isSyncing = chain['initialblockdownload'] === true;
  if (isSyncing || headers > blocks + 1) {
    const text = `it is at block ${blocks} of ${headers}`;
    found.push({
      check,
      verdict: 'fail',
      code: 'chain_syncing',
      text,
      hint: 'wait until it has caught up',
    });
  } else found.push({ check, verdict: 'ok', text: `in step with the chain at block ${blocks}` });
  const { time } = chain;
  if (typeof time === 'number' && chain['chain'] !== 'regtest') {
    const ageSeconds = nowMs / 1000 - time;
    const ago = `its newest block is ${Math.round(ageSeconds / 60)} minutes old`;
    if (ageSeconds > TIP_AGE_SECONDS && !isSyncing) {
      const hint = 'see that it has peers, and that the clock of this machine is right';
      found.push({ check, verdict: 'warn', code: 'chain_stalled', text: ago, hint });
    }
    if (ageSeconds < -SKEW_SECONDS.fail) {
      const hint = 'set the clock of this machine (timedatectl, chrony)';
      found.push({ check, verdict: 'fail', text: 'its newest block is from the future', hint });
    }
  }
  if (chain['pruned'] === true) {
    const text = `it keeps no block below ${String(chain['pruneheight'] ?? '?')}`;
    const hint = 'that is enough while channels are younger; for recovery of older ones it is not';
    found.push({ check, verdict: 'warn', text, hint });
  }
  return found;
}

function networkOf(
  check: string,
  network: Readonly<Record<string, unknown>>,
  name: NetworkName,
): Diagnosis[] {
  const found: Diagnosis[] = [];
  const { connections, localrelay, timeoffset } = network;
  if (connections === 0 && name !== 'regtest') {
    const hint = 'without peers it hears of no block, and nothing that it is given gets out';
    found.push({ check, verdict: 'warn', text: 'it has no peers', hint });
  }
  if (localrelay === false) {
    const hint = 'set blocksonly=0 in its bitcoin.conf: a close must be relayed, and fees be seen';
    found.push({ check, verdict: 'warn', text: 'it relays no transactions (blocksonly)', hint });
  }
  if (typeof timeoffset === 'number' && Math.abs(timeoffset) > SKEW_SECONDS.warn) {
    const verdict = Math.abs(timeoffset) > SKEW_SECONDS.fail ? 'fail' : 'warn';
    const text = `its clock is ${timeoffset} s off that of its peers`;
    found.push({ check, verdict, text, hint: 'set its clock (timedatectl, chrony)' });
  }
  return found;
}

async function policyOf(check: string, client: ChainRpcClient): Promise<Diagnosis[]> {
  const found: Diagnosis[] = [];
  const truc = await trucPolicyOf(client);
  if (truc === 'enforced' || truc === undefined) {
    const text =
      truc === undefined ? 'it does not say what it does about version 3' : 'it enforces version 3 (TRUC)';
    found.push({ check, verdict: 'ok', text });
  } else {
    const code = truc === 'ignored' ? 'truc_ignored' : 'truc_refused';
    const { hint } = new CodedError(code);
    found.push({
      check,
      verdict: truc === 'ignored' ? 'warn' : 'fail',
      code,
      text: `version 3 is ${truc}`,
      hint,
    });
  }
  const mempool = readRecord(
    (await orNotOffered(client.call('getmempoolinfo', []))) ?? {},
    'getmempoolinfo',
  );
  if (mempool['fullrbf'] === false) {
    const hint =
      'set mempoolfullrbf=1 in its bitcoin.conf: else a close at a higher fee may not replace the first';
    found.push({ check, verdict: 'warn', text: 'it does not replace every transaction (fullrbf)', hint });
  }
  return found;
}

/** The price of the configuration against what a hash is worth at this difficulty. */
function worthOf(
  check: string,
  chain: Readonly<Record<string, unknown>>,
  { network, priceMsatPerEh: price }: NodeWants,
): Diagnosis[] {
  const { difficulty, blocks } = chain;
  if (network !== 'mainnet' || price === undefined) return [];
  const value = Number(difficulty);
  if (!(value > 0) || !Number.isFinite(value) || typeof blocks !== 'number') return [];
  const worth = hashValueMsatPerEh(workOfTarget(targetOfDifficulty(value)), subsidySat(network, blocks));
  const text = `the price is ${priceText(price)}; at this difficulty a hash is worth ${priceText(worth)} without fees`;
  if (price <= worth * ODD_TIMES && price * ODD_TIMES >= worth) return [{ check, verdict: 'ok', text }];
  return [{ check, verdict: 'warn', text, hint: 'see that the price is in the unit you mean' }];
}

/** Connects, subscribes and authorises as the proxy does, until there is work. */
export async function checkUpstream(
  row: DestinationConfig,
  deps: DoctorDeps,
  signal: AbortSignal,
): Promise<Diagnosis[]> {
  const check = `upstream ${row.name}`;
  const at = `${row.host}:${row.port}`;
  const waitMs = Math.max(1_000, deps.timeoutMs - 1_000);
  const options = { ...upstreamOptions(row, deps.env), links: { maxLinks: 1, spareLinks: 0 } };
  const timers: Timer[] = [];
  const { pool, hasWork } = await new Promise<{ pool: PoolDestination; hasWork: boolean }>((resolve) => {
    const pool: PoolDestination = new PoolDestination(options, {
      ...{ clock: systemClock, timers: deps.timers, random: systemRandom, log: silentLogger },
      listener: { onJob: () => resolve({ pool, hasWork: true }) },
    });
    const giveUp = (): void => resolve({ pool, hasWork: false });
    signal.addEventListener('abort', giveUp);
    const hasFailed = (): boolean => pool.figures.connection?.lastFailure !== undefined;
    timers.push(
      deps.timers.after(waitMs, giveUp),
      deps.timers.every(FAILURE_LOOK_MS, () => hasFailed() && giveUp()),
    );
    pool.start();
  });
  for (const timer of timers) timer.cancel();
  const { health, figures, lastJob, mode } = pool;
  pool.stop();
  if (hasWork && lastJob !== undefined) {
    const shared = mode === 'per_session' ? ', a connection for each miner' : '';
    const found: Diagnosis[] = [{ check, verdict: 'ok', text: `${at} gives work${shared}` }];
    return [...found, ...skewOf(check, lastJob.time, deps.nowMs())];
  }
  const { connection } = figures;
  const why = connection?.lastFailure;
  const garbage =
    (connection?.droppedLines ?? 0) > 0 ? `, ${connection!.droppedLines} lines made no sense` : '';
  if (health.isUp) {
    const hint = 'it took the worker name; see at the pool whether the account is active';
    return [
      { check, verdict: 'fail', code: 'upstream_timeout', text: `${at} sends no work${garbage}`, hint },
    ];
  }
  const hint = 'check its address, the worker name and the password; the proxy tries it again and again';
  const text = `${at}: ${why ?? 'no answer'}${garbage}`;
  return [{ check, verdict: 'fail', code: codeOfFailure(why), text, hint }];
}

function codeOfFailure(
  why: string | undefined,
): 'upstream_refused' | 'upstream_closed' | 'upstream_timeout' {
  if (why === undefined) return 'upstream_timeout';
  return why.includes('upstream_refused') ? 'upstream_refused' : 'upstream_closed';
}

/** The time in a job is that of the pool. */
function skewOf(check: string, timeSeconds: number, nowMs: number): Diagnosis[] {
  const skew = Math.round(nowMs / 1000 - timeSeconds);
  if (Math.abs(skew) <= SKEW_SECONDS.fail) return [];
  const text = `its job is dated ${Math.abs(skew)} s ${skew > 0 ? 'before' : 'after'} the clock of this machine`;
  return [{ check, verdict: 'warn', text, hint: 'set the clock of this machine (timedatectl, chrony)' }];
}

/** The maker of the contract is there, is who it should be, and serves this node. */
export async function checkMakerAnswers(
  { maker, makerNodeId }: ContractConfig,
  { network, keys }: Pick<ProxyConfig, 'network' | 'keys'>,
  deps: DoctorDeps,
  signal: AbortSignal,
): Promise<Diagnosis[]> {
  const check = 'maker';
  const at = `${maker.host}:${maker.port}`;
  const signer = new SeedSigner({
    ...{ seed: loadSeed(keys.seedFile), network, random: systemRandom },
    nodeNumber: keys.nodeNumber,
  });
  const { timers } = deps;
  const link = { ...DEFAULT_TRANSPORT, ...maker, connectTimeoutMs: CALL_MS, signal };
  const peer = new RpcPeer(await connectPeer(link, { timers }), DEFAULT_RPC, { timers, log: silentLogger });
  try {
    await authenticate(peer, 'client', {
      ...{ genesisHash: NETWORKS[network].genesisHash, timeoutMs: CALL_MS, random: systemRandom, timers },
      ...{ identity: identityOfSigner(signer), features: OFFERED_FEATURES },
      isKnown: (nodeId) => nodeId === makerNodeId,
    });
    return [{ check, verdict: 'ok', text: `${at} proved its key and serves this node` }];
  } finally {
    peer.close();
  }
}
