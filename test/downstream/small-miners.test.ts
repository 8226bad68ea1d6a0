import { afterEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { downstreamOptions } from '../../src/mining/downstream-options.ts';
import { broadcast, paramsOf, stopServers, type TestMiner, withWork } from './harness.ts';

afterEach(stopServers);

/** The ports of a configuration that says nothing of difficulty. */
function byDefault(more: Record<string, string> = {}) {
  const flags = {
    'destination.0.name': 'own',
    'destination.0.url': 'stratum+tcp://192.0.2.1:1',
    'destination.0.worker': 'w',
    'stratum.listen': '127.0.0.1:0',
    ...more,
  };
  const { stratum } = loadConfig('proxy', { env: { HOME: '/h' }, flags });
  const { listeners } = downstreamOptions(stratum, {});
  return { listeners: listeners.map((one) => ({ ...one, host: '127.0.0.1', port: 0 })) };
}

/** The difficulty of the first job of a miner that says these lines. */
async function firstDifficulty(miner: TestMiner, lines: readonly string[]): Promise<number> {
  for (const line of lines) miner.send(line);
  const sent = await miner.until('method', 'mining.notify');
  return paramsOf(sent.findLast(({ method }) => method === 'mining.set_difficulty'))[0] as number;
}

const hello = (agent: string): string[] => [
  `{"id":1,"method":"mining.subscribe","params":["${agent}"]}`,
  '{"id":2,"method":"mining.authorize","params":["rig.1","x"]}',
];
const secondsPerShare = (difficulty: number, hashesPerSecond: number): number =>
  (difficulty * 2 ** 32) / hashesPerSecond;

describe('a small miner, by the defaults', () => {
  it.each([
    ['NerdMinerV2/1.7', [50e3, 80e3]],
    ['NMMiner/1.2', [50e3, 80e3]],
    ['bitaxe/BM1370/v2.8.0', [0.5e12, 1.2e12]],
    ['NerdQAxe++/BM1370', [4e12, 6e12]],
    ['cpuminer/2.5.1', [10e6, 40e6]],
  ])('finds its first share within seconds: %s', async (agent, rates) => {
    const test = await withWork({ options: byDefault() });
    const difficulty = await firstDifficulty(test.miner(), hello(agent));
    for (const rate of rates) {
      expect(secondsPerShare(difficulty, rate)).toBeLessThan(15);
      expect(secondsPerShare(difficulty, rate)).toBeGreaterThan(1);
    }
  });

  it('of no name is believed when it suggests what no ASIC would', async () => {
    const test = await withWork({ options: byDefault() });
    const suggest = '{"id":3,"method":"mining.suggest_difficulty","params":[0.00015]}';
    const lines = [suggest, ...hello('something')];
    expect(await firstDifficulty(test.miner(), lines)).toBe(2 ** -13);
    const byPassword = [
      hello('x')[0]!,
      '{"id":2,"method":"mining.authorize","params":["rig.1","d=0.0001"]}',
    ];
    expect(await firstDifficulty(test.miner(), byPassword)).toBe(Math.fround(0.0001));
  });

  it('falls further by silence, to the floor of its kind and not below', async () => {
    const test = await withWork({ options: byDefault() });
    const miner = test.miner();
    await firstDifficulty(miner, hello('NerdMinerV2/1.7'));
    for (let job = 2; job < 12; job += 1) {
      test.clock.advance(30_000);
      broadcast(test, job);
      await miner.until('method', 'mining.notify');
    }
    expect(test.server.sessions()[0]!.difficulty).toBe(0.00001);
  });

  it('of another kind stays above the floor of all, however long it is silent', async () => {
    const test = await withWork({ options: byDefault() });
    const miner = test.miner();
    const easy = '{"id":3,"method":"mining.suggest_difficulty","params":[1]}';
    const minimum =
      '{"id":4,"method":"mining.configure","params":[["minimum-difficulty"],{"minimum-difficulty.value":0.001}]}';
    expect(await firstDifficulty(miner, [easy, minimum, ...hello('Antminer S19')])).toBe(512);
    for (let job = 2; job < 6; job += 1) {
      test.clock.advance(30_000);
      broadcast(test, job);
      await miner.until('method', 'mining.notify');
    }
    expect(test.server.sessions()[0]!.difficulty).toBe(512);
  });

  it('gets no easier work than a port has that names its difficulty, or that keeps one', async () => {
    const rental = {
      'stratum.listener.0.listen': '127.0.0.1:1',
      'stratum.listener.0.difficulty': '524288',
    };
    const test = await withWork({ options: byDefault(rental) });
    expect(await firstDifficulty(test.miner(1), hello('NerdMinerV2/1.7'))).toBe(524_288);
    const fixed = await withWork({ options: byDefault({ 'stratum.difficulty.mode': 'fixed' }) });
    expect(await firstDifficulty(fixed.miner(), hello('NerdMinerV2/1.7'))).toBe(16_384);
  });

  it('goes on at its difficulty after a resume', async () => {
    const test = await withWork({ options: byDefault(), verdict: () => 'accepted' });
    const first = test.miner();
    first.send(hello('NerdMinerV2/1.7')[0]!);
    const [reply] = await first.until('id', 1);
    const token = (reply!['result'] as [[string, string][]])[0][0]![1];
    const before = await firstDifficulty(first, [hello('')[1]!]);
    first.destroy();
    const again = `{"id":1,"method":"mining.subscribe","params":["NerdMinerV2/1.7","${token}"]}`;
    test.clock.advance(15_000);
    const difficulty = await firstDifficulty(test.miner(), [again, hello('')[1]!]);
    expect(difficulty).toBe(before);
  });
});
