import { describe, expect, it } from 'vitest';
import {
  type HandshakeEffect,
  type HandshakeOptions,
  type HandshakeRequest,
  type HandshakeState,
  INITIAL_HANDSHAKE,
  isReady,
  passwordDifficulty,
  transition,
} from '../../src/downstream/session/handshake.ts';
import { userAgentClass } from '../../src/downstream/session/user-agents.ts';
import { parseClientLine } from '../../src/stratum/client-messages.ts';

const OPTIONS: HandshakeOptions = {
  extranonce1: '0a0b0c0d',
  sessionId: '0a0b0c0d5e55105e',
  extranonce2Size: 4,
  versionMask: 0x1fffe000,
  mayAuthorize: true,
  version: 'sharestream/test',
};

function say(
  line: string,
  state: HandshakeState = INITIAL_HANDSHAKE,
  options: Partial<HandshakeOptions> = {},
): { state: HandshakeState; effects: readonly HandshakeEffect[]; reply: unknown } {
  const request = parseClientLine(line) as HandshakeRequest;
  const step = transition({ ...OPTIONS, ...options }, state, request, 0);
  const line0 = step.effects.find((effect) => effect.type === 'reply' || effect.type === 'refused');
  return { ...step, reply: line0 === undefined ? undefined : JSON.parse(line0.line) };
}

const configure = (extensions: string[], options: object): string =>
  JSON.stringify({ id: 1, method: 'mining.configure', params: [extensions, options] });

describe('mining.configure', () => {
  const rows: readonly [who: string, line: string, result: object, mask: number | undefined][] = [
    [
      'Antminer, with a bit count',
      configure(['version-rolling'], {
        'version-rolling.mask': '1fffe000',
        'version-rolling.min-bit-count': 2,
      }),
      { 'version-rolling': true, 'version-rolling.mask': '1fffe000' },
      0x1fffe000,
    ],
    [
      'Bitaxe, any bit',
      configure(['version-rolling'], { 'version-rolling.mask': 'ffffffff' }),
      { 'version-rolling': true, 'version-rolling.mask': '1fffe000' },
      0x1fffe000,
    ],
    [
      'a narrow mask',
      configure(['version-rolling'], { 'version-rolling.mask': '00ff0000' }),
      { 'version-rolling': true, 'version-rolling.mask': '00ff0000' },
      0x00ff0000,
    ],
    [
      'every extension of BIP310',
      configure(['minimum-difficulty', 'version-rolling', 'subscribe-extranonce', 'info', 'x'], {
        'minimum-difficulty.value': 2048,
      }),
      {
        'minimum-difficulty': true,
        'version-rolling': true,
        'version-rolling.mask': '1fffe000',
        'subscribe-extranonce': true,
        info: true,
        x: false,
      },
      0x1fffe000,
    ],
    ['nothing', configure([], {}), {}, undefined],
  ];
  it.each(rows)('answers %s with exactly the requested keys', (_who, line, result, mask) => {
    const step = say(line);
    expect(step.reply).toEqual({ id: 1, result, error: null });
    expect(step.state.versionMask).toBe(mask);
  });

  it('refuses version rolling where it is off', () => {
    const step = say(configure(['version-rolling'], {}), INITIAL_HANDSHAKE, { versionMask: 0 });
    expect(step.reply).toEqual({ id: 1, result: { 'version-rolling': false }, error: null });
    expect(step.state.versionMask).toBeUndefined();
  });
});

