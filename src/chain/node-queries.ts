import { isHex, toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256d } from '../base/hash.ts';
import { displayHash, parseDisplayHash, serializeHeader } from '../bitcoin/header.ts';
import type { CoinScan } from './coin-scan.ts';
import type { ChainRpcClient } from './rpc-client.ts';
import {
  orNotFound,
  orNotOffered,
  readInteger,
  readRecord,
  readSatPerKvb,
  readSats,
  readText,
} from './rpc-fields.ts';
import type { ChainHeader, ChainTip, TxOut, Utxo } from './source.ts';
import { type TrucPolicy, trucPolicyOf } from './truc.ts';

export type NodeStatus = { readonly tip: ChainTip; readonly isSyncing: boolean };

/** What bitcoind and btcd are asked in different ways. */
export type NodeQueries = {
  readonly kind: 'bitcoind' | 'btcd';
  status(): Promise<NodeStatus>;
  header(hash: string): Promise<ChainHeader | undefined>;
  txOut(txid: string, vout: number, withMempool: boolean): Promise<TxOut | undefined>;
  utxos(scriptHex: string): Promise<Utxo[]>;
  /** Undefined where the node has seen too little to estimate. */
  estimateSatPerKvb(targetBlocks: number): Promise<number | undefined>;
  /** Below this the node takes no transaction; undefined where it does not tell. */
  minimumSatPerKvb(): Promise<number | undefined>;
  /** Absent where the node cannot tell. */
  readonly trucPolicy?: () => Promise<TrucPolicy | undefined>;
  /** Parents first; absent where the node takes transactions one by one only. Throws `tx_refused`. */
  readonly submitPackage?: (transactionsHex: readonly string[]) => Promise<void>;
};

/** bitcoind 28 or newer, and the devnet chain. */
export function bitcoindQueries(client: ChainRpcClient, coins: CoinScan): NodeQueries {
  return {
    kind: 'bitcoind',
    status: async () => {
      const info = readRecord(await client.call('getblockchaininfo', []), 'getblockchaininfo');
      return {
        tip: {
          height: readInteger(info['blocks'], 'blocks'),
          hash: readText(info['bestblockhash'], 'bestblockhash'),
          timeSeconds: readInteger(info['time'], 'time'),
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
    utxos: (scriptHex) => coins.utxos(scriptHex),
    estimateSatPerKvb: async (targetBlocks) => {
      const rate = readRecord(await client.call('estimatesmartfee', [targetBlocks]), 'estimatesmartfee');
      return rate['feerate'] === undefined ? undefined : readSatPerKvb(rate['feerate'], 'feerate');
    },
    minimumSatPerKvb: async () => {
      const info = await orNotOffered(client.call('getmempoolinfo', []));
      if (info === undefined) return undefined;
      return readSatPerKvb(readRecord(info, 'getmempoolinfo')['mempoolminfee'], 'mempoolminfee');
    },
    trucPolicy: () => trucPolicyOf(client),
    submitPackage: async (transactionsHex) => {
      const answer = await client.call('submitpackage', [transactionsHex]);
      checkPackage(readRecord(answer, 'submitpackage'));
    },
  };
}

/** Of the first block, which no node says. */
const NO_PARENT = '00'.repeat(32);

/** A verbose header, as both kinds of node print it. */
export function headerOf(value: unknown): ChainHeader {
  const fields = readRecord(value, 'getblockheader');
  const next = fields['nextblockhash'];
  return {
    height: readInteger(fields['height'], 'height'),
    hash: readText(fields['hash'], 'hash'),
    previousHash: readText(fields['previousblockhash'] ?? NO_PARENT, 'previousblockhash'),
    timeSeconds: readInteger(fields['time'], 'time'),
    bits: Number.parseInt(readText(fields['bits'], 'bits'), 16),
    confirmations: readInteger(fields['confirmations'], 'confirmations'),
    // btcd sends an empty string at the tip.
    ...(typeof next === 'string' && next !== '' ? { nextHash: next } : {}),
    ...headerHexOf(fields),
  };
}

/** The 80 bytes of a verbose header, where they hash to what it says. */
function headerHexOf(fields: Record<string, unknown>): Pick<ChainHeader, 'headerHex'> {
  const { version, merkleroot, nonce, time, bits, hash, previousblockhash: previous = NO_PARENT } = fields;
  const hashes = [merkleroot, hash, previous];
  if (![version, nonce, time].every(Number.isInteger)) return {};
  if (!hashes.every((each) => typeof each === 'string' && isHex(each, 32))) return {};
  const header = serializeHeader({
    version: Number(version) >>> 0,
    prevHash: parseDisplayHash(String(previous)),
    merkleRoot: parseDisplayHash(String(merkleroot)),
    time: Number(time),
    bits: Number.parseInt(String(bits), 16),
    nonce: Number(nonce),
  });
  return displayHash(sha256d(header)) === hash ? { headerHex: toHex(header) } : {};
}

/** The answer of `gettxout`; undefined for null. */
export function txOutOf(value: unknown): TxOut | undefined {
  if (value === null) return undefined;
  const fields = readRecord(value, 'gettxout');
  return {
    valueSat: readSats(fields['value'], 'value'),
    scriptHex: readText(readRecord(fields['scriptPubKey'], 'scriptPubKey')['hex'], 'scriptPubKey.hex'),
    confirmations: readInteger(fields['confirmations'], 'confirmations'),
  };
}

/** Throws `tx_refused` with the node's reasons unless every transaction of the package is in the mempool. */
function checkPackage(answer: Record<string, unknown>): void {
  const reasons = Object.values(readRecord(answer['tx-results'], 'tx-results')).flatMap((value) => {
    const { error } = readRecord(value, 'tx-result') as { readonly error?: unknown };
    return error === undefined ? [] : [String(error)];
  });
  if (answer['package_msg'] === 'success' && reasons.length === 0) return;
  throw new CodedError(
    'tx_refused',
    `${String(answer['package_msg'])}: ${reasons.join('; ').slice(0, 400)}`,
  );
}
