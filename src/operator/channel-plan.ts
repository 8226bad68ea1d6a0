import { bondCoins } from '../channel/bonds.ts';
import { closeFeeFor } from '../channel/close.ts';
import type { ChannelParams } from '../channel/params.ts';
import { exportPsbt } from '../channel/psbt.ts';
import type { Signer } from '../channel/signer.ts';
import {
  closeRequest,
  refundRequest,
  type SigningRequest,
  stateRequest,
} from '../channel/signing-requests.ts';
import { rungForFeeRate, type SignedState } from '../channel/states.ts';
import { bondsOf } from '../contract/bond-terms.ts';
import type { CheckedExport, CheckedTransaction } from './channel-import.ts';
import type { OnChain } from './channel-report.ts';
import {
  type Party,
  sharesOf,
  signedView,
  type TransactionView,
  viewBondReturn,
  viewClose,
  viewRefund,
  viewSealRefund,
  viewState,
} from './transaction-view.ts';

/** What a command would do: `--dry-run` shows it, nothing is broadcast or written. */
export type ClosePlan = {
  readonly action: 'close' | 'force-close' | 'recover';
  readonly contract: string;
  readonly role: Party;
  readonly state_number: number;
  readonly transaction: TransactionView;
  /** What is to be signed, for keys that are kept elsewhere (BIP174, base64); null where all is signed. */
  readonly psbt: string | null;
  readonly shares: ReturnType<typeof sharesOf>;
  /** Every fee this transaction could have, lowest first. */
  readonly ladder: readonly { readonly txid: string; readonly fee_sat: bigint; readonly rate: number }[];
  /** What comes back to this side afterwards, and when. */
  readonly later: readonly TransactionView[];
  readonly can_confirm: {
    readonly now: boolean;
    readonly from_height: number | null;
    readonly before_height: number | null;
    readonly why: string;
  };
  readonly chain: OnChain | null;
  readonly chain_problem: string | null;
};

/** A channel and its newest state, from a ledger or an export. */
export type Subject = {
  readonly contractId: string;
  readonly role: Party;
  readonly params: ChannelParams;
  readonly last: SignedState;
};

export type PlanInput = {
  readonly subject: Subject;
  /** The fee of a cooperative close that was asked for already. */
  readonly closeFeeSat: bigint | undefined;
  /** Of the channel's index; without it the transactions are shown unsigned. */
  readonly signer?: Signer | undefined;
  /** Undefined where no node was asked, or none answered. */
  readonly onChain: OnChain | undefined;
  /** Why the node said nothing. */
  readonly problem: string | undefined;
  /** Where no node said a rate. */
  readonly fallbackSatPerKvb: number;
  /** At the highest fee of the ladder. */
  readonly urgent: boolean;
};

/**
 * The miner's newest state, or the maker's refund. Throws as `signAndFinalizeState`,
 * `signAndFinalizeRefund`.
 */
export function planForceClose(input: PlanInput, action: ClosePlan['action'] = 'force-close'): ClosePlan {
  const { subject, signer, onChain } = input;
  const { params, last, role } = subject;
  const rate = onChain?.fee_rate_sat_per_kvb ?? input.fallbackSatPerKvb;
  if (role === 'maker') {
    const ladder = params.terms.feeLadderSatPerKvb;
    const satPerKvb = input.urgent ? ladder.at(-1)! : rate;
    const transaction = viewRefund(params, satPerKvb, signer);
    return planOf(input, action, {
      transaction,
      ladder: [transaction],
      request: refundRequest(params, satPerKvb),
    });
  }
  const rung = rungForFeeRate(params, last, input.urgent ? Number.MAX_SAFE_INTEGER : rate);
  const views = last.signatures.map((_signature, each) => viewState(params, last, each));
  return planOf(input, action, {
    transaction: viewState(params, last, rung, signer),
    ladder: views,
    later: laterOf(input, rung, rate),
    request: stateRequest(params, last.workHashes, rung),
  });
}

