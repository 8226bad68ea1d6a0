import { Transaction } from 'bitcoinjs-lib';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import type { Logger } from '../log/logger.ts';
import { amountText, satsOfBtc } from './amounts.ts';
import { ChainRpcClient, RPC_NOT_FOUND, type RpcClientOptions, type RpcClientStats } from './rpc-client.ts';
import type { ChainHeader, ChainSource, ChainTip, TxOut, Utxo } from './source.ts';

export type RpcChainSourceOptions = RpcClientOptions & {
  /** How often the node is asked for its tip while somebody watches. */
  readonly pollMs: number;
};

/**
 * Outputs asked for by `confirmations`: a transaction of ours has at most five, and not all are spent at
 * once.
 */
const OUTPUTS_PROBED = 5;
const SCAN_ATTEMPTS = 20;
const SCAN_RETRY_MS = 250;
/** bitcoind: "Scan already in progress". */
const RPC_INVALID_PARAMETER = -8;
/**
 * bitcoind: the transaction is refused for its inputs, refused by policy or rules, already in a block;
 * undecodable.
 */
const RPC_REFUSALS: readonly number[] = [-25, -26, -22];
const RPC_ALREADY_IN_CHAIN = -27;

/**
 * A full node behind its JSON-RPC: bitcoind, btcd, or the devnet chain.
 * `confirmations` needs `-txindex` to find a confirmed transaction whose outputs are all spent; `utxos`
 * needs bitcoind.
 */
export function createRpcChainSource(
  options: RpcChainSourceOptions,
  deps: { readonly log: Logger; readonly clock: Clock },
): ChainSource & { readonly stats: RpcClientStats } {
  const client = new ChainRpcClient(options);
  const watch = new TipWatch(options.pollMs, () => tipOf(client), deps.log);
  let genesis: string | undefined;
  return {
    stats: client.stats,
    genesisHash: async () => {
      genesis ??= text(await client.call('getblockhash', [0]), 'getblockhash');
      return genesis;
    },
    tip: () => tipOf(client),
    header: (hash) => headerOf(client, hash),
    txOut: (txid, vout) => txOutOf(client, txid, vout),
    confirmations: (txid) => confirmationsOf(client, txid),
    broadcast: (transactionHex) => broadcast(client, transactionHex),
    utxos: (scriptHex) => scan(client, scriptHex),
    feeRateSatPerKvb: (targetBlocks, fallback) => feeRate(client, targetBlocks, fallback),
    watchTip: (onTip) => watch.add(onTip),
    close: () => {
      watch.close();
      client.close();
    },
  };
}

async function tipOf(client: ChainRpcClient): Promise<ChainTip> {
  const hash = text(await client.call('getbestblockhash', []), 'getbestblockhash');
  const header = await headerOf(client, hash);
  if (header === undefined) throw new CodedError('chain_rpc', `the node does not know its tip ${hash}`);
  return { height: header.height, hash, timeSeconds: header.timeSeconds };
}

async function headerOf(client: ChainRpcClient, hash: string): Promise<ChainHeader | undefined> {
  const value = await orNotFound(client.call('getblockheader', [hash, true]));
  if (value === undefined) return undefined;
  const fields = record(value, 'getblockheader');
  const next = fields['nextblockhash'];
  return {
    height: integer(fields['height'], 'height'),
    hash: text(fields['hash'], 'hash'),
    previousHash: text(fields['previousblockhash'] ?? '00'.repeat(32), 'previousblockhash'),
    timeSeconds: integer(fields['time'], 'time'),
    bits: Number.parseInt(text(fields['bits'], 'bits'), 16),
    confirmations: integer(fields['confirmations'], 'confirmations'),
    // btcd sends an empty string at the tip.
    ...(typeof next === 'string' && next !== '' ? { nextHash: next } : {}),
  };
}

async function txOutOf(client: ChainRpcClient, txid: string, vout: number): Promise<TxOut | undefined> {
  const value = await client.call('gettxout', [txid, vout, true]);
  if (value === null) return undefined;
  const fields = record(value, 'gettxout');
  return {
    valueSat: satsOfBtc(amountText(fields['value'], 'value')),
    scriptHex: text(record(fields['scriptPubKey'], 'scriptPubKey')['hex'], 'scriptPubKey.hex'),
    confirmations: integer(fields['confirmations'], 'confirmations'),
  };
}

async function confirmationsOf(client: ChainRpcClient, txid: string): Promise<number | undefined> {
  for (let vout = 0; vout < OUTPUTS_PROBED; vout += 1) {
    const output = await txOutOf(client, txid, vout);
    if (output !== undefined) return output.confirmations;
  }
  const value = await orNotFound(client.call('getrawtransaction', [txid, 1]), true);
  if (value === undefined) return undefined;
  const confirmations = record(value, 'getrawtransaction')['confirmations'];
  return confirmations === undefined ? 0 : Math.max(integer(confirmations, 'confirmations'), 0);
}