describe('handshake', () => {
  it('is ready after subscribe and authorize in either order', () => {
    const subscribe = '{"id":1,"method":"mining.subscribe","params":["cgminer/4.12"]}';
    const authorize = '{"id":2,"method":"mining.authorize","params":["a.b","x"]}';
    for (const [first, second] of [
      [subscribe, authorize],
      [authorize, subscribe],
    ] as const) {
      const one = say(first).state;
      expect(isReady(one)).toBe(false);
      expect(isReady(say(second, one).state)).toBe(true);
    }
  });

  it('nests the subscription list as NerdMiner reads it', () => {
    expect(say('{"id":1,"method":"mining.subscribe","params":[]}').reply).toEqual({
      id: 1,
      result: [
        [
          ['mining.set_difficulty', '0a0b0c0d5e55105e'],
          ['mining.notify', '0a0b0c0d5e55105e'],
        ],
        '0a0b0c0d',
        4,
      ],
      error: null,
    });
  });

  it('takes several workers, each once', () => {
    let state = INITIAL_HANDSHAKE;
    for (const name of ['a', 'b', 'a']) {
      state = say(`{"id":2,"method":"mining.authorize","params":["${name}","x"]}`, state).state;
    }
    expect(state.workers).toEqual(['a', 'b']);
  });

  const unacceptable = ['', 'x'.repeat(192), 'a\\u0000b', 'a\\nb', 'a\\u202eb'];
  it.each(unacceptable)('refuses the worker name "%s"', (name) => {
    const step = say(`{"id":2,"method":"mining.authorize","params":["${name}","x"]}`);
    expect(step.reply).toMatchObject({ id: 2, error: [24, 'not authorized', null] });
    expect(step.state.workers).toEqual([]);
  });

  it('refuses whom the owner refuses, and more workers than a connection may have', () => {
    const line = '{"id":2,"method":"mining.authorize","params":["new","x"]}';
    expect(say(line, INITIAL_HANDSHAKE, { mayAuthorize: false }).reply).toMatchObject({
      error: [24, 'not authorized', null],
    });
    const full = { ...INITIAL_HANDSHAKE, workers: Array.from({ length: 256 }, (_, at) => `w${at}`) };
    expect(say(line, full).state.workers).toHaveLength(256);
  });

  const replies: readonly [line: string, reply: unknown][] = [
    [
      '{"id":"xnsub","method":"mining.extranonce.subscribe","params":[]}',
      { id: 'xnsub', result: true, error: null },
    ],
    [
      '{"id":"txlist1","method":"mining.get_transactions","params":["1"]}',
      { id: 'txlist1', result: [], error: null },
    ],
    ['{"id":3,"method":"mining.ping","params":[]}', { id: 3, result: 'pong', error: null }],
    [
      '{"id":3,"method":"client.get_version","params":[]}',
      { id: 3, result: 'sharestream/test', error: null },
    ],
    [
      '{"id":3,"method":"mining.multi_version","params":[4]}',
      { id: 3, result: null, error: [20, 'unknown method', null] },
    ],
    [
      '{"id":3,"method":"mining.term","params":[]}',
      { id: 3, result: null, error: [20, 'unknown method', null] },
    ],
    ['{"id":3,"method":5}', { id: 3, result: null, error: [20, 'malformed', null] }],
    ['{"id":null,"method":"mining.capabilities","params":[{}]}', undefined],
    ['{"id":3,"method":"pong","params":[]}', undefined],
    ['{"id":3,"result":"pong","error":null}', undefined],
  ];
  it.each(replies)('%s', (line, reply) => {
    expect(say(line).reply).toEqual(reply);
  });

  it('takes suggestions as a wish, and answers them only when they have an id', () => {
    const asked = say('{"id":4,"method":"mining.suggest_difficulty","params":[512]}');
    expect(asked.reply).toEqual({ id: 4, result: true, error: null });
    expect(asked.effects).toContainEqual({ type: 'difficulty', rule: 'suggested', difficulty: 512 });
    const target = `00000000ffff${'0'.repeat(52)}`;
    const told = say(`{"id":null,"method":"mining.suggest_target","params":["${target}"]}`);
    expect(told.effects).toEqual([{ type: 'difficulty', rule: 'suggested', difficulty: 1 }]);
  });
});

it('finds the difficulty in a password', () => {
  const rows: readonly [string, number | undefined][] = [
    ['d=1024', 1024],
    ['x,d=0.5', 0.5],
    ['x;diff=65536;y', 65_536],
    ['D=5 x', 5],
    ['d=0', undefined],
    ['d=-5', undefined],
    ['d=1e9', undefined],
    ['add=5', undefined],
    ['x', undefined],
    ['', undefined],
  ];
  for (const [password, difficulty] of rows)
    expect(passwordDifficulty(password), password).toBe(difficulty);
});

it('knows firmware by its user agent', () => {
  expect(userAgentClass('bitaxe/BM1370/v2.8.0')).toBe('bitaxe');
  expect(userAgentClass('Antminer S19k Pro|LUXminer 2024|x')).toBe('luxos');
  expect(userAgentClass('Braiins OS 24.09')).toBe('braiins');
  expect(userAgentClass('bmminer/2.0.0/Antminer S19/19.2')).toBe('antminer');
  expect(userAgentClass('something new')).toBe('other');
});
