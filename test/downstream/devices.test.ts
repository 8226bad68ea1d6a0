import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { paramsOf, stopServers, withWork } from './harness.ts';

afterEach(stopServers);

/** What each device says, in its order, and what its submit looks like (`stratum.md` 1.10). */
const DEVICES: readonly {
  who: string;
  says: string[];
  submit: (jobId: string) => string;
  reply: string;
}[] = [
  {
    who: 'Antminer',
    says: [
      '{"method":"mining.configure","id":1,"params":[["version-rolling"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2}]}',
      '{"id":2,"method":"mining.subscribe","params":["bmminer/2.0.0/Antminer S19"]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"]}',
    ],
    submit: (job) =>
      `{"params": ["rig.1", "${job}", "00000001", "6553f100", "00000001", "00002000"], "id": 4, "method": "mining.submit"}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'Whatsminer',
    says: [
      '{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}',
      '{"id":2,"method":"mining.subscribe","params":["whatsminer/v1.0"]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"]}',
    ],
    submit: (job) =>
      `{"id":4,"method":"mining.submit","params":["rig.1","${job}","00000001","6553f100","00000001","1fffe000"]}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'Braiins OS',
    says: [
      '{"id":0,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16}]}',
      '{"id":1,"method":"mining.subscribe","params":["Braiins OS 24.09",null,"127.0.0.1:3333",null]}',
      '{"id":2,"method":"mining.authorize","params":["rig.1","x"]}',
    ],
    submit: (job) =>
      `{"id":3,"method":"mining.submit","params":["rig.1","${job}","00000001","6553f100","00000001","00400000"]}`,
    reply: '{"id":3,"result":true,"error":null}',
  },
  {
    who: 'Bitaxe',
    says: [
      '{"id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}',
      '{"id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.8.0"]}',
      '{"id": 3, "method": "mining.authorize", "params": ["rig.1", "x"]}',
      '{"id": 4, "method": "mining.suggest_difficulty", "params": [1000]}',
      '{"id": 5, "method": "mining.extranonce.subscribe", "params": []}',
    ],
    submit: (job) =>
      `{"id": 6, "method": "mining.submit", "params": ["rig.1", "${job}", "00000001", "6553f100", "00000001", "00000000"]}`,
    reply: '{"id":6,"result":true,"error":null}',
  },
  {
    who: 'NerdQAxe, which configures after it subscribed',
    says: [
      '{"id":1,"method":"mining.subscribe","params":["NerdQAxe++/BM1370"]}',
      '{"id":2,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"]}',
    ],
    submit: (job) =>
      `{"id":4,"method":"mining.submit","params":["rig.1","${job}","00000001","6553f100","00000001","00006000"]}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'NerdMiner, with a nonce that is not padded',
    says: [
      '{"id": 1, "method": "mining.subscribe", "params": ["NerdMinerV2/1.7"]}',
      '{"params": ["rig.1", "x"], "id": 2, "method": "mining.authorize"}',
      '{"id": 3, "method": "mining.suggest_difficulty", "params": [0.00015]}',
    ],
    submit: (job) =>
      `{"id":4,"method":"mining.submit","params":["rig.1","${job}","00000001","6553f100","1"]}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'cpuminer',
    says: [
      '{"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1"]}',
      '{"id": 2, "method": "mining.authorize", "params": ["rig.1", "x"]}',
    ],
    submit: (job) =>
      `{"method": "mining.submit", "params": ["rig.1", "${job}", "00000001", "6553f100", "00000001"], "id":4}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'bfgminer, with string and null ids',
    says: [
      '{"id":null,"method":"mining.capabilities","params":[{"notify":[],"suggested_target":"x"}]}',
      `{"id":null,"method":"mining.suggest_target","params":["00000000ffff${'0'.repeat(52)}"]}`,
      '{"id":"sub","method":"mining.subscribe","params":[]}',
      '{"id":"auth","method":"mining.authorize","params":["rig.1","x"]}',
      '{"id":"xnsub","method":"mining.extranonce.subscribe","params":[]}',
    ],
    submit: (job) =>
      `{"id":"s/1","method":"mining.submit","params":["rig.1","${job}","00000001","6553f100","00000001"]}`,
    reply: '{"id":"s/1","result":true,"error":null}',
  },
  {
    who: 'cgminer, which authorises first and pings back',
    says: [
      '{"id":0,"method":"mining.authorize","params":["rig.1","x"]}',
      '{"id":1,"method":"mining.subscribe","params":["cgminer/4.12.1","0a0b0c0d"]}',
      '{"id":7,"result":"pong","error":null}',
      '{"id":8,"method":"pong","params":[]}',
    ],
    submit: (job) =>
      `{"id":2,"method":"mining.submit","params":["rig.1","${job}","00000001","6553f100","00000001"]}\r`,
    reply: '{"id":2,"result":true,"error":null}',
  },
];

describe('devices', () => {
  it.each(DEVICES)('$who mines', async ({ says, submit, reply: accepted }) => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    let subscribed = false;
    for (const line of says) {
      miner.send(line);
      const { id, method } = JSON.parse(line) as { id: unknown; method?: string };
      if (subscribed || id === null) continue;
      const reply = await miner.nextText();
      expect(JSON.parse(reply)).toMatchObject({ id, error: null });
      if (method !== 'mining.subscribe') continue;
      subscribed = true;
      expect(reply).toMatch(/"result":\[\[\["mining\.set_difficulty","\w{8}"\],\["mining\.notify"/);
    }
    const lines = await miner.until('method', 'mining.notify');
    const job = paramsOf(lines.at(-1));
    await miner.settled();
    miner.send(submit(job[0] as string));
    expect(await miner.nextText()).toBe(accepted);
    expect(test.submissions).toHaveLength(1);
    expect(test.submissions[0]).toMatchObject({ ntime: 0x6553f100, nonce: 1, workerName: 'rig.1' });
    expect(toHex(test.submissions[0]!.extranonce)).toBe('1011121300000001');
  });
});
