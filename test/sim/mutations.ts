import { OF_BOUND } from './mutations/bound.ts';
import { OF_CLOSES } from './mutations/closes.ts';
import type { Mutations } from './mutations/mutation.ts';
import { OF_NODES } from './mutations/nodes.ts';
import { OF_RECORDS } from './mutations/records.ts';
import { OF_WORK } from './mutations/work.ts';

/** Every way to break the product that must be found, by name. */
export const MUTATIONS: Mutations = { ...OF_BOUND, ...OF_CLOSES, ...OF_NODES, ...OF_RECORDS, ...OF_WORK };
