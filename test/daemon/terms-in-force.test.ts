import { afterEach, describe, expect, it } from 'vitest';
import { contractShow } from '../../src/cli/contract.ts';
import { contractConfirm, contractUpdate } from '../../src/cli/contract-updates.ts';
import { paySatOf } from '../../src/contract/updated-terms.ts';
import { type ContractFigures, makerFigures, proxyFigures } from '../../src/daemon/contract-series.ts';
import { makerBook } from '../../src/operator/maker-book.ts';
import { SHARE, until } from '../maker/world.ts';
import { CommandStand } from './command-stand.ts';

/** What both signed since holds wherever a contract is shown: nobody goes by the terms as they began. */

const EH = 10n ** 18n;

let stand: CommandStand;
afterEach(() => stand.end());

const figuresOf = (): Readonly<Record<'miner' | 'maker', ContractFigures>> => ({
  miner: proxyFigures(stand.contracts.all)[0]!,
  maker: makerFigures(stand.world.maker.status, stand.world.maker)[0]!,
});

/** Both sign a change that a side proposes. */
async function agreed(side: 'miner' | 'maker', ...words: readonly string[]): Promise<void> {
  const { maker, contractId } = stand.world;
  const terms = () => [stand.contracts.side(contractId)!.terms, maker.termsOf(contractId)];
  const before = terms();
  expect(await stand.say(side, contractUpdate, ...words, '--yes')).not.toHaveProperty('refused');
  const other = side === 'miner' ? 'maker' : 'miner';
  expect(await stand.say(other, contractConfirm, '--yes')).not.toHaveProperty('refused');
  await until('both', () => terms().every((each, index) => each !== before[index]));
}

describe('a contract whose price and step both signed anew', () => {
  it('has them in its figures, its report, its book and its channel, at both sides', async () => {
    stand = new CommandStand();
    await stand.begin();
    const { world } = stand;
    const { contractId, terms } = world;
    await stand.paid(4, 1);
    const first = terms.priceMsatPerEh;
    const half = first / 2n;
    // The next two shares at the first price, later ones at half of it.
    const from = 6n * SHARE.workHashes;
    const step = 16n * SHARE.workHashes;
    await agreed('maker', '--price', `${half} msat/EH`, '--step', `${step} H`, '--from', `${from} H`);

    await world.work(8);
    const all = 12n * SHARE.workHashes;
    await until('credited', () => world.maker.status[0]!.verifiedWorkHashes === all);
    const runner = stand.contracts.all[0]!;
    await until('judged', () => runner.side.status.judgedWorkHashes === all);
    const unpaidSat = paySatOf(runner.terms, all) - paySatOf(runner.terms, 4n * SHARE.workHashes);
    // By hand: two shares at the first price, six at half.
    expect(unpaidSat).toBe((2n * SHARE.workHashes * first + 6n * SHARE.workHashes * half) / EH / 1000n);
    const { miner, maker } = figuresOf();
    for (const each of [miner, maker]) {
      expect(each).toMatchObject({ unpaidHashes: 8n * SHARE.workHashes, unpaidSat });
      expect(each.terms).toBe(each === miner ? runner.terms : world.maker.termsOf(contractId));
    }
    const now = { price_msat_per_eh: half, step_hashes: step };
    expect(await runner.report()).toMatchObject(now);
    const book = makerBook(world.maker) as { readonly contracts: readonly object[] };
    expect(book.contracts).toMatchObject([{ price_msat_per_eh: half }]);
    const inWords = { price_msat_per_eh: String(half), step_hashes: String(step) };
    for (const side of ['miner', 'maker'] as const)
      expect(await stand.say(side, contractShow)).toMatchObject({ terms: inWords });
    expect(runner.leavable).toMatchObject({ terms: runner.terms });
    expect(runner.sold.terms).toBe(runner.terms);

    // So in another process, which begins by the terms as they were taken.
    await stand.restart();
    const again = stand.contracts.all[0]!;
    expect(await again.report()).toMatchObject(now);
    expect(figuresOf().miner).toMatchObject({ unpaidSat });
  });
});
