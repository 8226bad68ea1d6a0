import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { commitmentOf, encodeMetadata } from '../../src/jobs/bead-metadata.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { failureOf } from '../../src/upstream/braidpool-rpc.ts';
import { JobMetadata } from '../../src/upstream/job-metadata.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { jobOn, metadataTo } from './metadata-samples.ts';

const SCRIPT = `0014${'ab'.repeat(20)}`;

type Question = {
  readonly commitment: Uint8Array;
  readonly answer: (metadata: Uint8Array) => void;
  readonly fail: (error: unknown) => void;
};

class Stand {
  readonly time = new VirtualTime();
  readonly questions: Question[] = [];
  readonly given: UpstreamJob[] = [];
  readonly relay = new JobMetadata(
    {
      ask: (commitment) =>
        new Promise((answer, fail) => void this.questions.push({ commitment, answer, fail })),
      timers: this.time.timers,
    },
    (job) => void this.given.push(job),
  );

  get names(): string[] {
    return this.given.map(
      ({ upstreamJobId, metadata }) => `${upstreamJobId}${metadata === undefined ? ' without' : ''}`,
    );
  }
}

const encodedOf = (number: number): Uint8Array =>
  encodeMetadata(metadataTo(SCRIPT, { startTimestamp: number }));

/** The job of that number; `isPlain` commits to nothing. */
function jobOf(number: number, isPlain = false): UpstreamJob {
  const { coinb1, coinb2 } = jobOn(encodedOf(number), (usual) => (isPlain ? usual.slice(0, 2) : usual));
  const sizes = { extranonce1: new Uint8Array(4), extranonce2Size: 4 };
  return { upstreamJobId: `${number}`, coinb1, coinb2, ...sizes } as unknown as UpstreamJob;
}

describe('jobs that commit to metadata', () => {
  it('are given with it, once it is known; others at once', async () => {
    const stand = new Stand();
    const { relay, questions, given, time } = stand;
    relay.add(jobOf(1, true));
    expect(given).toHaveLength(1);
    relay.add(jobOf(2));
    expect(given).toHaveLength(1);
    expect(questions[0]!.commitment).toEqual(commitmentOf(encodedOf(2)));
    questions[0]!.answer(encodedOf(2));
    await time.settle();
    expect(given[1]!.metadata).toEqual(encodedOf(2));
    expect(stand.names).toEqual(['1 without', '2']);
  });

  it('are given without it where the node does not tell, saying why, and asked about again', async () => {
    const stand = new Stand();
    const { relay, questions, given, time } = stand;
    relay.add(jobOf(1));
    questions[0]!.fail(failureOf('getcommittedmetadata', { code: -32_601, message: 'Method not found' }));
    await time.settle();
    expect(stand.names).toEqual(['1 without']);
    expect(given[0]!.metadataFault).toBe('the node of its pool cannot tell the metadata of jobs');
    for (let asked = 2, ms = 1_000; asked < 9; asked += 1, ms = Math.min(30_000, ms * 2)) {
      await time.advance(ms - 1);
      expect(questions).toHaveLength(asked - 1);
      await time.advance(1);
      expect(questions).toHaveLength(asked);
      questions.at(-1)!.fail(new CodedError('braidpool_unreachable', 'no answer'));
      await time.settle();
    }
    expect(stand.names).toEqual(['1 without']);
    await time.advance(30_000);
    questions.at(-1)!.answer(encodedOf(1));
    await time.settle();
    expect(stand.names).toEqual(['1 without', '1']);
    expect(given[1]!.metadataFault).toBeUndefined();
    await time.advance(120_000);
    expect(questions).toHaveLength(9);
  });

  it('are given no more once the connection is gone', async () => {
    const stand = new Stand();
    const { relay, questions, time } = stand;
    relay.add(jobOf(1));
    relay.clear();
    questions[0]!.answer(encodedOf(1));
    relay.add(jobOf(2));
    questions[1]!.fail(new CodedError('braidpool_unreachable', 'no answer'));
    await time.settle();
    relay.clear();
    await time.advance(120_000);
    expect(questions).toHaveLength(2);
    expect(stand.names).toEqual(['2 without']);
  });

  it('come in their order, the newest in the end, whatever the order of the answers', async () => {
    const event = fc.record({
      type: fc.constantFrom('job', 'plain', 'answer', 'fail', 'pass'),
      at: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
        const stand = new Stand();
        const open: { readonly question: Question; readonly number: number }[] = [];
        let number = 0;
        let seen = 0;
        const take = (current: number): void => {
          for (; seen < stand.questions.length; seen += 1)
            open.push({ question: stand.questions[seen]!, number: current });
        };
        for (const { type, at } of events) {
          if (type === 'job' || type === 'plain') {
            number += 1;
            stand.relay.add(jobOf(number, type === 'plain'));
          } else if (type === 'pass') await stand.time.advance(1_000);
          else if (open.length > 0) {
            const [one] = open.splice(at % open.length, 1);
            if (type === 'answer') one!.question.answer(encodedOf(one!.number));
            else one!.question.fail(new CodedError('braidpool_unreachable', 'no answer'));
          }
          await stand.time.settle();
          // Only the newest that was given is ever asked about again.
          take(type === 'job' ? number : Number(stand.given.at(-1)?.upstreamJobId ?? 0));
        }
        const order = stand.given.map(({ upstreamJobId }) => Number(upstreamJobId));
        expect(order).toEqual(order.toSorted((a, b) => a - b));
        for (const { question } of open)
          question.fail(new CodedError('braidpool_unreachable', 'no answer'));
        await stand.time.settle();
        if (number > 0) expect(stand.given.at(-1)!.upstreamJobId).toBe(`${number}`);
        for (const { upstreamJobId, metadata } of stand.given)
          if (metadata !== undefined) expect(metadata).toEqual(encodedOf(Number(upstreamJobId)));
      }),
    );
  });
});