/** What `recover` would broadcast of an export: signed there already. */
export function planFromFile(
  file: CheckedExport,
  chosen: CheckedTransaction,
  node: Pick<PlanInput, 'onChain' | 'problem'>,
): ClosePlan {
  const { contractId, role, params, state: last, transactions } = file;
  const view = (each: CheckedTransaction): TransactionView => {
    const unsigned =
      each.kind === 'refund'
        ? viewRefund(params, each.targetSatPerKvb)
        : viewState(params, last, each.rung ?? 0);
    return signedView(unsigned, each);
  };
  const ladder = transactions.filter(({ kind }) => kind === chosen.kind).map(view);
  const input = { subject: { contractId, role, params, last }, ...node };
  return planOf(input, 'recover', { transaction: view(chosen), ladder });
}

/** The close both sign, at the fee the miner would offer now; unsigned. Throws as `buildClose`. */
export function planClose(input: PlanInput): ClosePlan {
  const { subject, onChain } = input;
  const { params, last } = subject;
  const rate = onChain?.fee_rate_sat_per_kvb ?? input.fallbackSatPerKvb;
  const feeSat = input.closeFeeSat ?? closeFeeFor(params, last, rate);
  const transaction = viewClose(params, last, feeSat);
  const request = closeRequest(params, last, feeSat, 'returned');
  return planOf(input, 'close', { transaction, ladder: [transaction], request });
}

function laterOf({ subject, signer }: PlanInput, rung: number, rate: number): readonly TransactionView[] {
  const { params, last, role } = subject;
  const bonds =
    bondsOf(params.terms).bondMode === 'auditor'
      ? bondCoins(params, last.workHashes, rung)
          .filter((coin) => coin.owner === role)
          .map((coin) => viewBondReturn(params, coin, rate, signer))
      : [];
  return params.seal === undefined ? bonds : [...bonds, viewSealRefund(params, rate, signer)];
}

function planOf(
  input: Pick<PlanInput, 'subject' | 'onChain' | 'problem' | 'signer'>,
  action: ClosePlan['action'],
  parts: {
    readonly transaction: TransactionView;
    readonly ladder: readonly TransactionView[];
    readonly later?: readonly TransactionView[];
    readonly request?: SigningRequest;
  },
): ClosePlan {
  const { subject, onChain, problem, signer } = input;
  const { transaction, ladder, later = [], request } = parts;
  return {
    action,
    contract: subject.contractId,
    role: subject.role,
    state_number: subject.last.n,
    transaction,
    psbt: request === undefined ? null : exportPsbt(request, signer === undefined ? [] : [signer]),
    shares: sharesOf(transaction),
    ladder: ladder.map((view) => ({
      txid: view.txid,
      fee_sat: view.fee_sat,
      rate: view.fee_rate_sat_per_kvb,
    })),
    later,
    can_confirm: canConfirm(subject, transaction, onChain, problem),
    chain: onChain ?? null,
    chain_problem: problem ?? null,
  };
}

function canConfirm(
  { params }: Subject,
  { valid_from_height: from }: TransactionView,
  onChain: OnChain | undefined,
  problem: string | undefined,
): ClosePlan['can_confirm'] {
  const { expiryHeight } = params.terms;
  const bounds = { from_height: from, before_height: from === null ? expiryHeight : null };
  if (onChain === undefined) return { now: false, ...bounds, why: problem ?? 'no bitcoin node was asked' };
  const { tip_height: tip, funding, spent_by: spentBy } = onChain;
  if (funding === 'spent') return { now: false, ...bounds, why: `the channel is spent by ${spentBy}` };
  if (funding === 'missing')
    return { now: false, ...bounds, why: 'the node does not know the funding transaction' };
  if (from !== null && tip < from) {
    return { now: false, ...bounds, why: `in ${from - tip} blocks: the tip is at ${tip}` };
  }
  const isLate = from === null && tip >= expiryHeight;
  const why = isLate
    ? 'at once, in a race with the refund of the market maker: the channel has expired'
    : 'at once';
  return { now: true, ...bounds, why };
}
