import { describe, expect, it } from 'vitest';
import { CodedError, type ErrorCode } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { type Solution, solutionOf } from '../../src/miner/work-link.ts';
import { WorkSolutions } from '../../src/miner/work-solutions.ts';
import type { Result } from '../../src/peer/messages.ts';
import type { UpstreamShare, UpstreamVerdict } from '../../src/upstream/upstream-share.ts';
import { VirtualTime } from '../base/virtual-time.ts';

const MINUTE_MS = 60_000;
const IN_FLIGHT = LIMITS.peerRequestsInFlight / 2;
type Reply = {
  readonly resolve: (result: Result<'work.solution'>) => void;
  readonly reject: (error: Error) => void;
};

function stand(perMinute = 60, latePpm = 0) {
  const time = new VirtualTime();
  const told: string[] = [];
  const verdicts: UpstreamVerdict[] = [];
  const rtts: number[] = [];
  const sent: Solution[] = [];
  const replies: Reply[] = [];
  const solutions = new WorkSolutions(
    { perMinute, latePpm },
    {
      ...{ clock: time.clock, timers: time.timers },
      onVerdict: (verdict, { nonce }) => {
        verdicts.push(verdict);
        told.push(`${nonce} ${verdict.outcome} ${verdict.reason}`.trim());
      },
      onRtt: (ms) => void rtts.push(ms),
    },
  );
  const send = (share: UpstreamShare): Promise<Result<'work.solution'>> => {
    const solution = solutionOf(share);
    sent.push(solution);
    return new Promise((resolve, reject) => void replies.push({ resolve, reject }));
  };
  const share = (nonce: number, isBlock = false): UpstreamShare => ({
    job: {
      version: 0x2fffffff,
      versionMask: 0x1fffe000,
      bought: { jobId: 7, difficulty: 1 },
    } as UpstreamShare['job'],
    ...{ extranonce2: new Uint8Array(8), ntime: 5, nonce, versionBits: 0x2000, isBlock },
  });
  const submit = (nonce: number, isBlock = false): void => solutions.submit(share(nonce, isBlock));
  /** Answers the request that was made last but so many. */
  const answer = async (
    result: Result<'work.solution'> | ErrorCode,
    at = replies.length - 1,
  ): Promise<void> => {
    if (typeof result === 'string') replies[at]!.reject(new CodedError(result));
    else replies[at]!.resolve(result);
    await time.settle();
  };
  return { time, solutions, told, verdicts, rtts, sent, send, submit, share, answer };
}

const ACCEPTED = { outcome: 'accepted' as const };

describe('a solution', () => {
  it('is sent as it was hashed, and has the verdict of the pool with its code, its words and our time', async () => {
    const { time, solutions, verdicts, rtts, sent, send, submit, answer } = stand();
    solutions.connected(send);
    submit(9);
    const version = (0x2fffffff & ~0x1fffe000) | 0x2000;
    expect(sent).toEqual([{ id: 7, extranonce2: new Uint8Array(8), ntime: 5, nonce: 9, version }]);
    expect(solutions.inFlight).toBe(1);
    await time.advance(40);
    await answer({ outcome: 'refused', code: 23, reason: 'low', rttMs: 5 });
    submit(10);
    await time.advance(30);
    await answer(ACCEPTED);
    submit(11);
    await answer({ outcome: 'timeout' });
    submit(12);
    await answer({ outcome: 'lost', rttMs: 1 });
    expect(verdicts).toEqual([
      { outcome: 'refused', code: 23, reason: 'low', rttMs: 40 },
      { outcome: 'accepted', code: undefined, reason: '', rttMs: undefined },
      { outcome: 'timeout', code: undefined, reason: '', rttMs: undefined },
      { outcome: 'lost', code: undefined, reason: '', rttMs: 0 },
    ]);
    expect([rtts, solutions.inFlight]).toEqual([[40, 30], 0]);
    expect(solutions.counts).toEqual({ accepted: 1, refused: 1, timeout: 1, lost: 1 });
  });

  it('of a version with its highest bit is a number of 32 bits', () => {
    const { solutions, sent, send, share } = stand();
    solutions.connected(send);
    const { job } = share(1);
    solutions.submit({ ...share(1), job: { ...job, version: 0xa0000000, versionMask: 0 }, versionBits: 0 });
    expect(sent[0]!.version).toBe(0xa0000000);
  });

  it('tells who gave it, too', async () => {
    const { solutions, send, share, answer } = stand();
    const own: UpstreamVerdict[] = [];
    solutions.connected(send);
    solutions.submit(share(1), (verdict) => void own.push(verdict));
    await answer(ACCEPTED);
    expect(own).toMatchObject([{ outcome: 'accepted' }]);
  });

  it.each<[ErrorCode, string]>([
    ['overload', '1 lost overload'],
    ['too_often', '1 lost too_often'],
    ['share_low', '1 refused share_low'],
    ['unknown_job', '1 refused unknown_job'],
  ])('that the maker refuses with %s is told so', async (code, line) => {
    const { solutions, told, verdicts, rtts, send, submit, answer } = stand();
    solutions.connected(send);
    submit(1);
    await answer(code);
    expect([told, rtts]).toEqual([[line], []]);
    expect(verdicts).toMatchObject([{ code: undefined, rttMs: undefined }]);
  });

  it.each<ErrorCode>(['peer_closed', 'peer_timeout'])(
    'whose link ends with %s waits for the next one',
    async (code) => {
      const { time, solutions, told, rtts, sent, send, submit, answer } = stand();
      solutions.connected(send);
      submit(1);
      await answer(code);
      expect([told, solutions.inFlight]).toEqual([[], 1]);
      solutions.disconnected();
      await time.advance(100);
      solutions.connected((solution) => send(solution));
      expect(sent.map(({ nonce }) => nonce)).toEqual([1, 1]);
      await answer(ACCEPTED);
      expect(told).toEqual(['1 accepted']);
      // An answer over the link of before is none any more.
      await answer({ outcome: 'refused' }, 0);
      expect([told.length, rtts]).toEqual([1, [0]]);
    },
  );

  it('refused over a link that is not the newest waits for the answer over that one', async () => {
    const { solutions, told, send, submit, answer } = stand();
    solutions.connected(send);
    submit(1);
    solutions.connected((solution) => send(solution));
    await answer('share_low', 0);
    expect(told).toEqual([]);
    await answer(ACCEPTED, 1);
    expect(told).toEqual(['1 accepted']);
  });
});

