import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ADDRESS_RANGE,
  AMOUNT,
  BOOLEAN,
  choice,
  DURATION,
  ENDPOINT,
  FEE_RATE,
  HASHRATE,
  HTTP_URL,
  hex,
  INTEGER,
  Invalid,
  type Kind,
  LISTEN,
  listOf,
  NAME,
  POSITIVE,
  PRICE,
  STRATUM_URL,
  TEXT,
  VERSION_MASK,
  WORK,
} from '../../src/config/values.ts';

function accepts<T>(kind: Kind<T>, cases: readonly (readonly [unknown, T])[]): void {
  for (const [input, value] of cases) expect(kind.parse(input), String(input)).toEqual(value);
}

function refuses(kind: Kind<unknown>, inputs: readonly unknown[]): void {
  for (const input of inputs)
    expect(kind.parse(input), `${String(input)} must be refused`).toBeInstanceOf(Invalid);
}

describe('units', () => {
  it('reads durations as milliseconds', () => {
    accepts(DURATION, [
      ['30s', 30_000],
      ['250ms', 250],
      ['1.5h', 5_400_000],
      ['2 d', 172_800_000],
      ['0s', 0],
    ]);
    refuses(DURATION, ['30', 30, '-1s', '1e3s', '1w', '', 's', '1s2', '9999999999999999d', null]);
  });

  it('reads amounts as sats, exactly', () => {
    accepts(AMOUNT, [
      ['12000 sat', 12_000n],
      ['12_000sat', 12_000n],
      ['0.01 BTC', 1_000_000n],
      ['0.00000001 BTC', 1n],
      ['21000000 BTC', 2_100_000_000_000_000n],
    ]);
    refuses(AMOUNT, [
      '1.5 sat',
      '0.000000001 BTC',
      '0.0000000000000000000001 BTC',
      '21000001 BTC',
      '5',
      '5 btc',
      5,
    ]);
  });

  it('reads work as hashes, exactly', () => {
    accepts(WORK, [
      ['1 EH', 10n ** 18n],
      ['500 kH', 500_000n],
      ['1.5PH', 1_500_000_000_000_000n],
      ['0.1 ZH', 10n ** 20n],
      ['1 H', 1n],
    ]);
    refuses(WORK, ['1', '1 eh', '1 EH/s', '-1 EH', '1,5 EH', 1n]);
    accepts(HASHRATE, [
      ['5 PH/s', 5n * 10n ** 15n],
      ['0.5 kH/s', 500n],
    ]);
    refuses(HASHRATE, ['5 PH', '5 PH/S', '5 PH/day', 5]);
  });

  it('reads every spelling of a price as msat per EH', () => {
    // 46,000 sat a PH/s-day: 46,000,000 msat for 86.4 EH.
    accepts(PRICE, [
      ['46000 sat/PH/day', 532_407n],
      ['520 sat/EH', 520_000n],
      ['520000 msat/EH', 520_000n],
      ['86.4 sat/PH/day', 1000n],
      ['86.4 sat / PH / day', 1000n],
      ['0.00045 BTC/PH/day', 520_833n],
      // 60 TH/s for a minute is 0.0036 EH.
      ['30 sats per 60 TH/min', 8_333_333n],
      ['520 sat per EH', 520_000n],
      ['46000 sat per PH/day', 532_407n],
      ['86400 sat/EH/day', 1000n],
      ['0.00000520 BTC/EH', 520_000n],
    ]);
    refuses(PRICE, [
      '520',
      '520 sat',
      '520 sat/eh',
      '520 sat/EH/hour',
      '0 sat/EH',
      '-1 sat/EH',
      '0.0001 sat/EH',
      '30 sats per 60 TH/fortnight',
      '30 sats per 0 TH/min',
    ]);
  });

  it('refuses hashrate without its time, which would be 86,400 times the price', () => {
    for (const text of ['46000 sat/PH', '0.00045 BTC/PH', '530 sat/TH', '46000 sat per PH', '1 sat/ZH']) {
      const read = PRICE.parse(text);
      expect(read, text).toBeInstanceOf(Invalid);
      expect((read as Invalid).why).toContain(`for hashrate write "${text}/day"`);
    }
  });

  it('holds price relations for any amount (property)', () => {
    fc.assert(
      fc.property(fc.bigInt(1n, 10n ** 12n), (amount) => {
        const perEh = PRICE.parse(`${amount} sat/EH`);
        expect(perEh).toBe(amount * 1000n);
        expect(PRICE.parse(`${amount} msat/EH`)).toBe(amount);
        expect(PRICE.parse(`${amount} sat per 1 PH/s`)).toBe(amount * 1_000_000n);
        expect(WORK.parse(`${amount} TH`)).toBe(amount * 10n ** 12n);
        expect(AMOUNT.parse(`${amount} sat`)).toBe(amount);
      }),
    );
  });

  it('reads fee rates as sat per kvB', () => {
    accepts(FEE_RATE, [
      ['5 sat/vB', 5000],
      ['1.1 sat/vB', 1100],
      ['1100 sat/kvB', 1100],
    ]);
    refuses(FEE_RATE, ['5', '5 sat', '5 sat/B']);
  });
});