async function broadcast(client: ChainRpcClient, transactionHex: string): Promise<string> {
  try {
    return text(await client.call('sendrawtransaction', [transactionHex]), 'sendrawtransaction');
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'chain_rpc') throw error;
    const { rpcCode, rpcMessage } = error.meta;
    if (
      rpcCode === RPC_ALREADY_IN_CHAIN ||
      /already (?:have|known|in)|txn-already/i.test(String(rpcMessage))
    ) {
      return Transaction.fromHex(transactionHex).getId();
    }
    if (!RPC_REFUSALS.includes(Number(rpcCode))) throw error;
    throw new CodedError('tx_refused', `${rpcMessage} (${rpcCode})`, error.meta, { cause: error });
  }
}

async function scan(client: ChainRpcClient, scriptHex: string): Promise<Utxo[]> {
  const value = await scanWhenFree(client, scriptHex, SCAN_ATTEMPTS);
  const unspents = record(value, 'scantxoutset')['unspents'];
  if (!Array.isArray(unspents)) throw new CodedError('chain_rpc', 'scantxoutset: unspents is not a list');
  return unspents.map((unspent: unknown) => {
    const fields = record(unspent, 'unspent');
    return {
      txid: text(fields['txid'], 'txid'),
      vout: integer(fields['vout'], 'vout'),
      valueSat: satsOfBtc(amountText(fields['amount'], 'amount')),
      height: integer(fields['height'], 'height'),
    };
  });
}

/** A node runs one scan at a time. */
async function scanWhenFree(client: ChainRpcClient, scriptHex: string, attempts: number): Promise<unknown> {
  try {
    return await client.call('scantxoutset', ['start', [`raw(${scriptHex})`]]);
  } catch (error) {
    const busy = error instanceof CodedError && error.meta['rpcCode'] === RPC_INVALID_PARAMETER;
    if (!busy || attempts <= 1) throw error;
    await new Promise((resolve) => setTimeout(resolve, SCAN_RETRY_MS));
    return scanWhenFree(client, scriptHex, attempts - 1);
  }
}

async function feeRate(client: ChainRpcClient, targetBlocks: number, fallback: number): Promise<number> {
  const value = await client.call('estimatesmartfee', [targetBlocks]);
  const rate = record(value, 'estimatesmartfee')['feerate'];
  return rate === undefined ? fallback : Number(satsOfBtc(amountText(rate, 'feerate')));
}

/** Asks for the tip at a fixed pace and tells of each change; silent while the node does not answer. */
class TipWatch {
  readonly #pollMs: number;
  readonly #read: () => Promise<ChainTip>;
  readonly #log: Logger;
  readonly #listeners = new Map<symbol, (tip: ChainTip) => void>();
  #timer: NodeJS.Timeout | undefined;
  #last: ChainTip | undefined;
  #failing = false;
  #closed = false;

  constructor(pollMs: number, read: () => Promise<ChainTip>, log: Logger) {
    this.#pollMs = pollMs;
    this.#read = read;
    this.#log = log;
  }

  add(onTip: (tip: ChainTip) => void): () => void {
    const key = Symbol('watch');
    const first = this.#last;
    this.#listeners.set(key, onTip);
    if (first !== undefined) queueMicrotask(() => this.#listeners.get(key)?.(first));
    if (this.#listeners.size === 1) this.#schedule(0);
    return () => {
      this.#listeners.delete(key);
      if (this.#listeners.size === 0) clearTimeout(this.#timer);
    };
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#poll(), delayMs);
  }

  async #poll(): Promise<void> {
    try {
      const tip = await this.#read();
      if (this.#failing) this.#log.info({ height: tip.height }, 'bitcoin node answers again');
      this.#failing = false;
      const changed = this.#last?.hash !== tip.hash;
      this.#last = tip;
      if (changed) for (const listener of [...this.#listeners.values()]) listener(tip);
    } catch (error) {
      if (codeOf(error) === 'internal') throw error;
      if (!this.#failing && !this.#closed) {
        this.#log.warn({ error: codeOf(error), detail: String(error) }, 'bitcoin node does not answer');
      }
      this.#failing = true;
    }
    if (!this.#closed && this.#listeners.size > 0) this.#schedule(this.#pollMs);
  }
}

/**
 * Undefined for "not found". Nodes without a transaction index refuse the look-up with other numbers:
 * @param anyFailure takes every error of the node as "not found"
 */
async function orNotFound(call: Promise<unknown>, anyFailure = false): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'chain_rpc') throw error;
    if (anyFailure || error.meta['rpcCode'] === RPC_NOT_FOUND) return undefined;
    throw error;
  }
}

function record(value: unknown, field: string): Record<string, unknown> {
  if (!isRecord(value)) throw new CodedError('chain_rpc', `${field} is not an object`);
  return value;
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new CodedError('chain_rpc', `${field} is not a string`);
  return value;
}

function integer(value: unknown, field: string): number {
  if (typeof value !== 'number') throw new CodedError('chain_rpc', `${field} is not an integer`);
  return value;
}
