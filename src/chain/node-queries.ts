import { sleep } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { ChainRpcClient } from './rpc-client.ts';
import {
  integer,
  list,
  orNotFound,
  orNotOffered,
  record,
  rpcCodeOf,
  satPerKvb,
  sats,
  text,
} from './rpc-fields.ts';
import type { ChainHeader, ChainTip, TxOut, Utxo } from './source.ts';

export type NodeStanding = { readonly tip: ChainTip; readonly isSyncing: boolean };

/** What bitcoind and btcd are asked in different ways. */
export type NodeQueries = {
  readonly kind: 'bitcoind' | 'btcd';
  standing(): Promise<NodeStanding>;
  header(hash: string): Promise<ChainHeader | undefined>;
  txOut(txid: string, vout: number, withMempool: boolean): Promise<TxOut | undefined>;
  utxos(scriptHex: string): Promise<Utxo[]>;
  /** Undefined where the node has seen too little to estimate. */
  estimateSatPerKvb(targetBlocks: number): Promise<number | undefined>;
  /** Below this the node takes no transaction; undefined where it does not tell. */
  minimumSatPerKvb(): Promise<number | undefined>;
  /** Parents first; absent where the node takes transactions one by one only. Throws `tx_refused`. */
  readonly submitPackage?: (transactionsHex: readonly string[]) => Promise<void>;
};

const SCAN_ATTEMPTS = 20;
const SCAN_RETRY_MS = 250;
/** bitcoind: "Scan already in progress". */
const RPC_INVALID_PARAMETER = -8;

/** bitcoind 28 or newer, and the devnet chain. */
export function bitcoindQueries(client: ChainRpcClient): NodeQueries {
  return {
    kind: 'bitcoind',
    standing: async () => {
      const info = record(await client.call('getblockchaininfo', []), 'getblockchaininfo');
      return {
        tip: {
          height: integer(info['blocks'], 'blocks'),
          hash: text(info['bestblockhash'], 'bestblockhash'),
          timeSeconds: integer(info['time'], 'time'),
        },
        isSyncing: info['initialblockdownload'] === true,
      };
    },
    header: async (hash) => {
      const value = await orNotFound(client.call('getblockheader', [hash, true]));
      return value === undefined ? undefined : headerOf(value);
    },
    txOut: async (txid, vout, withMempool) =>
      txOutOf(await client.call('gettxout', [txid, vout, withMempool])),
    utxos: (scriptHex) => scan(client, scriptHex),
    estimateSatPerKvb: async (targetBlocks) => {
      const rate = record(await client.call('estimatesmartfee', [targetBlocks]), 'estimatesmartfee');
      return rate['feerate'] === undefined ? undefined : satPerKvb(rate['feerate'], 'feerate');
    },
    minimumSatPerKvb: async () => {
      const info = await orNotOffered(client.call('getmempoolinfo', []));
      if (info === undefined) return undefined;
      return satPerKvb(record(info, 'getmempoolinfo')['mempoolminfee'], 'mempoolminfee');
    },
    submitPackage: async (transactionsHex) => {
      const answer = await client.call('submitpackage', [transactionsHex]);
      checkPackage(record(answer, 'submitpackage'));
    },
  };
}

/** A verbose header, as both kinds of node print it. */
export function headerOf(value: unknown): ChainHeader {
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

/** The answer of `gettxout`; undefined for null. */
export function txOutOf(value: unknown): TxOut | undefined {
  if (value === null) return undefined;
  const fields = record(value, 'gettxout');
  return {
    valueSat: sats(fields['value'], 'value'),
    scriptHex: text(record(fields['scriptPubKey'], 'scriptPubKey')['hex'], 'scriptPubKey.hex'),
    confirmations: integer(fields['confirmations'], 'confirmations'),
  };
}

async function scan(client: ChainRpcClient, scriptHex: string): Promise<Utxo[]> {
  const value = await scanWhenFree(client, scriptHex, SCAN_ATTEMPTS);
  return list(record(value, 'scantxoutset')['unspents'], 'unspents').map((unspent) => {
    const fields = record(unspent, 'unspent');
    return {
      txid: text(fields['txid'], 'txid'),
      vout: integer(fields['vout'], 'vout'),
      valueSat: sats(fields['amount'], 'amount'),
      height: integer(fields['height'], 'height'),
    };
  });
}

/** A node runs one scan at a time. */
async function scanWhenFree(client: ChainRpcClient, scriptHex: string, attempts: number): Promise<unknown> {
  try {
    return await client.call('scantxoutset', ['start', [`raw(${scriptHex})`]]);
  } catch (error) {
    if (rpcCodeOf(error) !== RPC_INVALID_PARAMETER || attempts <= 1) throw error;
    await sleep(client.timers, SCAN_RETRY_MS);
    return scanWhenFree(client, scriptHex, attempts - 1);
  }
}

/** Throws `tx_refused` with the node's reasons unless every transaction of the package is in the mempool. */
function checkPackage(answer: Record<string, unknown>): void {
  const reasons = Object.values(record(answer['tx-results'], 'tx-results')).flatMap((value) => {
    const { error } = record(value, 'tx-result') as { readonly error?: unknown };
    return error === undefined ? [] : [String(error)];
  });
  if (answer['package_msg'] === 'success' && reasons.length === 0) return;
  throw new CodedError(
    'tx_refused',
    `${String(answer['package_msg'])}: ${reasons.join('; ').slice(0, 400)}`,
  );
}
