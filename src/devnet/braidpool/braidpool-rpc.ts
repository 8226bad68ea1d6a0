import type { Transaction } from 'bitcoinjs-lib';
import { fromHex, isHex, toHex } from '../../base/bytes.ts';
import { isRecord } from '../../base/json.ts';
import { displayHash } from '../../bitcoin/header.ts';
import {
  JSON_RPC_ERROR,
  JsonRpcError,
  type JsonRpcMethod,
  type JsonRpcSubscription,
} from '../net/json-rpc-server.ts';
import { parseJson, printJson } from '../net/json-text.ts';
import { type Bead, beadFault, parseBead } from './bead.ts';
import type { Braid, BraidBead } from './braid.ts';
import type { BraidpoolQuirks } from './braidpool-profile.ts';

export type BraidpoolRpcView = {
  readonly braid: Braid;
  readonly quirks: BraidpoolQuirks;
  /** `ip:port` of each connected miner. */
  readonly miners: () => readonly string[];
  /** What a job commits to, encoded, by its hash. */
  readonly metadataBy: (commitment: Uint8Array) => Uint8Array | undefined;
  /** What the latest template holds beside the coinbase. */
  readonly staged: () => readonly Transaction[];
};

/** Error codes of the node's RPC. */
const CODE = {
  badInput: 1,
  params: 2,
  notFound: 3,
  invalidBead: 4,
  unavailable: 5,
  range: 6,
  empty: 7,
} as const;

const OLDEST_METHODS: ReadonlySet<string> = new Set([
  ...['getbead', 'addbead', 'gettips', 'getbeadcount', 'getcohortcount'],
]);

/** The node's methods with their names, shapes and error codes. */
export function braidpoolRpcMethods(view: BraidpoolRpcView): Map<string, JsonRpcMethod> {
  const { braid } = view;
  const hashMethod = (call: (entry: BraidBead) => unknown): JsonRpcMethod => ({
    names: ['bead_hash'],
    call: ([hash]) => call(findBead(braid, hash)),
  });
  const plain = (call: () => unknown): JsonRpcMethod => ({ names: [], call });
  const methods = new Map<string, JsonRpcMethod>([
    ['getbead', hashMethod((entry) => entry.bead)],
    ['addbead', { names: ['bead_data'], call: ([text]) => addBead(view, text) }],
    ['gettips', plain(() => braid.tips())],
    ['getbeadcount', plain(() => braid.size)],
    ['getcohortcount', plain(() => braid.cohortCount)],
    ['getcohortbyid', { names: ['cohort_id'], call: ([id]) => cohortById(braid, id) }],
    ['getgenesis', plain(() => genesis(braid))],
    ['getmininginfo', { names: ['params'], call: ([filter]) => miningInfo(braid, filter) }],
    ['getminerinfo', plain(() => view.miners())],
    ['getparents', hashMethod((entry) => entry.parents)],
    ['getchildren', hashMethod((entry) => braid.children(entry.hash))],
    ['gethighestworkpathbycount', { names: ['limit'], call: ([limit]) => highestWorkPath(braid, limit) }],
    ['getipcstats', plain(ipcStats)],
    ['getbraidinfo', plain(() => braidInfo(braid))],
    ['getnodeinfo', hashMethod((entry) => nodeInfo(entry.bead))],
    ['getpeerinfo', plain(peerInfo)],
    ['stagedtransactions', plain(() => view.staged().map(stagedTransaction))],
    ['unstagetransactions', { names: ['txid'], call: () => notSimulated() }],
    ['bitcoinproxy', { names: ['method', 'params'], call: () => noBitcoinRpc() }],
  ]);
  if (view.quirks.commitsMetadata) {
    const call: JsonRpcMethod['call'] = ([commitment]) => committedMetadata(view, commitment);
    methods.set('getcommittedmetadata', { names: ['commitment'], call });
  }
  if (view.quirks.fewMethods) {
    for (const name of methods.keys()) if (!OLDEST_METHODS.has(name)) methods.delete(name);
  }
  if (!view.quirks.textResults) return methods;
  return new Map([...methods].map(([name, method]) => [name, withTextResult(method)]));
}

