import { OF_AUDITORS } from './mutations/auditors.ts';
import { OF_BOUND } from './mutations/bound.ts';
import { OF_CLOSES } from './mutations/closes.ts';
import { OF_COMMITTED } from './mutations/committed.ts';
import { OF_FLEETS } from './mutations/fleet.ts';
import { OF_FLOODS } from './mutations/floods.ts';
import { OF_FUNDING } from './mutations/funding.ts';
import { OF_GIVEN } from './mutations/given.ts';
import { OF_HEADS } from './mutations/heads.ts';
import { OF_LIMITS } from './mutations/limits.ts';
import { OF_LINKS } from './mutations/links.ts';
import { OF_MARKET } from './mutations/market.ts';
import { OF_METERING } from './mutations/metering.ts';
import type { Mutations } from './mutations/mutation.ts';
import { OF_NODES } from './mutations/nodes.ts';
import { OF_NOTICES } from './mutations/notices.ts';
import { OF_PAYOUT } from './mutations/payout.ts';
import { OF_RECORDS } from './mutations/records.ts';
import { OF_RESTARTS } from './mutations/restarts.ts';
import { OF_SPLITS } from './mutations/splits.ts';
import { OF_SUCCESSIONS } from './mutations/successions.ts';
import { OF_TERMS } from './mutations/terms.ts';
import { OF_UPDATES } from './mutations/updates.ts';
import { OF_WAITS } from './mutations/waits.ts';
import { OF_WORK } from './mutations/work.ts';

/** Every way to break the product that must be found, by name. */
export const MUTATIONS: Mutations = {
  ...OF_AUDITORS,
  ...OF_BOUND,
  ...OF_CLOSES,
  ...OF_COMMITTED,
  ...OF_GIVEN,
  ...OF_METERING,
  ...OF_NODES,
  ...OF_PAYOUT,
  ...OF_RECORDS,
  ...OF_SPLITS,
  ...OF_NOTICES,
  ...OF_TERMS,
  ...OF_MARKET,
  ...OF_RESTARTS,
  ...OF_LINKS,
  ...OF_UPDATES,
  ...OF_FUNDING,
  ...OF_FLOODS,
  ...OF_FLEETS,
  ...OF_WAITS,
  ...OF_WORK,
  ...OF_HEADS,
  ...OF_LIMITS,
  ...OF_SUCCESSIONS,
};
