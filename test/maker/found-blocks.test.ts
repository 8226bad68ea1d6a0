import { describe, expect, it } from 'vitest';
import { concat, fromHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256d } from '../../src/base/hash.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { serializeHeader } from '../../src/bitcoin/header.ts';
import { merkleRootFromBranches } from '../../src/bitcoin/merkle.ts';
import { hashToNumber, targetOfCompact } from '../../src/bitcoin/target.ts';
import type { TemplateTransaction } from '../../src/chain/block-template.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { FoundBlocks, OWN_NODE } from '../../src/maker/found-blocks.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import type { ShareCase } from '../../src/maker/verification.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

/** Half of all hashes are blocks. */
const EASIEST = 0x207fffff;
const ONE: TemplateTransaction = { txid: 'ab'.repeat(32), hex: '0e' };
const OTHER: TemplateTransaction = { txid: 'cd'.repeat(32), hex: '0f' };

/** A job whose block has these transactions, one at most. */
function jobWith(transactions: readonly TemplateTransaction[]): JobRecord {
  const { coinb1, coinb2 } = buildCoinbase({
    ...{ height: 900_000, extranonceSize: 8, tag: new Uint8Array(4) },
    outputs: [{ script: fromHex('51'), valueSat: 1n }],
  });
  return {
    ...{ id: 1, wireId: '1', stream: 's', version: 0x20000000, versionMask: 0, coinb1, coinb2 },
    branches: transactions.map(({ txid }) => fromHex(txid).toReversed()),
    ...{ prevHash: new Uint8Array(32).fill(1), bits: EASIEST, time: 1000, extranonceSize: 8 },
    upstreamDifficulty: 1,
  };
}

function solved(job: JobRecord) {
  const extranonce = new Uint8Array(8);
  const coinbase = sha256d(concat(job.coinb1, extranonce, job.coinb2));
  const { version, prevHash, branches, bits, time } = job;
  for (let nonce = 0; ; nonce += 1) {
    const merkleRoot = merkleRootFromBranches(coinbase, branches);
    const header = serializeHeader({ version, prevHash, merkleRoot, time, bits, nonce });
    if (hashToNumber(sha256d(header)) <= targetOfCompact(bits))
      return { contractId: 'c', job, extranonce, ntime: time, nonce, version };
  }
}

/** The blocks of one contract, and a node that says this of each in turn. */
function stood(...says: readonly (string | undefined)[]) {
  const { clock, timers } = new VirtualTime();
  const book = new PoolBook([OWN_NODE]);
  const submitted: string[] = [];
  let asked = 0;
  const answers = [...says];
  const submitBlock = async (hex: string): Promise<string | undefined> => {
    submitted.push(hex.slice(162));
    return answers.shift();
  };
  const blocks = new FoundBlocks('c', 0, {
    ...{ kernel: createPortableKernel(4), clock, timers, log: silentLogger, book },
    ...{ ledger: new MemoryLedger(), isTold: () => true },
    chain: { blocks: { submitBlock } } as never,
    templates: { transactions: [], transactionsOf: () => undefined } as never,
    ask: (() => {
      asked += 1;
      return Promise.reject(new CodedError('peer_closed'));
    }) as never,
  });
  return { blocks, book, submitted, asked: () => asked };
}

describe('a block that the miner shows', () => {
  it('is built of the transactions of a sample, where one is of its job', async () => {
    const { blocks, submitted, asked } = stood();
    blocks.keep([ONE]);
    blocks.keep([OTHER]);
    expect(await blocks.show(solved(jobWith([ONE])))).toMatchObject({ outcome: 'accepted' });
    expect(submitted.map((hex) => hex.endsWith(ONE.hex))).toEqual([true]);
    expect([asked(), blocks.status.verdicts.accepted]).toEqual([0, 1]);
  });

  it('is asked about where nothing of its job is here', async () => {
    const { blocks, submitted, asked } = stood();
    // Of the newest two samples alone.
    for (const each of [ONE, OTHER, OTHER]) blocks.keep([each]);
    expect(await blocks.show(solved(jobWith([ONE])))).toMatchObject({ outcome: 'lost' });
    expect([submitted, asked()]).toEqual([[], 1]);
  });

  it.each([
    ['duplicate', 'accepted', 0],
    ['inconclusive-not-best-prevblk', 'refused', 0],
    ['prev-blk-not-found', 'refused', 0],
    ['high-hash', 'refused', 0],
    // Another witness of the same transaction may be good.
    ['bad-witness-merkle-match', 'lost', 1],
  ])('of which the own node says %s is %s', async (fault, outcome, times) => {
    const { blocks, asked } = stood(fault);
    blocks.keep([ONE]);
    expect(await blocks.show(solved(jobWith([ONE])))).toMatchObject({ outcome });
    expect(asked()).toBe(times);
  });

  it('of nothing but its coinbase is asked about no more, whatever the node says', async () => {
    const { blocks, asked } = stood('bad-witness-merkle-match');
    blocks.keep([]);
    expect(await blocks.show(solved(jobWith([])))).toMatchObject({ outcome: 'refused' });
    expect([asked(), blocks.status.lastFault]).toEqual([0, 'bad-witness-merkle-match']);
  });
});

it('what is credited stands in the book of the own node, and what is refused does not', () => {
  const { blocks, book } = stood();
  const target = { workHashes: 5n } as ShareCase['target'];
  const each = {
    share: {},
    job: undefined,
    code: undefined,
    target,
    hash: undefined,
  } as unknown as ShareCase;
  blocks.judged([each, { ...each, code: 'share_low' }, each]);
  expect(book.figures[0]!.creditedWorkHashes).toBe(10n);
});
