import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { RefusalLog } from '../../src/maker/refusal-log.ts';
import { VirtualTime } from '../base/virtual-time.ts';

type Line = Readonly<Record<string, unknown>>;

function stand() {
  const time = new VirtualTime();
  const lines: Line[] = [];
  const log: Logger = { ...silentLogger, warn: (fields, msg) => void lines.push({ ...fields, msg }) };
  return { time, lines, refusals: new RefusalLog('c1', { log, clock: time.clock }) };
}

const refused = (...codes: string[]) => codes.map((code) => ({ code }));

describe('what the log says of work that is not paid', () => {
  it('is each code in words at once, and then how many shares more in ten seconds', async () => {
    const { time, lines, refusals } = stand();
    refusals.shares(refused('share_low', 'share_unbound', 'share_low'));
    expect(lines).toEqual([
      {
        ...{ contract: 'c1', code: 'share_low', shares: 2, msg: 'shares are not credited' },
        why: expect.stringContaining('does not meet its target'),
      },
      {
        ...{ contract: 'c1', code: 'share_unbound', shares: 1, msg: 'shares are not credited' },
        why: expect.stringContaining('none that the contract pays for'),
      },
    ]);
    refusals.shares(refused('share_low'));
    await time.advance(9_999);
    refusals.shares(refused('share_low'));
    expect(lines).toHaveLength(2);
    await time.advance(1);
    // What was held back is said with the next batch, also where none of it is refused.
    refusals.shares([]);
    expect(lines.slice(2)).toMatchObject([{ code: 'share_low', shares: 2 }]);
    await time.advance(20_000);
    refusals.shares([]);
    expect(lines).toHaveLength(3);
  });

  it('is why a job is not paid, however many of them there are', async () => {
    const { time, lines, refusals } = stand();
    for (let job = 0; job < 1000; job += 1) refusals.job({ wireId: String(job) }, 'other nbits');
    expect(lines).toHaveLength(LIMITS.peerJobsLogged);
    expect(lines[0]).toEqual({ contract: 'c1', job: '0', why: 'other nbits', msg: 'a job is not paid' });
    await time.advance(10_000);
    for (let job = 0; job < 1000; job += 1) refusals.job({ wireId: String(job) }, 'other nbits');
    expect(lines).toHaveLength(LIMITS.peerJobsLogged + 1);
  });
});