describe('addresses', () => {
  it('reads host and port', () => {
    accepts(LISTEN, [
      ['127.0.0.1:3333', { host: '127.0.0.1', port: 3333 }],
      ['[::1]:0', { host: '::1', port: 0 }],
      ['localhost:65535', { host: 'localhost', port: 65_535 }],
    ]);
    refuses(LISTEN, ['3333', ':3333', 'a:65536', 'a b:1', '::1:3333', 'a:1:2', 'a:-1', 'a:1x']);
    refuses(ENDPOINT, ['maker.example:0', 'maker.example']);
  });

  it('reads Stratum and HTTP addresses', () => {
    const pool = { host: 'pool.example', port: 3333 };
    accepts(STRATUM_URL, [
      ['stratum+tcp://pool.example:3333', { ...pool, secure: false }],
      ['stratum+ssl://pool.example:3333/', { ...pool, secure: true }],
      ['stratum+tls://[::1]:3333', { host: '::1', port: 3333, secure: true }],
    ]);
    refuses(STRATUM_URL, [
      'pool.example:3333',
      'stratum+ssl://pool.example',
      'stratum+tcp://pool.example',
      'stratum2+tcp://pool.example:1',
      'constructor://a:1',
      'tcp://a:1',
    ]);
    accepts(HTTP_URL, [
      ['http://127.0.0.1:8332', 'http://127.0.0.1:8332'],
      ['https://node.example/wallet/a/', 'https://node.example/wallet/a'],
    ]);
    refuses(HTTP_URL, ['127.0.0.1:8332', 'ftp://a', 'http://', 'file:///etc/passwd']);
  });

  it('reads addresses and ranges', () => {
    const good = ['192.0.2.7', '10.0.0.0/8', '0.0.0.0/0', '2001:db8::/32', '::1', '::/128'];
    accepts(
      ADDRESS_RANGE,
      good.map((text) => [text, text] as const),
    );
    refuses(ADDRESS_RANGE, [
      '',
      'localhost',
      '10.0.0.0/33',
      '::/129',
      '10.0.0.0/8/8',
      '10.0.0/8',
      '1.2.3.4/-1',
    ]);
  });

  it('refuses a password in a URL without repeating it', () => {
    const refused = HTTP_URL.parse('http://user:hunter2@127.0.0.1:8332');
    expect(refused).toBeInstanceOf(Invalid);
    expect((refused as Invalid).why).not.toContain('hunter2');
  });
});

describe('plain kinds', () => {
  it('take what TOML carries and what the environment carries', () => {
    accepts(INTEGER, [
      [5, 5],
      ['5', 5],
      ['-5', -5],
    ]);
    refuses(INTEGER, [1.5, '1.5', 'five', '', true, 1e300, '99999999999999999999']);
    accepts(POSITIVE, [
      [0.001, 0.001],
      ['0.5', 0.5],
      ['1e3', 1000],
    ]);
    refuses(POSITIVE, [0, -1, '0', Number.NaN, Number.POSITIVE_INFINITY, 'Infinity', '0x10']);
    accepts(BOOLEAN, [
      [true, true],
      ['false', false],
    ]);
    refuses(BOOLEAN, ['yes', 1, 'TRUE']);
    accepts(choice('a', 'b'), [['b', 'b']]);
    refuses(choice('a', 'b'), ['c', '', 1]);
    accepts(listOf(INTEGER), [
      [
        [1, 2],
        [1, 2],
      ],
      ['1, 2', [1, 2]],
      ['', []],
    ]);
    refuses(listOf(INTEGER), [5, ['x'], { 0: 1 }]);
  });

  it('keep control characters and odd names out', () => {
    refuses(TEXT, ['', 'a\nb', 'a\u0000', 'x'.repeat(256), 5]);
    accepts(NAME, [['own-pool_1', 'own-pool_1']]);
    refuses(NAME, ['a.b', 'a b', '', 'x'.repeat(33), '.']);
    accepts(VERSION_MASK, [
      ['1fffe000', 0x1fffe000],
      ['1fffffe0', 0x1fffffe0],
      ['00000000', 0],
    ]);
    refuses(VERSION_MASK, ['1fffe00', '0x1fffe000', 536862720, 'ffffffff', '3fffe000', '1fffe010']);
    accepts(hex(2), [['ABcd', 'abcd']]);
    refuses(hex(2), ['abc', 'abcdef', 'zzzz', 43981]);
    refuses(hex(), ['', 'abc', 'g0']);
  });

  it('never throw, whatever they are given (property)', () => {
    const kinds: Kind<unknown>[] = [
      AMOUNT,
      WORK,
      PRICE,
      DURATION,
      FEE_RATE,
      LISTEN,
      STRATUM_URL,
      HTTP_URL,
      POSITIVE,
    ];
    fc.assert(
      fc.property(
        fc.oneof(
          fc.anything(),
          fc.string(),
          fc.string({ unit: fc.constantFrom(...'0123456789. _/satEHday:[]'.split('')) }),
        ),
        (input) => {
          for (const kind of kinds) expect(() => kind.parse(input)).not.toThrow();
        },
      ),
    );
  });
});
