import { describe, expect, it } from 'vitest';
import type { Logger } from '../../src/log/logger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MinerNews } from '../../src/mining/miner-news.ts';

type NewsSession = Parameters<MinerNews['came']>[0];

function stand() {
  const lines: Record<string, unknown>[] = [];
  let nowMs = 0;
  const log: Logger = {
    ...silentLogger,
    info: (fields, message) => void lines.push({ message, ...fields }),
  };
  const news = new MinerNews({ log, monotonicMs: () => nowMs });
  const session = (id: number, workers: readonly string[] = ['farm.1']): NewsSession => ({
    ...{
      id,
      address: '10.0.0.1',
      userAgent: 'cgminer',
      accepted: 7,
      rejected: 1,
      connectedAtMonotonicMs: 0,
    },
    workers: workers.map((name) => ({ name })),
  });
  return { lines, news, session, advance: (ms: number) => (nowMs += ms) };
}

describe('news of miners', () => {
  it('name who comes and who goes, why and after how long', () => {
    const { lines, news, session, advance } = stand();
    news.came(session(1), 'farm.1\u001b[2J');
    advance(90_000);
    news.went(session(1), 'idle_timeout');
    const who = { session: 1, address: '10.0.0.1' };
    expect(lines).toEqual([
      { message: 'a miner came', ...who, worker: 'farm.1?[2J', agent: 'cgminer' },
      {
        ...{ message: 'a miner went', ...who, worker: 'farm.1', reason: 'idle_timeout' },
        ...{ seconds: 90, accepted: 7, rejected: 1 },
      },
    ]);
  });

  it('say nothing of a second name, or of who never had one', () => {
    const { lines, news, session } = stand();
    news.came(session(1, ['a', 'b']), 'b');
    news.went(session(2, []), 'closed_by_miner');
    expect(lines).toEqual([]);
  });

  it('are a few lines for a farm that comes at once, and the next line counts the others', () => {
    const { lines, news, session, advance } = stand();
    for (let id = 0; id < 5_000; id += 1) news.came(session(id), 'farm.1');
    for (let id = 0; id < 30; id += 1) news.went(session(id), 'let_go');
    expect(lines).toHaveLength(20);
    expect(news.seen).toEqual({
      came: { count: 5_000, newest: 'farm.1' },
      went: { count: 30, newest: 'farm.1' },
    });
    advance(10_000);
    news.came(session(6_000), 'farm.2');
    expect(lines).toHaveLength(21);
    expect(lines[20]).toMatchObject({ alsoCame: 4_980, alsoWent: 30 });
    advance(10_000);
    news.came(session(6_001), 'farm.3');
    expect(lines[21]).not.toHaveProperty('alsoCame');
  });
});
