import { type Mutations, without } from './mutation.ts';

const fenced = without('fleet/fenced.ts');

/** Of proxies that own a channel one at a time. */
export const OF_FLEETS: Mutations = {
  'token-left-out': fenced(
    'an owner writes without the token of its lease',
    'owner-sleeps',
    'await append([leaseEntry(lease), ...entries]);',
    'await append(lease.token > 0 ? entries : [leaseEntry(lease)]);',
    2,
  ),
  'lease-kept': without('fleet/ownership.ts')(
    'who leaves a channel does not give its lease back',
    'owner-hands-over',
    "effects: [{ type: 'give_back', lease: owned.lease }] };",
    'effects: [] };',
  ),
};
