import { describe, expect, it } from 'vitest';
import { payeesOf } from '../../src/config/payees.ts';
import { Invalid, PAYEE, type PayeeText } from '../../src/config/values.ts';

const ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';

/** What these lines come to, and what of them is refused. */
function read(...lines: readonly string[]) {
  const refused: string[] = [];
  const context = {
    refuse: (path: string, why: string) => void refused.push(`${path} ${why}`),
    path: (text: string) => text,
    text: () => undefined,
  };
  const texts = lines.map((line) => PAYEE.parse(line) as PayeeText);
  const payees = payeesOf(texts, 600n, 'contract.payees', context as never);
  return { payees: payees.map(({ label, ppm }) => [label, ppm]), refused };
}

describe('payees', () => {
  it('keep what they do not pass on, three levels down', () => {
    const { payees, refused } = read(
      `host 15% ${ADDRESS}`,
      `landlord 20% of host ${ADDRESS}`,
      `tax 19% of landlord ${ADDRESS}`,
      `owner 33.3333% ${ADDRESS}`,
    );
    expect(refused).toEqual([]);
    expect(payees).toEqual([
      ['host', 120_000],
      ['landlord', 24_300],
      ['tax', 5_700],
      ['owner', 333_333],
    ]);
  });

  it('are refused where nothing is left, one is named twice or not before, or too deep', () => {
    expect(read(`a 10% ${ADDRESS}`, `a 10% ${ADDRESS}`).refused).toEqual([
      'contract.payees has "a", twice',
    ]);
    expect(read(`a 10% of b ${ADDRESS}`, `b 10% ${ADDRESS}`).refused[0]).toContain('not named before it');
    expect(read(`a 0.0001% ${ADDRESS}`, `b 1% of a ${ADDRESS}`).refused[0]).toContain('nothing is left');
    expect(read(`a 10% ${ADDRESS}`, `b 60% of a ${ADDRESS}`, `c 40% of a ${ADDRESS}`).refused).toEqual([
      'contract.payees has "c", which leaves nothing to "a"',
    ]);
    const deep = ['a 50%', 'b 50% of a', 'c 50% of b', 'd 50% of c'].map((line) => `${line} ${ADDRESS}`);
    expect(read(...deep).refused).toEqual(['contract.payees has "d", which is more than 3 levels down']);
  });

  it('are typed as a name, a part and an address', () => {
    expect(PAYEE.parse(`host 1.5% ${ADDRESS}`)).toEqual({
      ...{ label: 'host', partPpm: 15_000, of: undefined, address: ADDRESS },
    });
    for (const text of [
      '',
      'host',
      `host 15 ${ADDRESS}`,
      `host 100% ${ADDRESS}`,
      `host 1.23456% ${ADDRESS}`,
      'a 1% b',
    ])
      expect(PAYEE.parse(text)).toBeInstanceOf(Invalid);
  });
});