describe('without a link a solution', () => {
  it('is lost a minute after it was found, to the millisecond', async () => {
    const { time, solutions, told, submit } = stand();
    submit(1);
    await time.advance(10_000);
    submit(2);
    await time.advance(MINUTE_MS - 10_001);
    expect(told).toEqual([]);
    // The timer began with the second: it looks at both a minute after that.
    await time.advance(10_001);
    expect(told).toEqual(['1 lost peer_closed', '2 lost peer_closed']);
    expect(solutions.inFlight).toBe(0);
    await time.advance(10 * MINUTE_MS);
    expect(solutions.counts.lost).toBe(2);
  });

  it('is not sent over the next one where that comes later', async () => {
    const { time, solutions, told, sent, send, submit } = stand();
    solutions.connected(send);
    submit(1);
    await time.advance(30_000);
    submit(2);
    solutions.disconnected();
    await time.advance(30_000);
    solutions.connected(send);
    expect([told, sent.map(({ nonce }) => nonce)]).toEqual([['1 lost peer_closed'], [1, 2, 2]]);
  });

  it('that is kept is looked at again while there is no link, and not with one', async () => {
    const { time, solutions, told, send, submit } = stand();
    solutions.connected(send);
    submit(1);
    solutions.disconnected();
    await time.advance(59_000);
    submit(2);
    await time.advance(59_999);
    expect(told).toEqual([]);
    await time.advance(1);
    expect(told).toEqual(['1 lost peer_closed', '2 lost peer_closed']);
  });

  it('is looked at again where a timer was early', async () => {
    const early = stand();
    const { after } = early.time.timers;
    Object.assign(early.time.timers, { after: (ms: number, run: () => void) => after(ms - 1, run) });
    early.submit(1);
    await early.time.advance(MINUTE_MS - 1);
    expect(early.told).toEqual([]);
    await early.time.advance(MINUTE_MS - 1);
    expect(early.told).toEqual(['1 lost peer_closed']);
  });

  it('is late where three of them never reached the maker', async () => {
    const { time, solutions, submit } = stand();
    for (let nonce = 0; nonce < 3; nonce += 1) submit(nonce);
    expect(solutions.isLate).toBe(false);
    await time.advance(MINUTE_MS);
    expect([solutions.counts.lost, solutions.isLate]).toEqual([3, true]);
  });

  it('that there is none of is not missed', async () => {
    const { time, solutions, told, send } = stand();
    solutions.connected(send);
    solutions.disconnected();
    await time.advance(10 * MINUTE_MS);
    solutions.stop();
    stand().solutions.stop();
    expect(told).toEqual([]);
  });

  it('is lost with the contract', () => {
    const { solutions, told, send, submit } = stand();
    submit(1);
    solutions.connected(send);
    submit(2);
    solutions.stop();
    expect(told).toEqual(['1 lost peer_closed', '2 lost peer_closed']);
  });
});

