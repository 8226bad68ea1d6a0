import { type Mutations, without } from './mutation.ts';

/** What two sides of a metering hold each other to, undone. */
export const OF_METERING: Mutations = {
  'total-unchecked': without('miner/miner-commitments.ts')(
    'the miner signs a total of work that its own log does not have',
    'meters-more',
    'if (paidHashes !== workHashes)',
    'if (paidHashes < 0n)',
  ),
  'metered-twice': without('maker/verification.ts')(
    'a share that was delivered before is metered again',
    'meters-again',
    "else cases.codes[index] = 'share_duplicate';",
    'else cases.codes[index] = undefined;',
  ),
};
