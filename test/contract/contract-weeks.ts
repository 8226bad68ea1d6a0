import { parseArgs } from 'node:util';
import { SeededRandom } from '../sim/random.ts';
import { honestWeeks, minutesToFind, tableShares } from './delivery-miners.ts';
import { mostByChance, ruledContract } from './ruled-weeks.ts';

/**
 * By hand: `node test/contract/contract-weeks.ts --contracts 100000 --minutes 30 --seed 1`. How long miners
 * at 50, 80 and 90 % go unfound, beside 1.5 times the table's time for the tolerance of the contract; then
 * contracts of a week of honest miners that deliver just what the tolerance leaves due, a third each at 6, 12
 * and 20 shares a minute, and how many of them are found short. A week costs some 5 ms. It ends after so many
 * minutes with what it has. With `--rulings 300` then what an auditor rules on so many of these contracts,
 * and on as many that are short by half from the middle of the week on.
 */

const PORTION = 300;

const { values } = parseArgs({
  options: {
    contracts: { type: 'string', default: '100000' },
    minutes: { type: 'string', default: '30' },
    runs: { type: 'string', default: '2000' },
    rulings: { type: 'string', default: '0' },
    /** Of the sample: 2 % may be missing. */
    tolerance: { type: 'string', default: '0.02' },
    seed: { type: 'string', default: '1' },
  },
});
const tolerance = Number(values.tolerance);
/** Windows of a day, as in the sample. */
const OPTIONS = { alpha: 1e-3, tolerance, windowMinutes: 1440, expectedMinutes: 10_080 };
const runs = Number(values.runs);
const random = new SeededRandom(Number(values.seed));

for (const sharesPerMinute of [6, 12, 20]) {
  for (const ratio of [0.5, 0.8, 0.9]) {
    const miner = { sharesPerMinute, ratio, honestMinutes: 1440 };
    const found = Array.from({ length: runs }, () => minutesToFind(OPTIONS, miner, random));
    found.sort((a, b) => a - b);
    const late = found[Math.floor(runs * 0.99)]!;
    const shares = (found.reduce((sum, each) => sum + each, 0) / runs) * sharesPerMinute;
    const most = 1.5 * tableShares(ratio, tolerance);
    process.stdout.write(
      `${sharesPerMinute} shares a minute at ${ratio * 100} %: mean ${shares.toFixed(0)} due shares, of ` +
        `${most.toFixed(0)} (${(shares / most).toFixed(2)}); 99 of 100 within ${late} min\n`,
    );
  }
}

const endMs = performance.now() + Number(values.minutes) * 60_000;
let [contracts, short] = [0, 0];
while (contracts < Number(values.contracts) && performance.now() < endMs) {
  short += honestWeeks(OPTIONS, PORTION, random, 1 - tolerance);
  contracts += PORTION;
}
process.stdout.write(
  `${contracts} honest contract-weeks, seed ${values.seed}: ${short} found short, alpha 0.001\n`,
);

const rulings = Number(values.rulings);
for (const ratio of rulings === 0 ? [] : [1 - tolerance, 0.5]) {
  const counts: Record<string, number> = {};
  for (let contract = 0; contract < rulings; contract += 1) {
    const sharesPerMinute = [6, 12, 20][contract % 3]!;
    const fromMinute = ratio === 0.5 ? 5040 : 0;
    const verdict = ruledContract(random, { sharesPerMinute, minutes: 10_080, ratio, fromMinute });
    counts[verdict] = (counts[verdict] ?? 0) + 1;
  }
  process.stdout.write(
    `${rulings} rulings at ${ratio * 100} %: ${JSON.stringify(counts)}; ` +
      `chance explains ${mostByChance(rulings, ratio === 0.5 ? 0.01 : 1e-3)} that are wrong\n`,
  );
}
