import type { ChainRpcClient } from './rpc-client.ts';
import {
  orNotFound,
  orNotOffered,
  readInteger,
  readList,
  readRecord,
  readSats,
  readText,
} from './rpc-fields.ts';

/** A transaction of a template; the txid as displayed. */
export type TemplateTransaction = { readonly txid: string; readonly hex: string };

/** The block that a node would have mined next. */
export type BlockTemplate = {
  /** As displayed. */
  readonly previousHash: string;
  readonly height: number;
  readonly bits: number;
  readonly timeSeconds: number;
  readonly minTimeSeconds: number;
  readonly feesSat: bigint;
  /** Without the coinbase, in their order. */
  readonly transactions: readonly TemplateTransaction[];
};

/** A node that makes and judges blocks. Throws `chain_unreachable`, and `chain_rpc` where it does neither. */
export type BlockMaking = {
  template(): Promise<BlockTemplate>;
  /** Fees in sats of all that waits in the mempool; undefined where the node does not tell. */
  waitingFeesSat(): Promise<bigint | undefined>;
  mempoolTxids(): Promise<readonly string[]>;
  /** A transaction of the mempool in hex. */
  mempoolTransaction(txid: string): Promise<string | undefined>;
  /**
   * Why a block without proof of work would be refused (BIP23), in the words of BIP22; undefined if it would
   * not.
   */
  proposalFault(blockHex: string): Promise<string | undefined>;
  /** Why a block was not taken, in the words of BIP22; undefined where it was. */
  submitBlock(blockHex: string): Promise<string | undefined>;
};

/** Judging a whole block takes a node longer than any other question. */
const PROPOSAL_MS = 30_000;

/** Block making of bitcoind, and of btcd, over JSON-RPC. */
export function blockMaking(client: ChainRpcClient): BlockMaking {
  return {
    template: async () => templateOf(await client.call('getblocktemplate', [{ rules: ['segwit'] }])),
    waitingFeesSat: async () => {
      const info = await orNotOffered(client.call('getmempoolinfo', []));
      const fees = info === undefined ? undefined : readRecord(info, 'getmempoolinfo')['total_fee'];
      return fees === undefined ? undefined : readSats(fees, 'total_fee');
    },
    mempoolTxids: async () =>
      readList(await client.call('getrawmempool', []), 'getrawmempool').map((txid) =>
        readText(txid, 'txid'),
      ),
    mempoolTransaction: async (txid) => {
      const hex = await orNotFound(client.call('getrawtransaction', [txid]));
      return hex === undefined ? undefined : readText(hex, 'getrawtransaction');
    },
    proposalFault: async (data) => {
      const request = { mode: 'proposal', rules: ['segwit'], data };
      return faultOf(await client.call('getblocktemplate', [request], PROPOSAL_MS));
    },
    submitBlock: async (data) => faultOf(await client.call('submitblock', [data], PROPOSAL_MS)),
  };
}

/** A null is BIP22's word for a good block. */
function faultOf(answer: unknown): string | undefined {
  return answer === null ? undefined : readText(answer, 'BIP22 verdict').slice(0, 100);
}

function templateOf(answer: unknown): BlockTemplate {
  const fields = readRecord(answer, 'getblocktemplate');
  let feesSat = 0n;
  const transactions = readList(fields['transactions'], 'transactions').map((value) => {
    const transaction = readRecord(value, 'transaction');
    feesSat += BigInt(readInteger(transaction['fee'], 'fee'));
    return { txid: readText(transaction['txid'], 'txid'), hex: readText(transaction['data'], 'data') };
  });
  return {
    previousHash: readText(fields['previousblockhash'], 'previousblockhash'),
    height: readInteger(fields['height'], 'height'),
    bits: Number.parseInt(readText(fields['bits'], 'bits'), 16),
    timeSeconds: readInteger(fields['curtime'], 'curtime'),
    minTimeSeconds: readInteger(fields['mintime'], 'mintime'),
    feesSat,
    transactions,
  };
}
