import { sleep, type Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { rateOf } from '../chain/fee-rate.ts';
import { optional } from '../chain/source.ts';
import { shareOf } from '../chain/watcher.ts';
import { type BondSpend, signBondSpend, verifyBondSpend } from '../channel/bonds.ts';
import type { ChannelRole } from '../channel/keys.ts';
import { boundedRate, twoKeysVsize } from '../channel/sizes.ts';
import { otherSide } from '../contract/sides.ts';
import { call } from '../peer/calls.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import { awardEntry } from './auditor-awards.ts';
import { unstored } from './records.ts';
import {
  MOST_DUST_SAT,
  payoutOf,
  type StakedStore,
  type StakeSettlement,
  type StakeSettlementDeps,
} from './stake-settlement.ts';

/** One side of a channel with bonds on the chain. */
export type BondSide = {
  readonly role: ChannelRole;
  readonly store: StakedStore;
  readonly stakes: StakeSettlement;
  /** True to sign, when asked, the return of the other side's bond to it. */
  readonly returnsBonds: boolean;
};

/**
 * First wait between two requests while the other side's node does not show the close; it doubles up to the
 * longest.
 */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 60_000;
/** Refusals that may end with the next block, or the next minute. */
const NOT_YET: ReadonlySet<string> = new Set(['unknown_channel', 'chain_unreachable']);

export type BondAskerDeps = StakeSettlementDeps & { readonly timers: Timers };

/**
 * Requests the other side's signature for this side's bond, so as not to wait for its delay. One request on
 * each connection.
 */
export class BondAsker {
  readonly #deps: BondAskerDeps;
  #asked: RpcPeer | undefined;

  constructor(deps: BondAskerDeps) {
    this.#deps = deps;
  }

  /**
   * Starts a request; called after each look at the chain. It is repeated while the other side does not see
   * the close.
   */
  ask(peer: RpcPeer, side: BondSide): void {
    if (this.#asked === peer || side.stakes.bonds === undefined) return;
    this.#asked = peer;
    this.#untilAnswered(peer, side).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      const { code } = error;
      this.#deps.log.info({ code, contract: side.store.contractId }, 'the peer does not release the bond');
    });
  }

  async #untilAnswered(peer: RpcPeer, side: BondSide): Promise<void> {
    const left = new AbortController();
    void peer.closed.then(() => left.abort());
    for (let waitMs = FIRST_WAIT_MS; !peer.isClosed; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      try {
        return await askForBond(peer, side, this.#deps);
      } catch (error) {
        if (!NOT_YET.has(codeOf(error))) throw error;
      }
      await sleep(this.#deps.timers, waitMs, left.signal);
    }
  }
}

/**
 * Asks the other side to sign the return of this side's bond, and stores what both signed. Does nothing
 * where there is no such bond, or it is spent. Throws what the other side refuses with, and
 * `bad_signature`.
 */
async function askForBond(peer: RpcPeer, side: BondSide, deps: StakeSettlementDeps): Promise<void> {
  const { role, store, stakes: remains } = side;
  const { assembled, contract, contractId } = store;
  const coin = remains.bonds?.find(({ owner }) => owner === role);
  if (!assembled || !contract || coin === undefined) return;
  if ((await deps.chain.txOut(coin.txid, coin.vout)) === undefined) return;
  const vsize = twoKeysVsize(coin.script, payoutOf(assembled.params, role));
  const mostSatPerKvb = rateOf(shareOf(coin.valueSat, MOST_DUST_SAT), vsize);
  const asked = boundedRate(await deps.chain.feeRateSatPerKvb(6));
  const feeRateSatPerKvb = Math.min(asked, mostSatPerKvb);
  const spend: BondSpend = { coin, payee: role, feeRateSatPerKvb };
  const own = signBondSpend(assembled.params, spend, role, deps.signer.forChannel(contract.channelIndex));
  const { txid, vout } = coin;
  const request = { contractId, txid, vout, payee: role, feeRateSatPerKvb, signature: own };
  const { signature } = await call(peer, 'bond.release', request);
  const award = awardEntry(store, spend, { [role]: own, [otherSide(role)]: signature });
  // Sent also where it cannot be stored: it is this side's own money.
  await optional(() => deps.ledger.appendNow([award]), unstored(store.contractId, deps.log));
  await deps.chain.broadcast(award.body as string);
}

/**
 * Answers `bond.release`: signs where the other side's bond is paid to this side, or back to its owner if
 * this side returns bonds. Stored before the signature is sent. Throws `bonds_at_stake`, `unknown_channel`
 * for a bond the own node does not show, and as `verifyBondSpend`.
 */
export async function answerForBond(
  asked: Params<'bond.release'>,
  side: BondSide,
  deps: StakeSettlementDeps,
): Promise<Result<'bond.release'>> {
  const { role, store, stakes: remains } = side;
  const { assembled, contract } = store;
  const { txid, vout, payee, feeRateSatPerKvb } = asked;
  const coin = remains.bonds?.find((each) => each.txid === txid && each.vout === vout);
  if (!assembled || !contract || coin === undefined)
    throw new CodedError('unknown_channel', 'no such bond');
  // The own bond is for this side to ask for: at a fee of its choosing the other could burn it.
  if (coin.owner === role || (payee !== role && !side.returnsBonds)) {
    throw new CodedError('bonds_at_stake', 'this bond is not released');
  }
  const spend: BondSpend = { coin, payee, feeRateSatPerKvb };
  verifyBondSpend(assembled.params, spend, otherSide(role), asked.signature);
  const signer = deps.signer.forChannel(contract.channelIndex);
  const signature = signBondSpend(assembled.params, spend, role, signer);
  await deps.ledger.appendNow([
    awardEntry(store, spend, { [role]: signature, [otherSide(role)]: asked.signature }),
  ]);
  return { signature };
}
