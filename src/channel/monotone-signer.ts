import { CodedError } from '../base/errors.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { ChannelParams } from './params.ts';
import type { Signer } from './signer.ts';
import { type SignedState, sameState, signState, verifySignedState } from './states.ts';

/** A signer of states under the monotone rules: in memory, with a file, or in a device. */
export type StateSigner = {
  readonly last: SignedState | undefined;
  /** By which it signs, where it remembers them: with updates that a ledger may have lost. */
  readonly terms?: ContractTerms;
  sign(n: number, workHashes: bigint): SignedState;
  adopt(state: SignedState): boolean;
};

/**
 * The maker's only way to sign a state: never a lower n, never one skipped, never less work, never over
 * budget, never two contents for one n. Its only memory is `last`: the caller stores each returned state
 * before sending it, and passes the newest one in at the next start.
 */
export class MonotoneSigner implements StateSigner {
  readonly #params: ChannelParams;
  readonly #signer: Signer;
  #last: SignedState | undefined;

  /**
   * Makes a signer that goes on from `last`. Throws as `verifySignedState` for one that this maker did not
   * sign.
   */
  constructor(options: { params: ChannelParams; last?: SignedState }, deps: { signer: Signer }) {
    this.#params = options.params;
    this.#signer = deps.signer;
    if (options.last !== undefined) verifySignedState(options.params, options.last);
    this.#last = options.last;
  }

  /** The newest state signed or adopted. */
  get last(): SignedState | undefined {
    return this.#last;
  }

  /**
   * Signs state n over cumulative work in hashes. The last n with the same work gives the same bytes again.
   * Throws `wrong_state_number`, `equivocation`, `not_monotone`, `over_budget`, `bad_amount`,
   * `bad_key_file`.
   */
  sign(n: number, workHashes: bigint): SignedState {
    const last = this.#last;
    if (last !== undefined && n === last.n) {
      if (workHashes === last.workHashes) return last;
      throw new CodedError('equivocation', `state ${n} was signed with other work`);
    }
    const expected = last === undefined ? 0 : last.n + 1;
    if (n !== expected) throw new CodedError('wrong_state_number', `expected state ${expected}, got ${n}`);
    if (last !== undefined && workHashes <= last.workHashes) {
      throw new CodedError('not_monotone', `state ${n} has no more work than state ${last.n}`);
    }
    this.#last = signState(this.#params, n, workHashes, this.#signer);
    return this.#last;
  }

  /**
   * Takes over a newer state that the miner shows after a restore, proven by this maker's own signatures.
   * Returns true when it was newer. Throws `equivocation` for another content of the last n, else as
   * `verifySignedState`.
   */
  adopt(state: SignedState): boolean {
    verifySignedState(this.#params, state);
    const last = this.#last;
    if (last !== undefined && state.n === last.n && !sameState(last, state)) {
      throw new CodedError('equivocation', `two contents for state ${state.n}`);
    }
    if (last !== undefined && state.n <= last.n) return false;
    if (last !== undefined && state.workHashes <= last.workHashes) {
      throw new CodedError('not_monotone', `state ${state.n} has no more work than state ${last.n}`);
    }
    this.#last = state;
    return true;
  }
}
