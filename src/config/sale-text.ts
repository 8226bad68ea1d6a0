import { decimalText } from '../base/price.ts';
import { HASHES_PER_EH } from '../base/units.ts';
import { HASHRATE, Invalid, msatPerEh, SAID_PRICE, type SaidPrice } from './values.ts';

/** What people say of a sale: its price, and the hashrate and time of it where they say them. */
export type Sale = {
  readonly price: SaidPrice;
  readonly hashesPerSecond: bigint | undefined;
  readonly seconds: bigint | undefined;
};

/** Units of time of a sale, the longest first. */
const TIMES: readonly (readonly [name: string, names: RegExp, seconds: bigint])[] = [
  ['week', /^(?:w|weeks?)$/, 604_800n],
  ['day', /^(?:d|days?)$/, 86_400n],
  ['hour', /^(?:h|hours?)$/, 3600n],
  ['minute', /^(?:m|min|minutes?)$/, 60n],
  ['second', /^(?:s|seconds?)$/, 1n],
];

const RATE_UNITS = ['H/s', 'kH/s', 'MH/s', 'GH/s', 'TH/s', 'PH/s', 'EH/s', 'ZH/s'] as const;

const EXAMPLES = '"30 sats per 60 TH/min for 1 week" or "46000 sat/PH/day of 5 PH/s for 30 days"';

/**
 * A sale in words: a price, `of` a hashrate, `for` a time. Where the price is of hashrate kept up for some
 * time ("30 sats per 60 TH/min", or "for 60 TH/minute") and no other hashrate is said, that one is sold.
 */
export function parseSale(text: string): Sale | Invalid {
  // Of "30 sats for 60 TH/min for 1 week" the last "for" is the time's; "for 60 TH/min" alone is the price's.
  const timed = /^(.*\S)\s+(?:for|over)\s+(\d{1,9})\s*([a-z]+)$/.exec(text.trim());
  const unit = TIMES.find(([, names]) => names.test(timed?.[3] ?? ''));
  const seconds = unit === undefined ? undefined : BigInt(timed![2]!) * unit[2];
  if (seconds === 0n) return new Invalid('lasts no time');
  const rated = /^(.*\S)\s+(?:of|at)\s+(\S+\s*[A-Za-z]+\/s)$/.exec(
    seconds === undefined ? text.trim() : timed![1]!,
  );
  const rate = rated === null ? undefined : HASHRATE.parse(rated[2]);
  if (rate instanceof Invalid) return new Invalid(`is of a hashrate that ${rate.why}`);
  const priced = rated?.[1] ?? (seconds === undefined ? text.trim() : timed![1]!);
  const price = SAID_PRICE.parse(priced.replace(/(?<=[a-zA-Z])\s+for\s+(?=\d)/, ' per '));
  if (price instanceof Invalid) return new Invalid(`${price.why}; a sale reads ${EXAMPLES}`);
  if (msatPerEh(price) === 0n) return new Invalid('comes to less than 1 msat per EH');
  const hashesPerSecond = rate ?? price.hashesPerSecond;
  if (hashesPerSecond === 0n) return new Invalid('is of no hashrate');
  return { price, hashesPerSecond, seconds };
}

/** A sale as `parseSale` reads it, with the price as it is floored to a whole msat per EH. */
export function saleText({ price, hashesPerSecond, seconds }: Sale): string {
  return [
    `${decimalText(msatPerEh(price), 3)} sat/EH`,
    ...(hashesPerSecond === undefined ? [] : [`of ${hashrateText(hashesPerSecond)}`]),
    ...(seconds === undefined ? [] : [`for ${timeText(seconds)}`]),
  ].join(' ');
}

/** The price as it was said, in sat per EH to a hundredth, where flooring it to a msat loses something. */
export function flooredText(price: SaidPrice): string | undefined {
  if ((price.msat * HASHES_PER_EH) % price.hashes === 0n) return undefined;
  const hundredths = (price.msat * HASHES_PER_EH) / (price.hashes * 10n);
  return `${decimalText(hundredths, 2)}... sat/EH, floored to ${msatPerEh(price)} msat/EH`;
}

/** An exact hashrate, in the greatest unit it is not below. */
function hashrateText(hashesPerSecond: bigint): string {
  let power = 0;
  while (power < RATE_UNITS.length - 1 && hashesPerSecond >= 1000n ** BigInt(power + 1)) power += 1;
  return `${decimalText(hashesPerSecond, 3 * power)} ${RATE_UNITS[power]}`;
}

/** An exact time, in the longest unit of which it is a whole number. */
function timeText(seconds: bigint): string {
  const [name, , size] = TIMES.find(([, , unit]) => seconds % unit === 0n)!;
  const count = seconds / size;
  return `${count} ${name}${count === 1n ? '' : 's'}`;
}
