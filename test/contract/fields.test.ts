import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import {
  amount,
  type Field,
  flag,
  group,
  height,
  hexBytes,
  integer,
  label,
  listOf,
  oneOf,
  outputScript,
  ppm,
  tagged,
} from '../../src/contract/fields.ts';

/** What a field says of a value at the path `a`: `taken`, or the words it is refused with. */
function said<T>(field: Field<T>, value: unknown, path = 'a'): string {
  try {
    const parsed = field.parse(value, path);
    expect(field.parse(field.print(parsed), path)).toEqual(parsed);
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'bad_terms') throw error;
    const at = String(error.meta['path']);
    expect(error.message.startsWith(`bad_terms: ${at} `)).toBe(true);
    return error.message.slice('bad_terms: '.length);
  }
}

const ODD = [null, undefined, true, [], {}, Symbol('a'), 1n, Number.NaN, Number.POSITIVE_INFINITY];
const KINDS: readonly (readonly [
  string,
  Field<unknown>,
  good: readonly unknown[],
  bad: readonly unknown[],
  why: string,
])[] = [
  [
    'an integer',
    integer(2, 9) as Field<unknown>,
    [2, 3, 9],
    [...ODD, 1, 10, -2, 2.5, '2'],
    'a must be an integer from 2 to 9',
  ],
  [
    'zero',
    integer(0, 1) as Field<unknown>,
    [0, 1],
    [...ODD, -0, -1, 2],
    'a must be an integer from 0 to 1',
  ],
  [
    'ppm',
    ppm as Field<unknown>,
    [0, 1_000_000],
    [...ODD, -1, 1_000_001],
    'a must be an integer from 0 to 1000000',
  ],
  [
    'a height',
    height as Field<unknown>,
    [1, 499_999_999],
    [...ODD, 0, 500_000_000],
    'a must be an integer from 1 to 499999999',
  ],
  [
    'an amount',
    amount as Field<unknown>,
    ['0', '21'],
    [...ODD, '', '-1', '01', '1.0', 7],
    'a must be a decimal string',
  ],
  [
    'two bytes',
    hexBytes(2) as Field<unknown>,
    ['00ff'],
    [...ODD, '', '00', '00ff00', '00FF', '00f', 'zz00', 10],
    'a must be 2 bytes of lower-case hex',
  ],
  [
    'bytes',
    hexBytes(2, 3) as Field<unknown>,
    ['00ff', '00ff00'],
    [...ODD, '00', '00ff00ff', '00FF'],
    'a must be 2 to 3 bytes of lower-case hex',
  ],
  [
    'a script',
    outputScript as Field<unknown>,
    ['51', '51'.repeat(100)],
    [...ODD, '', '51'.repeat(101)],
    'a must be 1 to 100 bytes of lower-case hex',
  ],
  ['a flag', flag as Field<unknown>, [true, false], [null, 0, 1, 'true', {}], 'a must be true or false'],
  [
    'a label',
    label(3) as Field<unknown>,
    ['', 'a', ' ~z'],
    [...ODD, 'abcd', '\n', 'a\x7f', '\x1fa', 'ä', 'a\n'],
    'a must be at most 3 printable ASCII characters',
  ],
  ['a word', oneOf('x', 'y') as Field<unknown>, ['x', 'y'], [...ODD, 'z', ''], 'a must be one of x, y'],
  [
    'a list',
    listOf(flag, 1, 2) as Field<unknown>,
    [[true], [true, false]],
    [null, {}, 'ab', { length: 1 }, [], [true, true, true]],
    'a must be a list of 1 to 2',
  ],
];

describe('a field', () => {
  it.each(KINDS)(
    'of %s takes what it is for, and says so of anything else',
    (_name, field, good, bad, why) => {
      for (const value of good) expect(said(field, value), JSON.stringify(value)).toBe('taken');
      for (const value of bad) expect(said(field, value), String(value)).toBe(why);
    },
  );

  it('of a list names the item', () => {
    const list = listOf(flag, 1, 3);
    expect(said(list, [true, 1, true])).toBe('a.1 must be true or false');
    expect(list.print([true, false])).toEqual([true, false]);
  });
});

describe('a group', () => {
  const pair = group({ one: ['wire_one', flag] as const }, { two: ['wire_two', integer(0, 9)] as const });

  it('has its members under their names on the wire, and leaves out what is optional', () => {
    expect(pair.parse({ wire_one: true, wire_two: 3 }, '')).toEqual({ one: true, two: 3 });
    expect(pair.print({ one: true, two: 3 })).toEqual({ wire_one: true, wire_two: 3 });
    expect(pair.parse({ wire_one: false }, '')).toEqual({ one: false });
    expect(pair.print({ one: false })).toEqual({ wire_one: false });
  });

  it('names what is missing, unknown or wrong by its path, whether at the top or within', () => {
    for (const [path, prefix] of [
      ['', ''],
      ['a', 'a.'],
      ['a.b', 'a.b.'],
    ] as const) {
      for (const value of [null, 7, 'x', [], undefined])
        expect(said(pair, value, path)).toBe(`${path === '' ? 'terms' : path} must be an object`);
      expect(said(pair, {}, path)).toBe(`${prefix}wire_one is missing`);
      expect(said(pair, { wire_one: 1 }, path)).toBe(`${prefix}wire_one must be true or false`);
      expect(said(pair, { wire_one: true, one: 1 }, path)).toBe(`${prefix}one is not known`);
      const long = 'x'.repeat(61);
      expect(said(pair, { wire_one: true, [long]: 1 }, path)).toBe(
        `${prefix}${long.slice(1)} is not known`,
      );
    }
    // What an object inherits it does not have.
    expect(said(pair, Object.create({ wire_one: true }))).toBe('a.wire_one is missing');
  });
});

describe('a tagged group', () => {
  const either = tagged(['type', 'kind'], {
    plain: group({}),
    sized: group({ size: ['size_sat', amount] as const }),
  });

  it('has the members its tag asks for', () => {
    expect(either.parse({ kind: 'plain' }, 'a')).toEqual({ type: 'plain' });
    expect(either.parse({ kind: 'sized', size_sat: '5' }, 'a')).toEqual({ type: 'sized', size: 5n });
    expect(either.print({ type: 'sized', size: 5n })).toEqual({ kind: 'sized', size_sat: '5' });
  });

  it('is refused without a tag, with another, or with the members of another', () => {
    for (const value of [null, 'plain', [], 3]) expect(said(either, value)).toBe('a must be an object');
    for (const kind of [undefined, 'other', 3, null, ['plain'], 'toString'])
      expect(said(either, { kind })).toBe('a.kind must be one of plain, sized');
    expect(said(either, { kind: 'plain', size_sat: '5' })).toBe('a.size_sat is not known');
    expect(said(either, { kind: 'sized' })).toBe('a.size_sat is missing');
  });
});
