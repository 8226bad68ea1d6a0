import type { Side } from '../network.ts';
import { playSchedule } from '../schedule.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { type Alter, altered, alterLines, itself, rob } from './tools.ts';

const MAX_SCHEDULE = 160;

/** Both are honest, and everything else is chance. */
export const CHANCE: Readonly<Record<string, Strategy>> = {
  chance: {
    what: 'both are honest; crashes, writes, lines, blocks, reorganisations and clocks are as chance has them',
    row: 'chance',
    hostile: [],
    options: (random) => ({ signerRemembers: random.below(2) === 0, staked: random.below(4) === 0 }),
    play: async (stage) => {
      const bytes = stage.random.bytes(stage.random.below(MAX_SCHEDULE));
      // Like small things first: a first byte of zero begins with nothing.
      await playSchedule(stage.world, bytes, stage.held, (side) => stage.gone.add(side));
      await stage.liveOut();
    },
  },
  ...both('alters', 'says something else in one line of six', (stage) => (told) => {
    const isAltered = told.about !== 'session.hello' && stage.random.once(6);
    return isAltered ? [altered(told.message, (limit) => stage.random.below(limit))] : [told.message];
  }),
  ...both(
    'drops',
    'leaves out one line of eight',
    (stage) => (told) => (stage.random.once(8) ? [] : [told.message]),
  ),
  ...both('repeats', 'says one line of four twice, and old ones again', (stage) => {
    const old: unknown[] = [];
    return (told) => {
      old.push(told.message);
      return stage.random.once(4) ? [told.message, stage.random.pick(old)] : [told.message];
    };
  }),
  ...both('reorders', 'keeps lines back, and says them later in another order', (stage) => {
    const kept: unknown[] = [];
    return (told) => {
      if (stage.random.once(4)) {
        kept.push(told.message);
        return [];
      }
      const isNow = kept.length > 0 && stage.random.once(2);
      return isNow ? [told.message, ...kept.splice(0).reverse()] : [told.message];
    };
  }),
};

function both(
  name: string,
  what: string,
  alterOf: (stage: Stage) => Alter,
): Readonly<Record<string, Strategy>> {
  const by = (side: Side): Strategy => ({
    what: `the ${side} ${what}`,
    row: 'chance',
    hostile: [side],
    options: (random) => ({ staked: random.below(4) === 0 }),
    begin: (stage) => {
      const alter = alterOf(stage);
      // First it lets a channel come to be, mostly.
      const from = stage.random.below(24);
      let lines = 0;
      alterLines(stage.world, (told) => {
        lines += 1;
        return lines > from ? alter(told) : itself(told);
      });
    },
    ...(side === 'maker' ? { step: (stage) => rob(stage) } : {}),
  });
  return { [`maker-${name}`]: by('maker'), [`miner-${name}`]: by('miner') };
}
