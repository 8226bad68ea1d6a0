import { expect, it } from 'vitest';
import { sayStatus } from '../../src/daemon/status-line.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { VirtualTime } from '../base/virtual-time.ts';

it('a daemon says once a minute in one line how it fares, until it stops', async () => {
  const lines: unknown[][] = [];
  const log: Logger = { ...silentLogger, info: (...words) => void lines.push(words) };
  const time = new VirtualTime();
  const undo = new AsyncDisposableStack();
  let miners = 0;
  sayStatus(undo, { timers: time.timers, log }, () => {
    miners += 1;
    return { miners };
  });
  await time.advance(59_999);
  expect(lines).toEqual([]);
  await time.advance(60_001);
  expect(lines).toEqual([
    [{ miners: 1 }, 'status'],
    [{ miners: 2 }, 'status'],
  ]);
  await undo.disposeAsync();
  await time.advance(600_000);
  expect(lines).toHaveLength(2);
});
