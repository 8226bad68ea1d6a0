import { concat, toHex, u32hex } from '../../base/bytes.ts';
import { sha256d } from '../../base/hash.ts';
import { buildCoinbase, type CoinbaseOutput } from '../../bitcoin/coinbase.ts';
import { displayHash, parseDisplayHash, serializeHeader, swapWords } from '../../bitcoin/header.ts';
import { branchesForCoinbase, merkleRootFromBranches } from '../../bitcoin/merkle.ts';
import { hashToNumber, targetOfCompact } from '../../bitcoin/target.ts';
import type { BlockTemplate, BlockVerdict } from './block.ts';

/** A template cut for Stratum: the coinbase around its extranonce, and the merkle branches. */
export type Work = {
  readonly jobId: string;
  readonly template: BlockTemplate;
  readonly coinb1: Uint8Array;
  readonly coinb2: Uint8Array;
  readonly branches: readonly Uint8Array[];
  readonly networkTarget: bigint;
};

export type WorkOptions = {
  readonly jobId: string;
  readonly poolScript: Uint8Array;
  readonly extranonceSize: number;
  /** Ends the coinbase script. */
  readonly tag: Uint8Array;
  /** After the reward and the witness commitment. */
  readonly extraOutputs?: readonly CoinbaseOutput[];
};

export function buildWork(template: BlockTemplate, options: WorkOptions): Work {
  const { coinb1, coinb2 } = buildCoinbase({
    height: template.height,
    extranonceSize: options.extranonceSize,
    tag: options.tag,
    outputs: [
      { script: options.poolScript, valueSat: template.coinbaseValueSat },
      { script: template.witnessCommitmentScript, valueSat: 0n },
      ...(options.extraOutputs ?? []),
    ],
  });
  return {
    jobId: options.jobId,
    template,
    coinb1,
    coinb2,
    branches: branchesForCoinbase(template.transactions.map((transaction) => transaction.getHash())),
    networkTarget: targetOfCompact(template.bits),
  };
}

/** The nine parameters of `mining.notify`. */
export function notifyParams(work: Work, clean: boolean): unknown[] {
  const { template } = work;
  return [
    work.jobId,
    toHex(swapWords(parseDisplayHash(template.previousHash))),
    toHex(work.coinb1),
    toHex(work.coinb2),
    work.branches.map(toHex),
    u32hex(template.version),
    u32hex(template.bits),
    u32hex(template.time),
    clean,
  ];
}

/** What a miner's submit fixes. */
export type Solution = {
  readonly extranonce: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  readonly version: number;
};

export type HashedSolution = {
  readonly header: Uint8Array;
  readonly coinbase: Uint8Array;
  /** As displayed. */
  readonly hash: string;
  readonly hashNumber: bigint;
};

/** Rebuilds the header a solution stands for. */
export function hashSolution(work: Work, solution: Solution): HashedSolution {
  const coinbase = concat(work.coinb1, solution.extranonce, work.coinb2);
  const header = serializeHeader({
    version: solution.version,
    prevHash: parseDisplayHash(work.template.previousHash),
    merkleRoot: merkleRootFromBranches(sha256d(coinbase), work.branches),
    time: solution.ntime,
    bits: work.template.bits,
    nonce: solution.nonce,
  });
  const hash = sha256d(header);
  return { header, coinbase, hash: displayHash(hash), hashNumber: hashToNumber(hash) };
}

/** The part of a chain that takes blocks. */
export type BlockTaker = {
  submitBlock(
    header: Uint8Array,
    coinbase: Uint8Array,
    transactions: BlockTemplate['transactions'],
  ): BlockVerdict;
};

/** Gives a solved block to the chain. */
export function submitSolved(chain: BlockTaker, work: Work, solved: HashedSolution): BlockVerdict {
  return chain.submitBlock(solved.header, solved.coinbase, work.template.transactions);
}
