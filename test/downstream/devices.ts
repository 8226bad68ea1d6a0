/** What one kind of firmware says, and what it expects. */
export type Device = {
  who: string;
  /** The class of its user agent. */
  agent: string;
  says: string[];
  submit: (jobId: string) => string;
  reply: string;
  /** The version as hashed; default that of the job. */
  version?: number;
  /** Of its second job, which heeds all it asked for; default that of the listener. */
  difficulty?: number;
  /** Result of its `mining.configure`, to the last key. */
  configured?: object;
};

const ROLLING = { 'version-rolling': true, 'version-rolling.mask': '1fffe000' };

/** What each device says, in its order, and what its submit looks like (`WIRE.md`). */
export const DEVICES: readonly Device[] = [
  {
    who: 'Antminer',
    agent: 'antminer',
    version: 0x20002000,
    configured: ROLLING,
    says: [
      '{"method":"mining.configure","id":1,' +
        '"params":[["version-rolling"],' +
        '{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2}]}',
      '{"id":2,"method":"mining.subscribe","params":["bmminer/2.0.0/Antminer S19"]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"]}',
    ],
    submit: (job) =>
      `{"params": ["rig.1", "${job}", "00000001", "6553f100", "00000001", "00002000"], ` +
      `"id": 4, "method": "mining.submit"}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'Antminer of old firmware, with #xnsub behind its address and no name at its second try',
    agent: 'other',
    says: [
      '{"id": 1, "method": "mining.subscribe", "params": []}',
      '{"id": 2, "method": "mining.extranonce.subscribe", "params": []}',
      '{"id": 3, "method": "mining.authorize", "params": ["rig.1", "x"]}',
    ],
    submit: (job) =>
      `{"params": ["rig.1", "${job}", "00000001", "6553f100", "00000001"], "id": 4, "method": "mining.submit"}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'Whatsminer',
    agent: 'whatsminer',
    version: 0x3fffe000,
    configured: ROLLING,
    says: [
      '{"id":1,"method":"mining.configure",' +
        '"params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}',
      '{"id":2,"method":"mining.subscribe","params":["whatsminer/v1.0"]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"]}',
    ],
    submit: (job) =>
      `{"id":4,"method":"mining.submit",` +
      `"params":["rig.1","${job}","00000001","6553f100","00000001","1fffe000"]}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'Braiins OS',
    agent: 'braiins',
    version: 0x20400000,
    configured: ROLLING,
    says: [
      '{"id":0,"method":"mining.configure",' +
        '"params":[["version-rolling"],' +
        '{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16}]}',
      '{"id":1,"method":"mining.subscribe","params":["Braiins OS 24.09",null,"127.0.0.1:3333",null]}',
      '{"id":2,"method":"mining.authorize","params":["rig.1","x"]}',
    ],
    submit: (job) =>
      `{"id":3,"method":"mining.submit",` +
      `"params":["rig.1","${job}","00000001","6553f100","00000001","00400000"]}`,
    reply: '{"id":3,"result":true,"error":null}',
  },
  {
    who: 'Bitaxe',
    agent: 'bitaxe',
    difficulty: 1024,
    configured: ROLLING,
    says: [
      '{"id": 1, "method": "mining.configure", ' +
        '"params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}',
      '{"id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.8.0"]}',
      '{"id": 3, "method": "mining.authorize", "params": ["rig.1", "x"]}',
      '{"id": 4, "method": "mining.suggest_difficulty", "params": [1000]}',
      '{"id": 5, "method": "mining.extranonce.subscribe", "params": []}',
    ],
    submit: (job) =>
      `{"id": 6, "method": "mining.submit", ` +
      `"params": ["rig.1", "${job}", "00000001", "6553f100", "00000001", "00000000"]}`,
    reply: '{"id":6,"result":true,"error":null}',
  },
  {
    who: 'NerdQAxe, which configures after it subscribed',
    agent: 'nerdqaxe',
    difficulty: 2048,
    version: 0x20006000,
    configured: ROLLING,
    says: [
      '{"id":1,"method":"mining.subscribe","params":["NerdQAxe++/BM1370"]}',
      '{"id":2,"method":"mining.configure",' +
        '"params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"]}',
      '{"id":4,"method":"mining.suggest_difficulty","params":[2048]}',
      '{"id":5,"method":"mining.extranonce.subscribe","params":[]}',
    ],
    submit: (job) =>
      `{"id":6,"method":"mining.submit",` +
      `"params":["rig.1","${job}","00000001","6553f100","00000001","00006000"]}`,
    reply: '{"id":6,"result":true,"error":null}',
  },
  {
    who: 'NerdMiner, with a nonce that is not padded',
    agent: 'nerdminer',
    difficulty: 2 ** -10,
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
    agent: 'cpuminer',
    difficulty: 2 ** -5,
    says: [
      '{"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1"]}',
      '{"id": 2, "method": "mining.authorize", "params": ["rig.1", "x"]}',
    ],
    submit: (job) =>
      `{"method": "mining.submit", ` +
      `"params": ["rig.1", "${job}", "00000001", "6553f100", "00000001"], "id":4}`,
    reply: '{"id":4,"result":true,"error":null}',
  },
  {
    who: 'bfgminer, with string and null ids',
    agent: 'other',
    difficulty: 1,
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
    agent: 'cgminer',
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
  {
    who: 'Avalon, a cgminer of its own',
    agent: 'avalon',
    says: [
      '{"id": 0, "method": "mining.configure", "params": [["version-rolling"], ' +
        '{"version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 2}]}',
      '{"id": 1, "method": "mining.subscribe", "params": ["cgminer/4.11.1 Avalon1246"]}',
      '{"id": 2, "method": "mining.authorize", "params": ["rig.1", "123"]}',
    ],
    submit: (job) =>
      `{"params": ["rig.1", "${job}", "00000001", "6553f100", "00000001", "00800000"], ` +
      `"id": 3, "method": "mining.submit"}`,
    reply: '{"id":3,"result":true,"error":null}',
    version: 0x20800000,
    configured: ROLLING,
  },
  {
    who: 'LuxOS, with the host and a null behind its name',
    agent: 'luxos',
    says: [
      '{"id":1,"method":"mining.configure","params":[["version-rolling"],' +
        '{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":16}]}',
      '{"id":2,"method":"mining.subscribe","params":' +
        '["Antminer S19k Pro|LUXminer 2024.5.1|77ae","","127.0.0.1:3333",null]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"]}',
      '{"id":4,"method":"mining.extranonce.subscribe","params":[]}',
    ],
    submit: (job) =>
      `{"id":5,"method":"mining.submit",` +
      `"params":["rig.1","${job}","00000001","6553F100","00000001","1FFFE000"]}`,
    reply: '{"id":5,"result":true,"error":null}',
    version: 0x3fffe000,
    configured: ROLLING,
  },
  {
    who: 'Vnish, with a bit count as text and keys nobody else sends',
    agent: 'vnish',
    says: [
      '{"id":1,"method":"mining.configure","params":[["version-rolling","subscribe-extranonce"],' +
        '{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":"02"}],"jsonrpc":"2.0"}',
      '{"id":2,"method":"mining.subscribe","params":["xminer-1.2.6"],"jsonrpc":"2.0"}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"],"worker":"rig.1"}',
    ],
    submit: (job) =>
      `{"id":4,"jsonrpc":"2.0","method":"mining.submit",` +
      `"params":["rig.1","${job}","00000001","6553f100","00000001","00002000"]}`,
    reply: '{"id":4,"result":true,"error":null}',
    version: 0x20002000,
    configured: { ...ROLLING, 'subscribe-extranonce': true },
  },
  {
    who: 'ePIC, which tells who it is when it configures',
    agent: 'epic',
    says: [
      '{"id":1,"method":"mining.configure","params":[["version-rolling","info"],' +
        '{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2,' +
        '"info.connection-url":"stratum+tcp://127.0.0.1:3333","info.hw-version":"BM",' +
        '"info.sw-version":"1.0","info.hw-id":"7"}]}',
      '{"id":2,"method":"mining.subscribe","params":["PowerPlay-BM/1.15"]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x"]}',
      '{"id":4,"method":"mining.multi_version","params":[4]}',
    ],
    submit: (job) =>
      `{"id":5,"method":"mining.submit",` +
      `"params":["rig.1","${job}","00000001","6553f100","00000001","00002000"]}`,
    reply: '{"id":5,"result":true,"error":null}',
    version: 0x20002000,
    configured: { ...ROLLING, info: true },
  },
  {
    who: 'NiceHash, signed, at the difficulty of its password',
    agent: 'nicehash',
    says: [
      `{"id":1,"method":"mining.subscribe","params":["NiceHash/1.0.0","1700000000000","${'ab'.repeat(32)}"]}`,
      '{"id":2,"method":"mining.extranonce.subscribe","params":[]}',
      '{"id":3,"method":"mining.authorize","params":["rig.1","x;d=524288"]}',
      '{"id":4,"method":"mining.configure","params":[["version-rolling","minimum-difficulty"],' +
        '{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2,' +
        '"minimum-difficulty.value":500000}]}',
    ],
    submit: (job) =>
      `{"id":5,"method":"mining.submit",` +
      `"params":["rig.1","${job}","00000001","6553f100","00000001","00002000"]}`,
    reply: '{"id":5,"result":true,"error":null}',
    version: 0x20002000,
    difficulty: 524_288,
    configured: { ...ROLLING, 'minimum-difficulty': true },
  },
  {
    who: 'MiningRigRentals, which has nothing but a password to ask with',
    agent: 'miningrigrentals',
    says: [
      '{"id":1,"method":"mining.subscribe","params":["MiningRigRentals/1.0",null]}',
      '{"id":2,"method":"mining.authorize","params":["rig.1","d=1000000,x"]}',
    ],
    submit: (job) =>
      `{"id":3,"method":"mining.submit","params":["rig.1","${job}","00000001","6553f100","00000001"]}`,
    reply: '{"id":3,"result":true,"error":null}',
    difficulty: 1_000_000,
  },
];
