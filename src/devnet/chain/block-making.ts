import { Transaction } from 'bitcoinjs-lib';
import { fromHex } from '../../base/bytes.ts';
import { compactSize } from '../../bitcoin/coinbase.ts';
import { HEADER_SIZE } from '../../bitcoin/header.ts';
import type { BlockMaking, BlockTemplate } from '../../chain/block-template.ts';
import type { DevnetChain } from './chain.ts';

/** What `getblocktemplate` says, with the fee of each transaction. */
export type DevnetTemplate = Omit<BlockTemplate, 'transactions'> & {
  readonly coinbaseValueSat: bigint;
  readonly transactions: readonly {
    readonly txid: string;
    readonly hex: string;
    readonly feeSat: bigint;
  }[];
};

type Parsed = { readonly header: Uint8Array; readonly transactions: readonly Transaction[] };

/** Block making of a chain of this process, with and without a promise around it. */
export function devnetBlocks(chain: DevnetChain): BlockMaking & {
  templateNow(): DevnetTemplate;
  faultNow(blockHex: string): string | undefined;
  submitNow(blockHex: string): string | undefined;
} {
  const now = {
    templateNow: () => templateOf(chain),
    faultNow: (blockHex: string) => {
      const block = parseBlock(blockHex);
      return block === undefined
        ? 'Block decode failed'
        : chain.proposalFault(block.header, block.transactions);
    },
    submitNow: (blockHex: string) => {
      const block = parseBlock(blockHex);
      if (block === undefined) return 'Block decode failed';
      const [coinbase, ...others] = block.transactions;
      const verdict = chain.submitBlock(block.header, coinbase!.toBuffer(), others);
      return verdict.accepted ? undefined : verdict.reason;
    },
  };
  return {
    ...now,
    template: async () => now.templateNow(),
    waitingFeesSat: async () => chain.mempoolEntries().reduce((sum, { feeSat }) => sum + feeSat, 0n),
    mempoolTxids: async () => chain.mempoolEntries().map(({ txid }) => txid),
    mempoolTransaction: async (txid) => {
      const found = chain.mempoolEntries().find((entry) => entry.txid === txid);
      return found?.transaction.toHex();
    },
    proposalFault: async (blockHex) => now.faultNow(blockHex),
    submitBlock: async (blockHex) => now.submitNow(blockHex),
  };
}

function templateOf(chain: DevnetChain): DevnetTemplate {
  const template = chain.template();
  const fees = new Map(chain.mempoolEntries().map(({ txid, feeSat }) => [txid, feeSat]));
  const transactions = template.transactions.map((transaction) => {
    const txid = transaction.getId();
    return { txid, hex: transaction.toHex(), feeSat: fees.get(txid)! };
  });
  const { previousHash, height, bits, coinbaseValueSat } = template;
  return {
    ...{ previousHash, height, bits, coinbaseValueSat, transactions },
    timeSeconds: template.time,
    minTimeSeconds: template.minTime,
    feesSat: transactions.reduce((sum, { feeSat }) => sum + feeSat, 0n),
  };
}

function parseBlock(blockHex: string): Parsed | undefined {
  try {
    const bytes = fromHex(blockHex);
    const header = bytes.subarray(0, HEADER_SIZE);
    const transactions: Transaction[] = [];
    let at = HEADER_SIZE;
    const count = countAt(bytes, at);
    at += compactSize(count).length;
    while (transactions.length < count) {
      const one = Transaction.fromBuffer(bytes.subarray(at), true);
      transactions.push(one);
      at += one.byteLength();
    }
    return at === bytes.length && count > 0 ? { header, transactions } : undefined;
  } catch {
    return undefined;
  }
}

/** A CompactSize; a block holds no more than 2^16 transactions. */
function countAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  return first < 0xfd ? first : bytes[at + 1]! + bytes[at + 2]! * 256;
}
