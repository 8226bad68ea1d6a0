import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { verifyCommitment } from '../channel/commitment.ts';
import type { ChannelRole } from '../channel/keys.ts';
import { type ChannelParams, channelFacts, checkChannelParams } from '../channel/params.ts';
import { isSchnorrSignature } from '../channel/signer.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import { courseOptionsOf } from '../contract/delivery-course.ts';
import { type LogRuling, ruleByLogs, type SignedLog } from '../contract/minute-ruling.ts';
import type { MinuteReport, MinuteRole } from '../contract/minutes.ts';
import { SIDES } from '../contract/sides.ts';
import { SignedLogReader, verifierOf } from '../contract/signed-log.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import { commitmentOf } from '../settlement/commitments.ts';
import { verifyTermsSignature } from '../settlement/opening.ts';

/** A contract as both sides signed it. */
export type SignedContract = {
  readonly contractId: string;
  readonly terms: ContractTerms;
  readonly minerSignature: string;
  readonly makerSignature: string;
};

/**
 * Checks that a contract is one that this auditor rules on. Throws `unknown_channel`, `bad_signature`, and
 * `bad_terms` for terms that name another auditor or no rules of delivery.
 */
export function checkAuditedContract(contract: SignedContract, auditorKeyHex: string): void {
  const { contractId, terms, minerSignature, makerSignature } = contract;
  if (contractIdOf(terms) !== contractId)
    throw new CodedError('unknown_channel', 'the contract id is not the hash of the terms');
  verifyTermsSignature(terms, terms.minerNodeId, minerSignature);
  verifyTermsSignature(terms, terms.makerNodeId, makerSignature);
  const bonds = bondsOf(terms);
  if (bonds.bondMode !== 'auditor' || bonds.auditorKeyHex !== auditorKeyHex)
    throw new CodedError('bad_terms', 'the terms name another auditor', { path: 'bonds.auditor_key' });
  if (courseOptionsOf(terms, 'agreed') === undefined)
    throw new CodedError('bad_terms', 'the terms have no rules of delivery', { path: 'delivery' });
}

/** The role of a node in a contract. Throws `unknown_channel` for one that is no side of it. */
export function roleIn({ minerNodeId, makerNodeId }: ContractTerms, nodeId: string): ChannelRole {
  if (nodeId === minerNodeId) return 'miner';
  if (nodeId === makerNodeId) return 'maker';
  throw new CodedError('unknown_channel');
}

/** Which channel both sides stand behind; see `auditor.contract`. */
export type ChannelStanding = 'shared' | 'alone' | 'differs';

/**
 * What an auditor knows of one contract: the channel, and both logs as each side tells them. It rules by the
 * logs alone: work that the miner says it delivered is neither believed nor held against it.
 */
export class AuditorCase {
  readonly contract: SignedContract;
  /** To whom the bonds were given, as it is on disk. */
  givenTo: ChannelRole | undefined;
  readonly #channels: Partial<Record<ChannelRole | 'proven', ChannelParams>> = {};
  readonly #told: Readonly<Record<MinuteRole, Readonly<Record<MinuteRole, SignedLogReader>>>>;
  #ruling: LogRuling | undefined;

  constructor(contract: SignedContract) {
    this.contract = contract;
    const { contractId, terms } = contract;
    const verify = verifierOf(isSchnorrSignature);
    const logs = (): Record<MinuteRole, SignedLogReader> => ({
      miner: new SignedLogReader(contractId, { role: 'miner', nodeIdHex: terms.minerNodeId }, verify),
      maker: new SignedLogReader(contractId, { role: 'maker', nodeIdHex: terms.makerNodeId }, verify),
    });
    this.#told = { miner: logs(), maker: logs() };
  }

  /**
   * Whether a channel is new here, told by a side, and perhaps proven by a commitment of both. Throws
   * `unknown_channel` for another one than that side showed before, `bad_terms`, `bad_signature`.
   */
  judgeChannel(
    role: ChannelRole,
    channel: ChannelParams,
    commitment: CommitmentRecord | undefined,
  ): readonly (ChannelRole | 'proven')[] {
    const known = this.#channels[role];
    if (channel.contractId !== this.contract.contractId)
      throw new CodedError('unknown_channel', 'the channel is of another contract');
    checkChannelParams(channel);
    if (known !== undefined && !isSame(known, channel))
      throw new CodedError('unknown_channel', 'this side showed another channel before');
    const isNew = known === undefined;
    const isProof = this.#channels.proven === undefined && isByBoth(channel, commitment);
    return [...(isNew ? [role] : []), ...(isProof ? (['proven'] as const) : [])];
  }

  setChannel(as: ChannelRole | 'proven', channel: ChannelParams): void {
    this.#channels[as] = channel;
  }

  standingOf(channel: ChannelParams): ChannelStanding {
    const { miner, maker, proven } = this.#channels;
    if (proven !== undefined) return isSame(proven, channel) ? 'shared' : 'differs';
    if (miner === undefined || maker === undefined) return 'alone';
    return isSame(miner, maker) ? 'shared' : 'differs';
  }

  /** Of all that was shown. */
  get standing(): ChannelStanding | 'none' {
    const shown = Object.values(this.#channels);
    const [first] = shown;
    if (first === undefined) return 'none';
    if (shown.some((each) => !isSame(first, each))) return 'differs';
    return this.channel === undefined ? 'alone' : 'shared';
  }

  /** The channel that both sides stand behind. */
  get channel(): ChannelParams | undefined {
    const { miner, maker, proven } = this.#channels;
    if (proven !== undefined) return proven;
    return miner !== undefined && maker !== undefined && isSame(miner, maker) ? miner : undefined;
  }

  /** The log of a side, as one of both tells it. */
  log(teller: MinuteRole, role: MinuteRole): SignedLogReader {
    return this.#told[teller][role];
  }

  /** Takes more of a log. Throws `protocol` where it does not follow. */
  take(
    teller: MinuteRole,
    role: MinuteRole,
    told: { readonly reports: readonly MinuteReport[]; readonly signature: string | undefined },
  ): void {
    this.#told[teller][role].take(told.reports, told.signature);
    this.#ruling = undefined;
  }

  get ruling(): LogRuling | undefined {
    const logs = SIDES.flatMap((teller) =>
      SIDES.map((role): SignedLog => ({ role, teller, reports: this.#told[teller][role].signed })),
    );
    this.#ruling ??= ruleByLogs({ terms: this.contract.terms, isCreditProven: false }, logs);
    return this.#ruling;
  }
}

function isSame(a: ChannelParams, b: ChannelParams): boolean {
  return equal(channelFacts(a).id, channelFacts(b).id);
}

/** True for a commitment to a state of this channel that both sides signed. Throws `bad_signature`. */
function isByBoth(channel: ChannelParams, commitment: CommitmentRecord | undefined): boolean {
  if (commitment?.minerSignature === undefined) return false;
  const content = commitmentOf(commitment);
  verifyCommitment(channel, content, 'maker', commitment.makerSignature);
  verifyCommitment(channel, content, 'miner', commitment.minerSignature);
  return true;
}
