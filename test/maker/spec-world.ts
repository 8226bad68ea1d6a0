import { CodedError } from '../../src/base/errors.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import { type BeadMetadata, commitmentOf, encodeMetadata } from '../../src/jobs/bead-metadata.ts';
import type { Job, UpstreamJob } from '../../src/jobs/job.ts';
import type { BeadSource } from '../../src/maker/bead-binding.ts';
import type { MakerOptions } from '../../src/maker/maker-options.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { SEAL } from '../channel/fixtures.ts';
import { addressOf, commitmentScript, metadataTo, OWN } from '../upstream/metadata-samples.ts';
import { MAKER_SCRIPT_HEX, SHARE, World } from './world.ts';

export const THIEF_SCRIPT_HEX = `0014${'cd'.repeat(20)}`;

/** What a job commits to, and what is said of it. */
export type Shown = { readonly commitment: Uint8Array; readonly metadata: Uint8Array | undefined };

export const encodedTo = (scriptHex: string, changes: Partial<BeadMetadata> = {}): Uint8Array =>
  encodeMetadata(metadataTo(scriptHex, changes));

export function honest(changes: Partial<BeadMetadata> = {}): Shown {
  const metadata = encodedTo(MAKER_SCRIPT_HEX, changes);
  return { commitment: commitmentOf(metadata), metadata };
}

/** A node that has a bead of each share it is told of. */
class Node implements BeadSource {
  readonly beads = new Map<string, string>();
  isAway = false;
  async getBead(hash: string): Promise<Bead | undefined> {
    if (this.isAway) throw new CodedError('braidpool_unreachable');
    const payoutAddress = this.beads.get(hash);
    return payoutAddress === undefined ? undefined : ({ hash, payoutAddress } as Bead);
  }
  onBead(): () => void {
    return () => {};
  }
}

/** A contract whose every job has to commit to beads that pay the maker. */
export class SpecWorld extends World {
  readonly node = new Node();

  constructor(hasSeal = false) {
    const stakes = hasSeal ? { seal: SEAL } : {};
    super({
      terms: stakes,
      policy: {
        bindings: ['bead'],
        bead: { scriptHex: MAKER_SCRIPT_HEX, profiles: ['spec'], minStopPpb: 1000, maxLossSat: 0n },
        stakes: {
          ...{ bondModes: ['none'], maxMakerBondSat: 0n, minCollateralSat: 0n, auditorKeysHex: [] },
          ...{ minBondCsvBlocks: 1, maxBondCsvBlocks: 100, seal: 'allowed' },
          ...{ minClaimFeeRateSatPerKvb: 1_000, earlyClose: 'returned', returnsBonds: true },
        },
      },
    });
    const proposed = termsV3From(this.terms, 500, {
      ...{ type: 'bead', scriptHex: MAKER_SCRIPT_HEX, profile: 'spec', stopPpb: 1000, maxLossSat: 0n },
    });
    Object.assign(this, { proposed, contractId: contractIdOf(proposed) });
  }

  override startMaker(changes: Partial<MakerOptions> = {}): Promise<void> {
    return super.startMaker(changes, { beads: this.node });
  }

  jobWith({ commitment, metadata }: Shown, change = (job: UpstreamJob): UpstreamJob => job): Job {
    return this.job({
      outputs: [{ script: commitmentScript(commitment, OWN), valueSat: 0n }],
      upstream: (job) => change(metadata === undefined ? job : { ...job, metadata }),
    });
  }

  /** Sells so many shares of a job, with beads of them in the braid. */
  async sell(job: Job, count: number, payee = addressOf(MAKER_SCRIPT_HEX)): Promise<void> {
    const shares = this.find(job, count);
    for (const { hash } of shares) this.node.beads.set(displayHash(hash), payee);
    await this.deliver(shares);
  }

  get credited(): number {
    return Number(this.maker.status[0]!.verifiedWorkHashes / SHARE.workHashes);
  }

  get refused(): Readonly<Record<string, number>> {
    return this.maker.status[0]!.refused;
  }
}