describe('more solutions than are agreed', () => {
  it('a minute are lost, and not late, but blocks are sent; the rate comes back with time', async () => {
    const { time, solutions, told, sent, send, submit } = stand(6);
    solutions.connected(send);
    for (let nonce = 0; nonce < 7; nonce += 1) submit(nonce);
    // Not from within the submit.
    expect(told).toEqual([]);
    await time.settle();
    expect(told).toEqual(['6 lost beyond solutions_per_minute']);
    submit(7, true);
    expect(sent.map(({ nonce }) => nonce)).toEqual([0, 1, 2, 3, 4, 5, 7]);
    await time.advance(9_999);
    submit(8);
    await time.settle();
    expect(told).toHaveLength(2);
    await time.advance(1);
    submit(9);
    expect(sent.at(-1)!.nonce).toBe(9);
    for (let nonce = 10; nonce < 14; nonce += 1) submit(nonce);
    await time.settle();
    expect([told.length, solutions.isLate]).toEqual([6, false]);
  });

  it('in flight are lost, with room for as many blocks', async () => {
    const { time, solutions, told, sent, send, submit } = stand(1000);
    solutions.connected(send);
    for (let nonce = 0; nonce < IN_FLIGHT; nonce += 1) submit(nonce);
    await time.settle();
    expect([told, sent.length]).toEqual([[], IN_FLIGHT]);
    submit(1000);
    await time.settle();
    expect([told, sent.length]).toEqual([['1000 lost overload'], IN_FLIGHT]);
    for (let block = 0; block < IN_FLIGHT; block += 1) submit(2000 + block, true);
    await time.settle();
    expect([told.length, sent.length]).toEqual([1, 2 * IN_FLIGHT]);
    submit(3000, true);
    await time.settle();
    expect([told.at(-1), sent.length]).toEqual(['3000 lost overload', 2 * IN_FLIGHT]);
  });
});

describe('solutions that the maker first hears of by a batch', () => {
  it('are those that did not reach it: beyond two of them credit may pause for two minutes', async () => {
    const { time, solutions, send, submit, answer } = stand();
    solutions.connected(send);
    for (const code of ['overload', 'too_often', 'share_low'] as const) {
      submit(1);
      await answer(code);
    }
    expect(solutions.isLate).toBe(false);
    submit(2);
    await answer('overload');
    expect(solutions.isLate).toBe(true);
    await time.advance(2 * MINUTE_MS - 1);
    expect(solutions.isLate).toBe(true);
    await time.advance(1);
    expect(solutions.isLate).toBe(false);
    submit(3);
    await answer(ACCEPTED);
    expect(solutions.isLate).toBe(false);
  });

  it('are as many as the terms allow', async () => {
    const { solutions, send, submit, answer } = stand(60, 500_000);
    solutions.connected(send);
    for (let nonce = 0; nonce < 4; nonce += 1) {
      submit(nonce);
      await answer(nonce % 2 === 0 ? ACCEPTED : 'overload');
    }
    submit(4);
    await answer(ACCEPTED);
    submit(5);
    await answer('overload');
    expect(solutions.isLate).toBe(false);
    submit(6);
    await answer('overload');
    expect(solutions.isLate).toBe(true);
  });
});

describe('the latency of solutions', () => {
  it('is that of the last ones, by percent', async () => {
    const { time, solutions, send, submit, answer } = stand(1e9);
    expect(solutions.latencyMs(50)).toBeUndefined();
    solutions.connected(send);
    const take = async (ms: number): Promise<void> => {
      submit(ms);
      await time.advance(ms);
      await answer(ACCEPTED);
    };
    for (const ms of [40, 10, 100, 20, 30]) await take(ms);
    expect([0, 19, 20, 50, 80, 99, 100].map((percent) => solutions.latencyMs(percent))).toEqual([
      ...[10, 10, 20, 30, 100, 100, 100],
    ]);
  });

  it('forgets those of before the last 1024', async () => {
    const { time, solutions, send, submit, answer } = stand(1e9);
    solutions.connected(send);
    submit(1);
    await time.advance(5000);
    await answer(ACCEPTED);
    for (let each = 0; each < 1023; each += 1) {
      submit(each);
      await answer(ACCEPTED);
    }
    expect(solutions.latencyMs(100)).toBe(5000);
    submit(2);
    await answer(ACCEPTED);
    expect(solutions.latencyMs(100)).toBe(0);
  });
});