function withTextResult({ names, call }: JsonRpcMethod): JsonRpcMethod {
  return {
    names,
    call: (params) => {
      const result = call(params);
      return typeof result === 'string' ? result : printJson(result);
    },
  };
}

export function braidpoolRpcSubscriptions(braid: Braid): Map<string, JsonRpcSubscription> {
  return new Map([
    [
      'subscribebead',
      {
        unsubscribe: 'unsubscribebead',
        watch: (changed: () => void) => braid.onBead(changed),
        read: () => braid.latest!.bead,
      },
    ],
  ]);
}

function invalid(data: string): JsonRpcError {
  return new JsonRpcError(JSON_RPC_ERROR.invalidParams, 'Invalid params', data);
}

/** Throws -32602 for anything but a string, 1 for one that is no hash, 3 for a hash that is no bead. */
function findBead(braid: Braid, hash: unknown): BraidBead {
  if (typeof hash !== 'string') throw invalid('bead_hash: expected a string');
  if (!isHex(hash, 32)) throw new JsonRpcError(CODE.badInput, 'Invalid bead hash format');
  const entry = braid.get(hash.toLowerCase());
  if (entry === undefined) throw new JsonRpcError(CODE.notFound, 'Bead not found');
  return entry;
}

/** Hex of the encoding, which hashes to the commitment, in its order in the coinbase. */
function committedMetadata({ metadataBy }: BraidpoolRpcView, commitment: unknown): string {
  if (!isHex(commitment, 32)) throw new JsonRpcError(CODE.badInput, 'Invalid commitment format');
  const encoded = metadataBy(fromHex(commitment));
  if (encoded === undefined) throw new JsonRpcError(CODE.notFound, 'Commitment not found');
  return toHex(encoded);
}

function addBead({ braid, quirks }: BraidpoolRpcView, text: unknown): string {
  if (typeof text !== 'string') throw invalid('bead_data: expected a string');
  const bead = parseBeadText(text);
  if (typeof bead === 'string') throw new JsonRpcError(CODE.badInput, `Invalid bead data: ${bead}`);
  if (beadFault(bead, quirks.beadsNeedNetworkTarget ? 'network' : 'weak') !== undefined) {
    throw new JsonRpcError(CODE.invalidBead, 'Invalid bead');
  }
  switch (braid.add(bead, beadFault(bead, 'network') !== undefined)) {
    case 'BeadAdded':
      return 'Bead added successfully';
    case 'DagAlreadyContainsBead':
      return 'Bead already exists';
    case 'ParentsNotYetReceived':
      return 'Bead queued, waiting for parents';
    case 'InvalidBead':
      throw new JsonRpcError(CODE.invalidBead, 'Invalid bead');
  }
}

function parseBeadText(text: string): Bead | string {
  try {
    return parseBead(parseJson(text));
  } catch {
    return 'expected value at line 1 column 1';
  }
}

function cohortById(braid: Braid, id: unknown): string[] {
  if (!Number.isSafeInteger(id) || (id as number) < 0) throw invalid('cohort_id: expected u64');
  const cohort = braid.cohort(id as number);
  if (cohort === undefined) throw new JsonRpcError(CODE.notFound, 'Cohort not found for given ID');
  return cohort;
}

function genesis(braid: Braid): string {
  const [first, ...others] = braid.genesis();
  if (first === undefined || others.length > 0) {
    throw new JsonRpcError(CODE.unavailable, 'Expected exactly one genesis bead ');
  }
  return first;
}

function highestWorkPath(braid: Braid, limit: unknown): string[] {
  if (!Number.isInteger(limit) || (limit as number) < 0 || (limit as number) > 255) {
    throw invalid('limit: expected u8');
  }
  const path = braid.highestWorkPath();
  const count = limit as number;
  if (path.length === 0) throw new JsonRpcError(CODE.empty, 'No beads available in the braid.');
  if (count === 0 || count > path.length) {
    const text = `Invalid limit: ${count}. The limit must be between 1 and ${path.length}.`;
    throw new JsonRpcError(CODE.range, text);
  }
  return path.slice(0, count);
}

