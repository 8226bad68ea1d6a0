import { displayHash } from '../../../src/bitcoin/header.ts';
import { BEAD_PARTS, mostBeadParts } from '../../../src/contract/bead-odds.ts';
import { BEAD_DOUBT } from '../../../src/maker/bead-credit.ts';
import { unpackShares } from '../../../src/work/evidence.ts';
import type { Finding } from '../audit.ts';
import type { BeadFate } from '../braid.ts';
import { type FarmNature, SHARE } from '../farm.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_BEADS } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { paid, paidForNothing } from './tools.ts';

const hostile = ['miner'] as const;

const sellsWorthless = (name: FarmNature, what: string): Strategy => ({
  what,
  row: 'F4',
  hostile,
  options: () => ({ farm: name }),
  play: async (stage) => {
    await paid(stage, 2 + stage.random.below(3));
    await stage.liveOut();
  },
  judge: paidForNothing,
});

/** Shares of a step. */
const STEP_SHARES = 4;

const boundByBeads = (): WorldOptions => ({
  terms: { workTotalHashes: 120n * SHARE.workHashes, budgetSat: 300_000n },
  termsV3: { binding: BY_BEADS },
});

/**
 * Credited work is worth no more beads than the rule lets so many paid ones answer for, with those that may
 * still come: whatever became of the others, that is the most that the buyer pays for nothing.
 */
async function lostByBeads({ world }: Stage): Promise<readonly Finding[]> {
  const rows = await world.disks.maker.store.readLog('share', world.contractId, 0, 10_000);
  const hashes = rows.flatMap(({ body }) => unpackShares(body).map(({ hash }) => displayHash(hash)));
  const paidBeads = hashes.filter((hash) => world.braid!.pays(hash)).length;
  const counted = paidBeads + BEAD_DOUBT.doubtBeads;
  const most = Number(mostBeadParts(counted, BY_BEADS.stopPpb) / BEAD_PARTS) + 1;
  if (hashes.length <= most) return [];
  const seen = `${hashes.length} shares of at most ${most}, ${paidBeads} of them beads of the buyer`;
  return [{ rule: 'beads that pay another are paid', seen }];
}

/** A bead of a share that was paid, and pays another, is the last that is paid, but for those in doubt. */
async function pastTheFirstStolen({ world }: Stage): Promise<readonly Finding[]> {
  const rows = await world.disks.maker.store.readLog('share', world.contractId, 0, 10_000);
  const hashes = rows.flatMap(({ body }) => unpackShares(body).map(({ hash }) => displayHash(hash)));
  const first = hashes.findIndex((hash) => world.braid!.isStolen(hash));
  const after = first < 0 ? 0 : hashes.length - first;
  if (after <= BEAD_DOUBT.doubtBeads + STEP_SHARES) return [];
  return [{ rule: 'work is paid after a bead that pays another', seen: `${after} shares` }];
}

const redirects = (percent: number, fate: BeadFate, what: string): Strategy => ({
  what: `the miner ${what} ${percent} in 100 of its beads, and sells the shares`,
  row: 'F5',
  hostile,
  options: boundByBeads,
  begin: ({ world, random }) => {
    world.braid!.fateOf = () => (random.below(100) < percent ? fate : 'paid');
  },
  play: async (stage) => {
    await paid(stage, 28);
    await stage.liveOut();
  },
  judge: async (stage) => [
    ...(await lostByBeads(stage)),
    ...(fate === 'redirected' ? await pastTheFirstStolen(stage) : []),
  ],
});

/** A seller of work that is bound, and would be worth less to its buyer than it is paid for. */
export const BOUND: Readonly<Record<string, Strategy>> = {
  'pays-itself': sellsWorthless(
    'self_paying',
    'the coinbase of the work pays the buyer one sat, and the seller the rest',
  ),
  'pays-elsewhere': sellsWorthless('elsewhere_paying', 'the coinbase of the work pays the seller alone'),
  ...Object.fromEntries(
    (['height', 'bits'] as const).map((name) => [
      `invents-${name}`,
      sellsWorthless(name, `the block of the work has a ${name} that the miner invented`),
    ]),
  ),
  ...Object.fromEntries(
    [10, 50, 100].flatMap((percent) => [
      [`redirects-beads-${percent}`, redirects(percent, 'redirected', 'takes for itself')] as const,
      [`withholds-beads-${percent}`, redirects(percent, 'withheld', 'keeps from everyone')] as const,
    ]),
  ),
  'braid-away': {
    what: 'both are honest, and the Braidpool node of the maker is away for a while',
    row: 'F5',
    hostile: [],
    options: boundByBeads,
    play: async (stage) => {
      const { braid } = stage.world;
      await paid(stage, 3);
      braid!.isAway = true;
      await stage.pay(1 + stage.random.below(6));
      await stage.world.time.advance(stage.random.below(90) * 1_000);
      braid!.isAway = false;
      await stage.world.time.advance(60_000);
      const before = stage.world.maker?.status[0]?.verifiedWorkHashes ?? 0n;
      await stage.pay(3);
      const after = stage.world.maker?.status[0]?.verifiedWorkHashes ?? 0n;
      if (after === before) stage.find('honest beads are not paid', 'when their node is back');
      await stage.liveOut();
    },
    judge: lostByBeads,
  },
};
