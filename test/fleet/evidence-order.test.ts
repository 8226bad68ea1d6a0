import fc from 'fast-check';
import { expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import {
  NO_ORDER,
  orderStream,
  parseMember,
  parseOrder,
  parsePart,
  parseRuns,
  printMember,
  printOrder,
  printPart,
  printRuns,
} from '../../src/fleet/evidence-order.ts';
import '../seed.ts';

const whole = fc.nat();
const name = fc.string({ minLength: 1, maxLength: 12 });
const work = fc.bigInt({ min: 0n, max: 10n ** 30n });

it('an order survives being written down', () => {
  const place = fc.record({ next: whole, workHashes: work });
  const order = fc.record({
    ...{ seq: whole, workHashes: work, isLive: fc.boolean(), sliceHashes: work },
    places: fc.array(fc.tuple(name, place), { maxLength: 5 }).map((rows) => new Map(rows)),
  });
  fc.assert(
    fc.property(order, (each) => {
      expect(parseOrder(printOrder(each))).toEqual(each);
    }),
  );
  const run = fc.record({ instance: name, first: whole, count: whole });
  fc.assert(
    fc.property(fc.array(run), (each) => {
      expect(parseRuns(printRuns(each))).toEqual(each);
    }),
  );
});

it('parts are known by the token in their id, whose order is that of the tokens', () => {
  const part = { token: 12, instance: 'a', first: 7 };
  expect(parsePart(orderStream('c1', 12), printPart(part))).toEqual(part);
  expect(orderStream('c1', 9) < orderStream('c1', 10)).toBe(true);
});

it('a member says which run it is, and whether it left', () => {
  for (const member of [
    { run: 3, isLeft: false },
    { run: 4, isLeft: true },
  ])
    expect(parseMember(printMember(member))).toEqual(member);
});

it('nothing else is read', () => {
  const good = printOrder({ ...NO_ORDER, seq: 5 });
  const bodies = [
    '',
    '{}',
    'null',
    good.replace('"seq":5', '"seq":-1'),
    good.replace('"work":"0"', '"work":0'),
  ];
  const reads = [parseOrder, (body: string) => parseRuns(Buffer.from(body)), parseMember];
  for (const body of bodies)
    for (const read of reads) {
      let code = '';
      try {
        read(body);
      } catch (error) {
        code = codeOf(error);
      }
      expect(code, `${read.name} ${body}`).toBe('ledger_corrupt');
    }
});
