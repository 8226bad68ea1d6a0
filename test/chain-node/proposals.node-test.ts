import { Transaction } from 'bitcoinjs-lib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { parseDisplayHash } from '../../src/bitcoin/header.ts';
import { subsidySat } from '../../src/bitcoin/network.ts';
import { shortIdOf } from '../../src/bitcoin/short-id.ts';
import type { BlockTemplate } from '../../src/chain/block-template.ts';
import type { RpcChainSource } from '../../src/chain/rpc-source.ts';
import { branchesOf } from '../../src/chain/template-watch.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { witnessCommitmentScript } from '../../src/devnet/chain/block.ts';
import { type SampleDeps, sampleJob } from '../../src/maker/template-sample.ts';
import type { Params, Result } from '../../src/peer/messages.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { pay, testKey } from '../devnet/wallets.ts';
import { Bank } from './bank.ts';
import type { TestNode } from './node.ts';
import { describeOn, startNode } from './suite.ts';

const CONTRACT = 'ab'.repeat(32);
const PAYEE = `0014${'ab'.repeat(20)}`;
let node: TestNode;
let bank: Bank;
let source: RpcChainSource;

beforeAll(async () => {
  node = await startNode();
  bank = new Bank(node);
  source = node.source();
});
afterAll(async () => {
  source?.close();
  await node?.close();
});

/** The job that a solo pool would make of a template, but for what it claims beyond. */
function jobOf(template: BlockTemplate, moreSat = 0n, height = template.height): JobRecord {
  const transactions = template.transactions.map(({ hex }) => Transaction.fromHex(hex));
  const valueSat = subsidySat('regtest', template.height) + template.feesSat + moreSat;
  const { coinb1, coinb2 } = buildCoinbase({
    height,
    extranonceSize: 8,
    tag: new Uint8Array(4),
    outputs: [
      { script: fromHex(PAYEE), valueSat },
      { script: witnessCommitmentScript(transactions), valueSat: 0n },
    ],
  });
  return {
    ...{ id: 1, wireId: '1', stream: CONTRACT, version: 0x20000000, versionMask: 0 },
    ...{ prevHash: parseDisplayHash(template.previousHash), coinb1, coinb2, extranonceSize: 8 },
    ...{ branches: branchesOf(template.transactions.map(({ txid }) => txid)), bits: template.bits },
    ...{ time: template.timeSeconds, upstreamDifficulty: 1 },
  };
}

/** A miner that has the template, and a maker that knows no transaction but those of its mempool. */
function depsOf(template: BlockTemplate): SampleDeps & { readonly shown: number[] } {
  const shown: number[] = [];
  const answers = {
    'work.template': () => ({ shortIds: template.transactions.map(({ txid }) => shortIdOf(txid)) }),
    'work.transactions': ({ places }: Params<'work.transactions'>) => {
      shown.push(...places);
      return { transactions: places.map((place) => template.transactions[place]!.hex) };
    },
  };
  const ask = async <M extends keyof typeof answers>(method: M, params: Params<M>): Promise<Result<M>> =>
    answers[method](params as never) as Result<M>;
  return { blocks: source.blocks!, known: () => [], ask, clock: systemClock, timers: systemTimers, shown };
}

describeOn('bitcoind', 'the block of a sampled job, by a real node', () => {
  it('is taken as a proposal, with transactions of its mempool', async () => {
    const key = testKey(77);
    const scriptHex = toHex(p2wpkhScript(key.publicKey));
    const [coin] = await bank.fund([{ scriptHex, valueSat: 50_000n }]);
    const waiting = pay({ from: [coin!], key, to: [{ scriptHex, valueSat: 40_000n }] });
    await source.broadcast(waiting.toHex());
    const template = await source.blocks!.template();
    expect(template).toMatchObject({ feesSat: 10_000n, transactions: [{ txid: waiting.getId() }] });
    expect(await source.blocks!.waitingFeesSat()).toBe(10_000n);
    const deps = depsOf(template);
    const transactions = [{ txid: waiting.getId(), hex: waiting.toHex() }];
    expect(await sampleJob(CONTRACT, jobOf(template), 10_000, deps)).toEqual({
      type: 'good',
      transactions,
    });
    expect(deps.shown).toEqual([]);
  });

  it('is refused where it claims a sat more, or says another height', async () => {
    const template = await source.blocks!.template();
    const judged = (job: JobRecord) => sampleJob(CONTRACT, job, 10_000, depsOf(template));
    expect(await judged(jobOf(template, 1n))).toMatchObject({
      type: 'bad',
      why: expect.stringContaining('bad-cb-amount'),
    });
    expect(await judged(jobOf(template, 0n, template.height + 1))).toMatchObject({
      type: 'bad',
      why: expect.stringContaining('bad-cb-height'),
    });
    expect(await judged({ ...jobOf(template), branches: [new Uint8Array(32)] })).toMatchObject({
      type: 'bad',
    });
  });

  it('is not judged once another block came', async () => {
    const template = await source.blocks!.template();
    await node.generateEmpty(1);
    const result = await sampleJob(CONTRACT, jobOf(template), 10_000, depsOf(template));
    expect(result).toMatchObject({ type: 'inconclusive' });
  });

  it('is not waited for longer than agreed', async () => {
    const template = await source.blocks!.template();
    const silent = { ...depsOf(template), ask: () => new Promise<never>(() => {}) };
    await expect(sampleJob(CONTRACT, jobOf(template), 50, silent)).rejects.toBeInstanceOf(CodedError);
  });
});
