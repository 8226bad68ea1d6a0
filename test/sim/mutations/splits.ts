import { type Mutations, without } from './mutation.ts';

const splits = without('contract/splits.ts');

/** What the payees of a contract are due, undone. */
export const OF_SPLITS: Mutations = {
  'payees-forgotten': splits(
    'payees but the last get nothing, and that the whole',
    'splits-honestly',
    'index === splits.length - 1 ? leftSat : partSat(BigInt(ppm))',
    'index === splits.length - 1 ? leftSat : partSat(BigInt(ppm)) * 0n',
  ),
};
