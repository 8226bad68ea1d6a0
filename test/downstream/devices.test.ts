import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { DEVICES } from './devices.ts';
import { broadcast, type Line, paramsOf, stopServers, withWork } from './harness.ts';

afterEach(stopServers);

describe('devices', () => {
  it.each(DEVICES)('$who mines', async (device) => {
    const { says, submit, reply: accepted } = device;
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const before: Line[] = [];
    for (const line of says) {
      miner.send(line);
      const { id, method } = JSON.parse(line) as { id: unknown; method?: string };
      if (id === null || method === undefined || method === 'pong') continue;
      const lines = await miner.until('id', id);
      before.push(...lines);
      const reply = lines.at(-1)!;
      if (method === 'mining.multi_version') expect(reply['error']).not.toBeNull();
      else expect(reply['error']).toBeNull();
      if (method === 'mining.configure') expect(reply['result']).toEqual(device.configured);
      if (method === 'mining.subscribe') {
        expect(lines).toHaveLength(1);
        expect(JSON.stringify(reply)).toMatch(
          /"result":\[\[\["mining\.set_difficulty","\w{24}"\],\["mining\.notify","\w{24}"\]\],"10111213",4\]/,
        );
      }
    }
    before.push(...(await miner.settled()));
    expect(before.filter((line) => line['method'] === 'mining.notify')).toHaveLength(1);
    broadcast(test, 2);
    const lines = [...before, ...(await miner.settled())].filter((line) => Object.hasOwn(line, 'params'));
    const [difficulty, job] = ['mining.set_difficulty', 'mining.notify'].map((method) =>
      paramsOf(lines.findLast((line) => line['method'] === method)),
    );
    for (const line of lines.filter(({ id }) => id !== 'version')) expect(line['id']).toBeNull();
    expect(difficulty).toEqual([device.difficulty ?? 1024]);
    expect(Math.fround(difficulty![0] as number)).toBe(difficulty![0]);
    miner.send(submit(job![0] as string));
    expect(await miner.nextText()).toBe(accepted);
    expect(test.submissions).toHaveLength(1);
    const [share] = test.submissions;
    expect(share).toMatchObject({ ntime: 0x6553f100, nonce: 1, workerName: 'rig.1' });
    expect(share!.version).toBe(device.version ?? 0x20000000);
    expect(toHex(share!.extranonce)).toBe('1011121300000001');
    expect(test.server.sessions()[0]!.userAgentClass).toBe(device.agent);
  });
});
