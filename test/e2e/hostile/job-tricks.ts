import { Transaction } from 'bitcoinjs-lib';
import { concat, fromHex, toHex } from '../../../src/base/bytes.ts';
import type { UpstreamJob } from '../../../src/jobs/job.ts';

/** What a hostile seller knows beside its own jobs. */
export type Known = {
  /** Script of the seller itself, in hex. */
  readonly ownScript: string;
  /** Its oldest job of another block. */
  readonly oldJob: UpstreamJob | undefined;
  /** The newest job of its own pool. */
  readonly ownPoolJob: UpstreamJob | undefined;
};

/** What is mined in the place of a job; undefined where that cannot be yet. */
export type JobTrick = (job: UpstreamJob, known: Known) => UpstreamJob | undefined;

const SAT_PER_BTC = 100_000_000n;

/** Other outputs of the coinbase; what comes after its extranonce alone changes. */
function withOutputs(job: UpstreamJob, change: (outputs: Transaction['outs']) => void): UpstreamJob {
  const start = concat(job.coinb1, job.extranonce1, new Uint8Array(job.extranonce2Size));
  const coinbase = Transaction.fromBuffer(concat(start, job.coinb2));
  change(coinbase.outs);
  return { ...job, coinb2: Uint8Array.from(coinbase.toBuffer().subarray(start.length)) };
}

/** The output of value. */
function paying(outputs: Transaction['outs']): Transaction['outs'][number] {
  return outputs.find(({ value }) => value > 0n)!;
}

const withValue = (value: (sat: bigint) => bigint): JobTrick => {
  return (job) =>
    withOutputs(job, (outputs) => {
      const output = paying(outputs);
      output.value = value(output.value);
    });
};

/**
 * Where the lowest byte of the height is: behind version, count, outpoint and the length of the script, and
 * from 17 on its own length.
 */
function heightAt({ coinb1 }: UpstreamJob): number {
  return coinb1[42]! < 0x51 ? 43 : 42;
}

/** One thing of a job is changed, and the rest is what the buyer checks. */
export const JOB_TRICKS: Readonly<Record<string, JobTrick>> = {
  'own pool': (job, { ownPoolJob }) =>
    ownPoolJob && { ...ownPoolJob, ...(job.bought && { bought: job.bought }), target: job.target },
  'foreign payee': (job, { ownScript }) =>
    withOutputs(job, (outputs) => {
      paying(outputs).script = fromHex(ownScript);
    }),
  '1 sat outputs': (job, { ownScript }) =>
    withOutputs(job, (outputs) => {
      const output = paying(outputs);
      outputs.push({ script: fromHex(ownScript), value: output.value - 1n });
      output.value = 1n;
    }),
  'invented bits': (job) => ({ ...job, bits: 0x1e7fffff }),
  height: (job) => ({
    ...job,
    coinb1: job.coinb1.map((byte, at) => (at === heightAt(job) ? byte ^ 1 : byte)),
  }),
  branches: (job) => ({ ...job, branches: [...job.branches.slice(1), new Uint8Array(32).fill(7)] }),
  'too little': withValue((sat) => sat / 2n),
  'too much': withValue((sat) => sat + 2n * SAT_PER_BTC),
  'one sat too much': withValue((sat) => sat + 1n),
  'stale template': (job, { oldJob }) => oldJob && { ...oldJob, target: job.target },
  // A pool of a maker numbers its connections: the first two are of two contracts.
  'job of another contract': (job) => ({
    ...job,
    extranonce1: fromHex(toHex(job.extranonce1) === '00000001' ? '00000002' : '00000001'),
  }),
};
