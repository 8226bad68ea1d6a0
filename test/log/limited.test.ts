import { describe, expect, it } from 'vitest';
import { limited } from '../../src/log/limited.ts';
import type { Logger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';

function recorder(lines: unknown[][]): Logger {
  return {
    debug: (fields, message) => lines.push(['debug', fields, message]),
    info: (fields, message) => lines.push(['info', fields, message]),
    warn: (fields, message) => lines.push(['warn', fields, message]),
    error: (fields, message) => lines.push(['error', fields, message]),
    child: () => recorder(lines),
  };
}

describe('limited', () => {
  it('says a warning once per interval and then tells how many it held back', () => {
    const lines: unknown[][] = [];
    const clock = new ManualClock();
    const log = limited(recorder(lines), 1000, clock);
    log.warn({ code: 'stale' }, 'bad share');
    log.child({ session: 1 }).warn({ code: 'stale' }, 'bad share');
    clock.advance(999);
    log.warn({ code: 'stale' }, 'bad share');
    expect(lines).toEqual([['warn', { code: 'stale' }, 'bad share']]);
    clock.advance(1);
    log.warn({ code: 'stale' }, 'bad share');
    expect(lines[1]).toEqual(['warn', { code: 'stale', suppressed: 2 }, 'bad share']);
  });

  it('has what it holds back counted all the same', () => {
    const held: unknown[] = [];
    const log = limited({ ...recorder([]), hold: (fields) => held.push(fields) }, 1000, new ManualClock());
    log.warn({ code: 'stale' }, 'bad share');
    expect(held).toEqual([]);
    log.warn({ code: 'stale' }, 'bad share');
    expect(held).toEqual([{ code: 'stale' }]);
  });

  it('keeps levels, messages and codes apart, and lets info pass', () => {
    const lines: unknown[][] = [];
    const log = limited(recorder(lines), 1000, new ManualClock());
    log.warn({ code: 'stale' }, 'bad share');
    log.warn({ code: 'duplicate' }, 'bad share');
    log.error({ code: 'stale' }, 'bad share');
    log.info({}, 'state');
    log.info({}, 'state');
    expect(lines).toHaveLength(5);
  });

  it('stays bounded when messages are not constant', () => {
    const lines: unknown[][] = [];
    const log = limited(recorder(lines), 1000, new ManualClock());
    for (let index = 0; index < 300; index += 1) log.warn({}, `message ${index}`);
    log.warn({}, 'message 299');
    expect(lines).toHaveLength(300);
    log.warn({}, 'message 0');
    expect(lines).toHaveLength(301);
  });
});
