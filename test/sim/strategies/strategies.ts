import type { Strategy } from '../strategy.ts';
import { ACCIDENTS } from './accidents.ts';
import { BOUND } from './bound.ts';
import { CHANCE } from './chance.ts';
import { GIVEN } from './given.ts';
import { BY_MAKER } from './maker.ts';
import { BY_MINER } from './miner.ts';
import { RECOVERIES } from './recoveries.ts';
import { BY_REFUSER } from './refuser.ts';
import { BY_STRANGER } from './stranger.ts';

/** The library: by name. */
export const STRATEGIES: Readonly<Record<string, Strategy>> = {
  ...CHANCE,
  ...BY_MAKER,
  ...BY_REFUSER,
  ...BY_MINER,
  ...BOUND,
  ...GIVEN,
  ...BY_STRANGER,
  ...ACCIDENTS,
  ...RECOVERIES,
};
