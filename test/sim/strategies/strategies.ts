import { assert } from '../../../src/base/assert.ts';
import type { Strategy } from '../strategy.ts';
import { ACCIDENTS } from './accidents.ts';
import { ANYTHING } from './anything.ts';
import { UNDER_AUDITORS } from './auditors.ts';
import { BOUND } from './bound.ts';
import { CHANCE } from './chance.ts';
import { BY_CLAIMS } from './claims.ts';
import { BY_CLOCKS } from './clocks.ts';
import { COMMITTED } from './committed.ts';
import { FLEET } from './fleet.ts';
import { BY_FLOODS } from './floods.ts';
import { OF_FUNDING } from './funding.ts';
import { GIVEN } from './given.ts';
import { BY_HEADS } from './heads.ts';
import { OF_LIMITS } from './limits.ts';
import { BY_LINKS } from './links.ts';
import { BY_MAKER } from './maker.ts';
import { BY_MARKET } from './market.ts';
import { METERED } from './metering.ts';
import { BY_MINER } from './miner.ts';
import { BY_NOTICE } from './notices.ts';
import { PAYOUT } from './payout.ts';
import { BY_PINS } from './pins.ts';
import { BY_PRICES } from './prices.ts';
import { RECOVERIES } from './recoveries.ts';
import { BY_REFUSER } from './refuser.ts';
import { RESTARTS } from './restarts.ts';
import { BY_SIGNATURES } from './signatures.ts';
import { BY_SPLITS } from './splits.ts';
import { BY_STRANGER } from './stranger.ts';
import { BY_SUCCESSIONS } from './successions.ts';
import { BY_TERMS } from './terms.ts';
import { BY_TURNS } from './turns.ts';
import { BY_UPDATES } from './updates.ts';
import { WAITS } from './waits.ts';

const PARTS = [
  CHANCE,
  BY_MAKER,
  BY_PINS,
  BY_REFUSER,
  BY_MINER,
  BOUND,
  COMMITTED,
  METERED,
  PAYOUT,
  GIVEN,
  BY_CLAIMS,
  BY_CLOCKS,
  BY_SPLITS,
  BY_STRANGER,
  BY_NOTICE,
  BY_TERMS,
  BY_MARKET,
  BY_UPDATES,
  ACCIDENTS,
  RECOVERIES,
  WAITS,
  RESTARTS,
  BY_LINKS,
  BY_SIGNATURES,
  OF_FUNDING,
  BY_FLOODS,
  FLEET,
  UNDER_AUDITORS,
  ANYTHING,
  BY_HEADS,
  OF_LIMITS,
  BY_TURNS,
  BY_PRICES,
  BY_SUCCESSIONS,
];
const ENTRIES = PARTS.flatMap((part) => Object.entries(part));

/** The library: by name, of which there is no second one. */
export const STRATEGIES: Readonly<Record<string, Strategy>> = Object.fromEntries(ENTRIES);
assert(Object.keys(STRATEGIES).length === ENTRIES.length, 'strategies_have_names_of_their_own');
