import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { MUTATIONS } from './mutations.ts';

const RUN = new URL('run.ts', import.meta.url).pathname;

/** In a process of its own: a run has the timers of its whole process, and a mutation breaks it for good. */
async function run(...words: string[]): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, [RUN, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', resolve);
  });
  const said = await text(child.stdout);
  return { code: await exited, said };
}

function lastOf(said: string, pattern: RegExp): string {
  const lines = said.split('\n').filter((line) => pattern.test(line));
  expect(lines.length, said).toBeGreaterThan(0);
  return lines.at(-1)!;
}

describe('schedules of crashes, writes, lines and blocks', () => {
  it('find nothing wrong with miner and maker', async () => {
    const { code, said } = await run('--runs', '250');
    expect(code, said).toBe(0);
  });

  it.concurrent.each(Object.keys(MUTATIONS))('find a fault: %s', async (mutation) => {
    const { code, said } = await run(
      '--mutation',
      mutation,
      '--runs',
      '1000',
      '--seed',
      '7',
      '--workers',
      '1',
      '--first',
    );
    expect(code, said).toBe(1);
    lastOf(said, /^Violation: /);
  });

  it('fail the same way again by the words that a failure prints', async () => {
    const first = await run(
      '--mutation',
      'duplicates-forgotten',
      '--seed',
      '11',
      '--workers',
      '1',
      '--first',
    );
    const words = lastOf(first.said, /^replay: /).split(' -- ')[1]!;
    const again = await run(...words.split(' '));
    expect(again.code, again.said).toBe(1);
    const violation = /^Violation: /;
    expect(lastOf(again.said, violation)).toBe(lastOf(first.said, violation));
  });
});
