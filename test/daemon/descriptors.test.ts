import { expect, it } from 'vitest';
import { systemTimers } from '../../src/base/system-timers.ts';
import { Descriptors } from '../../src/daemon/descriptors.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';

const failure = (code: string): Error => Object.assign(new Error(code), { code });

it('says once that descriptors come to an end, also where none is left to count them', async () => {
  const lines: unknown[][] = [];
  const log: Logger = {
    ...silentLogger,
    info: ({ open }) => lines.push(['info', open]),
    error: ({ open }) => lines.push(['error', open]),
  };
  const answers = [10, 89, 90, 95, failure('EMFILE'), 81, 95, 80, 10, 90];
  let at = 0;
  const descriptors = new Descriptors({
    ...{ timers: systemTimers, log, limit: 100 },
    count: async () => {
      const answer = answers[at++]!;
      if (typeof answer !== 'number') throw answer;
      return answer;
    },
  });
  expect(descriptors.status).toBeNull();
  const seen: (number | undefined)[] = [];
  while (at < answers.length) {
    await descriptors.look();
    seen.push(descriptors.status?.open);
  }
  expect(seen).toEqual([10, 89, 90, 95, 100, 81, 95, 80, 10, 90]);
  expect(lines).toEqual([
    ['error', 90],
    ['info', 80],
    ['error', 90],
  ]);
});

it('counts those of this process, and says nothing where the system does not', async () => {
  const log = silentLogger;
  const own = new Descriptors({ timers: systemTimers, log });
  await own.look();
  expect(own.status!.open).toBeGreaterThan(3);
  expect(own.status!.limit).toBeGreaterThanOrEqual(own.status!.open);
  for (const limit of [100, undefined]) {
    const count = (): Promise<number> => Promise.reject(failure('ENOENT'));
    const none = new Descriptors({ timers: systemTimers, log, limit, count });
    await none.look();
    expect(none.status).toBeNull();
  }
});
