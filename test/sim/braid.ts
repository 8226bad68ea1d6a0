import { address as addresses } from 'bitcoinjs-lib';
import { fromHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import type { BeadSource } from '../../src/maker/bead-binding.ts';
import type { AcceptedShare } from '../../src/shares/share.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { BOUND_SCRIPT_HEX, SELF_SCRIPT_HEX } from './farm.ts';

const addressOf = (scriptHex: string): string =>
  addresses.fromOutputScript(fromHex(scriptHex), NETWORKS.regtest.params);
const BUYER = addressOf(BOUND_SCRIPT_HEX);
const SELLER = addressOf(SELF_SCRIPT_HEX);

/** What becomes of the bead of a share that is sold: the buyer's, the seller's, or nobody hears of it. */
export type BeadFate = 'paid' | 'redirected' | 'withheld';

/** The braid as the buyer's node knows it: each share is a bead. */
export class Braid implements BeadSource {
  /** Payout addresses by hash as displayed. */
  readonly #beads = new Map<string, string>();
  /** Answers nothing. */
  isAway = false;
  fateOf: () => BeadFate = () => 'paid';

  add(found: readonly AcceptedShare[]): void {
    for (const { hash } of found) {
      const fate = this.fateOf();
      if (fate !== 'withheld') this.#beads.set(displayHash(hash), fate === 'paid' ? BUYER : SELLER);
    }
  }

  /** True for a share that is a bead of the seller. */
  isStolen(hash: string): boolean {
    return this.#beads.get(hash) === SELLER;
  }

  /** True for a share that is a bead of the buyer. */
  pays(hash: string): boolean {
    return this.#beads.get(hash) === BUYER;
  }

  async getBead(hash: string): Promise<Bead | undefined> {
    if (this.isAway) throw new CodedError('braidpool_unreachable', 'the node is away');
    const payoutAddress = this.#beads.get(hash);
    return payoutAddress === undefined ? undefined : ({ hash, payoutAddress } as Bead);
  }

  onBead(): () => void {
    return () => {};
  }
}
