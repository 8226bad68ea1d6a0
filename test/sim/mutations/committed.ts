import { concat } from '../../../src/base/bytes.ts';
import { coinbaseOutputs } from '../../../src/bitcoin/coinbase.ts';
import { CommittedBeadsBinding } from '../../../src/maker/committed-beads.ts';
import { checkMetadata, type MetadataFault } from '../../../src/settlement/bead-rules.ts';
import { jobCoinbase } from '../../../src/settlement/job-coinbase.ts';
import type { JobRecord } from '../../../src/work/evidence.ts';
import { addressOf } from '../../upstream/metadata-samples.ts';
import { Braid } from '../braid.ts';
import { BOUND_SCRIPT_HEX } from '../farm.ts';
import { BY_BEADS } from '../terms.ts';
import type { Mutation, Mutations } from './mutation.ts';

/** The maker takes jobs by another rule. */
function judgesBy(isGood: (job: JobRecord) => boolean): Mutation['apply'] {
  return () => {
    CommittedBeadsBinding.prototype.judgeJob = (job) => (isGood(job) ? undefined : 'share_unbound');
    return {};
  };
}

const overlooks = (fault: MetadataFault, strategy: string, what: string): Mutation => ({
  ...{ what, strategy, seed: 1 },
  apply: judgesBy((job) => {
    const coinbase = jobCoinbase(job);
    if (coinbase === undefined) return false;
    const found = checkMetadata(BY_BEADS, 'regtest', job, coinbase.outputs);
    return found === undefined || found === fault;
  }),
});

/** What a job commits to, and whom a bead pays. */
export const OF_COMMITTED: Mutations = {
  'payee-of-beads-uncompared': {
    what: 'the maker takes each bead of a share for one that pays it',
    strategy: 'redirects-beads-100',
    seed: 1,
    apply: () => {
      const { getBead } = Braid.prototype;
      Braid.prototype.getBead = async function asOwn(hash) {
        const bead = await getBead.call(this, hash);
        return bead && { ...bead, payoutAddress: addressOf(BOUND_SCRIPT_HEX) };
      };
      return {};
    },
  },
  'payee-of-bead-unread': overlooks(
    'payee',
    'commits-to-seller',
    'the maker does not read whom the bead of a job pays',
  ),
  'placeholder-enough': overlooks(
    'commitment',
    'commits-to-nothing',
    'the maker takes jobs that commit to nothing',
  ),
  'metadata-believed': overlooks(
    'hash',
    'shows-metadata-of-buyer',
    'the maker believes the metadata that it is shown',
  ),
  'metadata-of-before-believed': overlooks(
    'hash',
    'shows-metadata-of-before',
    'the maker does not hash the metadata that it is shown',
  ),
  'metadata-unasked': overlooks(
    'missing',
    'shows-no-metadata',
    'the maker takes a commitment for what it cannot read',
  ),
  'extranonce-anywhere': {
    what: 'the maker does not look where the extranonce of a job lies',
    strategy: 'moves-commitment',
    seed: 1,
    apply: judgesBy((job) => {
      const coinbase = concat(job.coinb1, new Uint8Array(job.extranonceSize), job.coinb2);
      return checkMetadata(BY_BEADS, 'regtest', job, coinbaseOutputs(coinbase)) === undefined;
    }),
  },
};