type Filter = { readonly keys: ReadonlySet<string>; readonly ips: ReadonlySet<string> };

function filterOf(value: unknown): Filter {
  if (value === undefined || value === null) throw new JsonRpcError(CODE.params, 'Parameters required.');
  const list = (name: string): string[] => {
    const items = isRecord(value) ? (value[name] ?? []) : undefined;
    if (Array.isArray(items) && items.every((item) => typeof item === 'string')) return items;
    throw new JsonRpcError(
      CODE.badInput,
      'Invalid parameters: public_keys or miner_ips must be arrays of strings',
    );
  };
  const keys = new Set(list('public_keys').map((key) => key.trim().toLowerCase()));
  const ips = new Set(list('miner_ips').map((ip) => ip.trim()));
  if (keys.size === 0 && ips.size === 0) {
    throw new JsonRpcError(CODE.params, 'At least one non-empty filter must be provided.');
  }
  return { keys, ips };
}

function miningInfo(braid: Braid, value: unknown): object {
  const { keys, ips } = filterOf(value);
  const ours = braid.beads.filter(({ bead: { committed_metadata: committed } }) => {
    return keys.has(committed.comm_pub_key.toLowerCase()) || ips.has(committed.miner_ip.trim());
  });
  const ourWork = ours.reduce((sum, entry) => sum + braid.workOf(entry.bead), 0n);
  const total = braid.totalWork;
  const filters = [
    ...(keys.size > 0 ? [`public_keys:${keys.size}`] : []),
    ...(ips.size > 0 ? [`miner_ips:${ips.size}`] : []),
  ];
  return {
    our_beads_count: ours.length,
    total_beads_in_braid: braid.size,
    our_total_work: ourWork.toString(),
    total_work_in_braid: total.toString(),
    our_work_share_percent: total === 0n ? 0 : Math.min((Number(ourWork) / Number(total)) * 100, 100),
    payout_address: ours.find((entry) => entry.payoutAddress.trim() !== '')?.payoutAddress.trim() ?? null,
    filter_info: braid.size === 0 ? 'No beads in braid' : `Filtered by: ${filters.join(', ')}`,
  };
}

function braidInfo(braid: Braid): object {
  const tips = braid.tips();
  return {
    bead_count: braid.size,
    tip_count: tips.length,
    tips,
    cohort_count: braid.cohortCount,
    orphan_count: braid.orphanCount,
    genesis_beads: braid.genesis(),
    total_work: braid.totalWork.toString(),
  };
}

function nodeInfo({ committed_metadata: committed }: Bead): object {
  return {
    common_pubkey: committed.comm_pub_key,
    miner_ip: committed.miner_ip,
    payout_address: committed.payout_address,
    minimum_target: committed.min_target.toString(),
  };
}

function ipcStats(): object {
  return {
    failed_requests: 0,
    pending_requests: 0,
    avg_processing_time_ms: 0,
    queue_sizes: { critical: 0, high: 0, normal: 0, low: 0 },
  };
}

/** This node is alone: it has no peers of its own kind. */
function peerInfo(): object {
  return {
    total_peers: 0,
    connected: 0,
    inbound: 0,
    outbound: 0,
    network_groups: 0,
    avg_latency_ms: 0,
    peers: [],
  };
}

/** A transaction as the Rust library prints it. */
function stagedTransaction(transaction: Transaction): object {
  return {
    txid: transaction.getId(),
    tx: {
      version: transaction.version,
      lock_time: transaction.locktime,
      input: transaction.ins.map((input) => ({
        previous_output: `${displayHash(input.hash)}:${input.index}`,
        script_sig: toHex(input.script),
        sequence: input.sequence,
        witness: input.witness.map(toHex),
      })),
      output: transaction.outs.map((output) => ({
        value: output.value,
        script_pubkey: toHex(output.script),
      })),
    },
  };
}

function notSimulated(): never {
  throw new JsonRpcError(CODE.range, 'Transaction removal failed: not simulated');
}

function noBitcoinRpc(): never {
  const text = 'Bitcoin RPC proxy not configured. Please provide RPC credentials (--rpcuser/--rpcpass)';
  throw new JsonRpcError(CODE.unavailable, text);
}
