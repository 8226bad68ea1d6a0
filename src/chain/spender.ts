import { Block, type Transaction } from 'bitcoinjs-lib';
import { concat, fromHex, reversed, toHex, u32le } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { Waiting } from './fee-bid.ts';
import type { ChainRpcClient } from './rpc-client.ts';
import {
  orNotFound,
  orUndefined,
  readInteger,
  readList,
  readRecord,
  readSats,
  readText,
} from './rpc-fields.ts';
import { optional, type Spender } from './source.ts';

type Outpoint = { readonly txid: string; readonly vout: number };

/** Blocks searched for what spent an output while this program did not run; two days. */
const SEARCHED_BLOCKS = 288;
/** Searched again at each look: a reorganisation moves a transaction to a block below one seen before. */
const SEARCHED_AGAIN = 6;

/** bitcoind: "Block not available (pruned data)"; btcd: the block is not in its database. */
const RPC_MISC = -1;
const RPC_NO_BLOCK = -5;

/**
 * How many of the last blocks to search for what spends an output: those that came since the last search, and
 * what a reorganisation moves.
 * @param searchedHeight tip of the last search; undefined for the first, of two days
 */
export function blocksToSearch(tipHeight: number, searchedHeight: number | undefined): number {
  const missed = searchedHeight === undefined ? SEARCHED_BLOCKS : Math.max(tipHeight - searchedHeight, 0);
  return Math.min(missed + SEARCHED_AGAIN, SEARCHED_BLOCKS);
}

/**
 * The transaction that spends an output, as no index of a node tells it: asked of the mempool, then looked
 * for in the last blocks, newest first, as raw bytes. Undefined where nothing does, or a block is pruned.
 */
export async function findSpender(
  client: ChainRpcClient,
  outpoint: Outpoint,
  blocks: number,
): Promise<Spender | undefined> {
  const waiting = await mempoolSpender(client, outpoint);
  if (waiting !== undefined) return waiting;
  const serialized = outpointHex(outpoint);
  let hash = readText(await client.call('getbestblockhash', []), 'getbestblockhash');
  for (let confirmations = 1; confirmations <= blocks; confirmations += 1) {
    const hex = await orUndefined(client.call('getblock', [hash, 0]), [RPC_MISC, RPC_NO_BLOCK]);
    if (hex === undefined) return undefined;
    const raw = readText(hex, 'getblock');
    const found = raw.includes(serialized) ? spenderIn(raw, outpoint) : undefined;
    if (found !== undefined) return { ...found, confirmations, blockHash: hash };
    hash = displayHash(fromHex(raw.slice(8, 72), 32));
    if (/^0+$/.test(hash)) return undefined;
  }
  return undefined;
}

async function mempoolSpender(client: ChainRpcClient, outpoint: Outpoint): Promise<Spender | undefined> {
  const answers = readList(await client.call('gettxspendingprevout', [[outpoint]]), 'gettxspendingprevout');
  const txid = readRecord(answers[0], 'gettxspendingprevout')['spendingtxid'];
  if (typeof txid !== 'string' || txid === '') return undefined;
  // Undefined where it left the mempool between the two questions.
  const hex = await orNotFound(client.call('getrawtransaction', [txid, 0]));
  if (hex === undefined) return undefined;
  const entry = await optional(
    () => entryOf(client, txid),
    () => {},
  );
  return { txid, hex: readText(hex, 'getrawtransaction'), confirmations: 0, ...entry };
}

/** What a transaction and its descendants pay, and since when it waits; btcd does not tell. */
async function entryOf(
  client: ChainRpcClient,
  txid: string,
): Promise<Pick<Spender, 'waiting' | 'waitingSince'>> {
  const entry = readRecord(await client.call('getmempoolentry', [txid]), 'getmempoolentry');
  const fees = readRecord(entry['fees'], 'fees');
  const waiting: Waiting = {
    feeSat: readSats(fees['base'], 'fees.base'),
    vsize: readInteger(entry['vsize'], 'vsize'),
    packageFeeSat: readSats(fees['descendant'], 'fees.descendant'),
    packageVsize: readInteger(entry['descendantsize'], 'descendantsize'),
  };
  const { height } = entry;
  return typeof height === 'number' ? { waiting, waitingSince: height } : { waiting };
}

function outpointHex({ txid, vout }: Outpoint): string {
  return toHex(concat(reversed(fromHex(txid, 32)), u32le(vout)));
}

function spenderIn(raw: string, { txid, vout }: Outpoint): { txid: string; hex: string } | undefined {
  let transactions: readonly Transaction[];
  try {
    transactions = Block.fromHex(raw).transactions ?? [];
  } catch (cause) {
    throw new CodedError('chain_rpc', 'getblock: not a block', {}, { cause });
  }
  const spender = transactions.find(({ ins }) =>
    ins.some(({ hash, index }) => index === vout && displayHash(hash) === txid),
  );
  return spender === undefined ? undefined : { txid: spender.getId(), hex: spender.toHex() };
}
