import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { CHECKS } from './checks.ts';
import { edited, sourceOf } from './mutations/edited-sources.ts';
import { MUTATIONS } from './mutations.ts';
import { simulate } from './simulate.ts';
import { PINNED_MARKETS } from './strategies/pins.ts';
import { STRATEGIES } from './strategies/strategies.ts';

async function timelineOf(strategy: string, seed: number): Promise<string[]> {
  const lines: string[] = [];
  await simulate({ strategy, seed, onLine: (line) => lines.push(line) });
  return lines;
}

const RUN = new URL('run.ts', import.meta.url).pathname;

/** In a process of its own: a mutation breaks it for good. */
async function replay(
  ...words: string[]
): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, [RUN, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', resolve);
  });
  const said = await text(child.stdout);
  return { code: await exited, said };
}

describe('the simulation', () => {
  it('finds nothing wrong with miner and maker', async () => {
    for (let seed = 1; seed <= 12; seed += 1) {
      expect(await simulate({ strategy: 'chance', seed })).toMatchObject({
        problem: undefined,
        findings: [],
      });
    }
  });

  it.each(['maker-disk-lies', 'credit-before-persist'])('finds a fault: %s', async (mutation) => {
    const { seed, strategy } = MUTATIONS[mutation]!;
    const words = ['--seed', String(seed), '--strategy', strategy, '--mutation', mutation];
    const { code, said } = await replay(...words);
    expect(code, said).toBe(1);
  });

  it('finds at a crash point what a life without a crash does not show', async () => {
    const words = ['--crash-points', '--strategy', 'clocks-jump', '--mutation', 'old-state-restored'];
    const { code, said } = await replay(...words, '--sample', '20');
    expect(code, said).toBe(1);
    const found = said.split('\n').filter((line) => line.startsWith('replay:'));
    for (const line of found)
      expect(line).toMatch(/--crash (miner|maker):\d+:(before|torn|after|fails|full)$/);
  });

  it.each(['chance', 'maker-alters', 'pins-close'])(
    'plays the same seed twice in the same way: %s',
    async (strategy) => {
      const [once, again] = [await timelineOf(strategy, 3), await timelineOf(strategy, 3)];
      expect(once.length).toBeGreaterThan(20);
      expect(again).toEqual(once);
    },
  );

  it.each(PINNED_MARKETS)(
    'brings a pinned close through at %s sat/vB, within what it may cost',
    async (market) => {
      for (let seed = 1; seed <= 3; seed += 1) {
        const run = await simulate({ strategy: `pinned-at-${market}`, seed });
        expect(run).toMatchObject({ problem: undefined, findings: [] });
      }
    },
  );

  it('plays another seed otherwise', async () => {
    expect(await timelineOf('chance', 4)).not.toEqual(await timelineOf('chance', 5));
  });

  it('has a strategy for every mutation', () => {
    for (const { strategy } of Object.values(MUTATIONS)) expect(STRATEGIES).toHaveProperty(strategy);
  });

  it('has a text in the program for every edit of a mutation', () => {
    for (const { edits = [] } of Object.values(MUTATIONS))
      for (const each of edits) expect(edited(sourceOf(each.file), each)).toContain(each.to);
  });

  it.each(Object.entries(CHECKS))('undoes each check of %s, or a unit test holds it', (file, checks) => {
    for (const { text, by } of checks) {
      expect(sourceOf(file), file).toContain(text);
      if (typeof by === 'string') expect(MUTATIONS).toHaveProperty(by);
      else expect(readFileSync(new URL(`../${by.test}`, import.meta.url), 'utf8'), text).toContain(by.it);
    }
  });

  it('lets no strategy win', async () => {
    for (const strategy of ['stops-signing', 'pays-itself'])
      expect(await simulate({ strategy, seed: 1 })).toMatchObject({ findings: [], problem: undefined });
  });
});
