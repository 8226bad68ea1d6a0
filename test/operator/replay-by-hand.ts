/**
 * Contracts over the shipped history once more, written apart from the program and sharing nothing with it
 * but the table: in floating point, from what the words mean.
 */

export type ByHand = {
  readonly day: string;
  readonly leaves: { readonly side: 'miner' | 'maker'; readonly day: string } | null;
  /** Parts of all pay. */
  readonly collateral: number;
  readonly makerBond: number;
  readonly result: number;
};

const DAY_MS = 24 * 3600 * 1000;

/** Each day with the value of 10^18 hashes in sats. */
export function valuesByHand(table: string): readonly { readonly day: string; readonly sats: number }[] {
  const rows = [...table.matchAll(/(\d{4}-\d\d-\d\d) ([0-9a-f]{8})/g)];
  const values: { day: string; sats: number }[] = [];
  rows.slice(0, -1).forEach(([, begins, nbits], row) => {
    const exponent = Number(`0x${nbits!.slice(0, 2)}`);
    const mantissa = Number(`0x${nbits!.slice(2)}`);
    const hashesOfBlock = 2 ** (256 - 8 * (exponent - 3)) / mantissa;
    const [from, to] = [Date.parse(begins!), Date.parse(rows[row + 1]![1]!)];
    for (let at = from; at < to; at += DAY_MS) {
      const block = 413_280 + row * 2016 + (2016 * (at - from)) / (to - from);
      // 50, 25, 12.5, ... bitcoin.
      const bitcoin = 50 / 2 ** Math.floor(block / 210_000);
      values.push({
        day: new Date(at).toISOString().slice(0, 10),
        sats: (bitcoin * 1e8 * 1e18) / hashesOfBlock,
      });
    }
  });
  return values;
}

/** The value of 10^18 hashes in sats, by what a mean block pays and how hard it is. */
export function valueByHand(difficulty: number, subsidySat: number, feesSat: number): number {
  return ((subsidySat + feesSat) * 1e18) / (difficulty * (2 ** 256 / (65_535 * 2 ** 208)));
}

/** A contract of so many days from each day, at its value; bonds as parts of all pay, released evenly. */
export function replayByHand(
  values: readonly { readonly day: string; readonly sats: number }[],
  days: number,
  collateral: number,
  bond: number,
): readonly ByHand[] {
  const results: ByHand[] = [];
  for (let first = 0; first + days <= values.length; first += 1) {
    const price = values[first]!.sats;
    let [leaves, most, least, worth]: [ByHand['leaves'], number, number, number] = [null, price, price, 0];
    for (let at = 0; at < days; at += 1) {
      const { day, sats } = values[first + at]!;
      most = Math.max(most, sats);
      least = Math.min(least, sats);
      worth += sats;
      // What is left to deliver could be sold, or bought, at today's value; what is left of the bond is lost.
      const left = days - at;
      if (leaves === null && (sats - price) * left > collateral * price * left)
        leaves = { side: 'miner', day };
      if (leaves === null && (price - sats) * left > bond * price * left) leaves = { side: 'maker', day };
    }
    const [{ day }] = [values[first]!];
    results.push({
      ...{ day, leaves, collateral: most / price - 1, makerBond: 1 - least / price },
      result: 1 - worth / (price * days),
    });
  }
  return results;
}

/** The least bond, as a part of all pay, with which neither side gains on this part of the start days. */
export function bondThatHolds(results: readonly ByHand[], part: number): number {
  const needed = results.map((one) => Math.max(one.collateral, one.makerBond)).sort((a, b) => a - b);
  const held = (bond: number): number => needed.filter((each) => each <= bond).length / needed.length;
  return needed.find((bond) => held(bond) >= part)!;
}
