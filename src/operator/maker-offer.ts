import { toHex } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { hostPortText } from '../base/host-port.ts';
import { decimalText, priceText } from '../base/price.ts';
import { nodeIdBytes } from '../channel/signer.ts';
import type { AuditorPlaceConfig, MakerConfig } from '../config/config.ts';
import { type Offer, printOffer } from '../contract/offer.ts';
import { movingPriceText } from '../contract/price.ts';
import { type MakerPolicy, type StakesPolicy, stakesOf } from '../maker/policy.ts';
import type { SignerTree } from '../settlement/opening.ts';

/** Seconds that the clocks of maker and miner may differ. */
const CLOCK_SECONDS = 300;

const BINDINGS = ['work', 'payout', 'bead'] as const;

/** When and where an offer holds. */
export type OfferPlace = {
  readonly makerNodeId: string;
  readonly endpoints: readonly string[];
  /** Seconds since 1970. */
  readonly issuedAt: number;
  readonly validUntil: number;
  /** Whom the maker tells its log; undefined where no program is named. */
  readonly auditor?: AuditorPlaceConfig | undefined;
};

/**
 * What the policy of a maker takes, as an offer at its highest price. Throws `bad_offer` where it takes
 * nothing.
 */
export function offerOfPolicy(
  policy: MakerPolicy,
  { makerNodeId, endpoints, issuedAt, validUntil, auditor }: OfferPlace,
): Offer {
  const bindings = BINDINGS.filter((binding) => policy.bindings?.includes(binding));
  if (bindings.length === 0)
    throw new CodedError('bad_offer', 'policy.bindings names no binding that is paid for');
  return {
    version: 1,
    ...{ network: policy.network, makerNodeId, endpoints, issuedAt, validUntil },
    priceMsatPerEh: policy.maxPriceMsatPerEh,
    bindings,
    budgetSat: policy.maxBudgetSat,
    stepHashes: { min: policy.minStepHashes, max: policy.maxStepHashes },
    maxUnpaidSteps: policy.maxUnpaidSteps,
    shareHashes: policy.minShareWorkHashes,
    expiryBlocks: { min: policy.minExpiryBlocks, max: policy.maxExpiryBlocks },
    minDepth: policy.minDepth,
    bondModes: stakesOf(policy).bondModes,
    ...movingOf(policy),
    ...auditorOffered(stakesOf(policy), auditor),
  };
}

/** The rule of prices that move, before the spreads of a contract; nothing where none is taken. */
function movingOf({ pricing, maxIndexPremiumPpm: most }: MakerPolicy): Pick<Offer, 'moving'> {
  const rule = pricing?.rule;
  if (rule === undefined || rule.type === 'fixed' || most === undefined) return {};
  if (rule.type === 'collar') return { moving: rule };
  return { moving: { ...rule, premiumPpm: Math.min(rule.premiumPpm, most) } };
}

/** The auditor of an offer: the one that is told the log, where the policy takes its rulings. */
function auditorOffered(
  { bondModes, auditorKeysHex, minBondCsvBlocks, maxBondCsvBlocks, minCureBlocks }: StakesPolicy,
  auditor: AuditorPlaceConfig | undefined,
): Pick<Offer, 'auditor'> {
  if (auditor === undefined || !bondModes.includes('auditor')) return {};
  const { host, port, nodeId, keyHex } = auditor;
  if (keyHex === undefined || !auditorKeysHex.includes(keyHex)) return {};
  const csvBlocks = { min: minBondCsvBlocks, max: maxBondCsvBlocks };
  const endpoint = hostPortText(host, port);
  return { auditor: { keyHex, nodeId, endpoint, csvBlocks, cureBlocks: minCureBlocks ?? 0 } };
}

/** Seconds that a served offer holds. */
const SERVED_SECONDS = 3600;

/** Makes the lines that a running maker serves. */
export function servedOffer(
  { peer, auditor }: MakerConfig,
  { signer, clock }: { readonly signer: SignerTree; readonly clock: Clock },
): (policy: MakerPolicy) => string {
  const places = peer.endpoints.length > 0 ? peer.endpoints : [peer.listen];
  const endpoints = places.map(({ host, port }) => hostPortText(host, port));
  const makerNodeId = toHex(nodeIdBytes(signer));
  return (policy) => {
    const issuedAt = Math.floor(clock.nowMs() / 1000);
    const place = { makerNodeId, endpoints, issuedAt, validUntil: issuedAt + SERVED_SECONDS, auditor };
    return printOffer(offerOfPolicy(policy, place), (digest) => signer.signSchnorr('node', digest));
  };
}

/** An offer for people. @param now seconds since 1970 */
export function offerText(offer: Offer, now: number): string {
  const { moving } = offer;
  const eh = (hashes: bigint): string => `${decimalText(hashes, 18)} EH`;
  const day = (seconds: number): string =>
    new Date(seconds * 1000).toISOString().replace('.000Z', ' UTC').replace('T', ' ');
  return [
    `maker      ${offer.makerNodeId}`,
    `at         ${offer.endpoints.join(', ')} on ${offer.network}`,
    `valid      from ${day(offer.issuedAt)} to ${day(offer.validUntil)}${isOfferValid(offer, now) ? '' : ': not now'}`,
    `pays       at most ${priceText(offer.priceMsatPerEh)}`,
    ...(moving === undefined || moving.type === 'fixed' ? [] : [`or         ${movingPriceText(moving)}`]),
    `binding    ${offer.bindings.join(', ')}`,
    `budget     up to ${offer.budgetSat} sat a contract, bonds ${offer.bondModes.join(', ')}`,
    `steps      of ${eh(offer.stepHashes.min)} to ${eh(offer.stepHashes.max)}, at most ${offer.maxUnpaidSteps} unpaid`,
    `shares     of ${eh(offer.shareHashes)} or more`,
    `lasts      ${offer.expiryBlocks.min} to ${offer.expiryBlocks.max} blocks, funding ${offer.minDepth} deep`,
    ...auditorText(offer),
  ].join('\n');
}

function auditorText({ auditor }: Offer): readonly string[] {
  if (auditor === undefined) return [];
  const { keyHex, nodeId, endpoint, csvBlocks, cureBlocks } = auditor;
  return [
    `auditor    ${keyHex} of ${nodeId} at ${endpoint}`,
    `           own bonds back after ${csvBlocks.min} to ${csvBlocks.max} blocks, a cure of ${cureBlocks} at least`,
  ];
}

/** Whether an offer holds at a time, in seconds since 1970. */
export function isOfferValid({ issuedAt, validUntil }: Offer, now: number): boolean {
  return now >= issuedAt - CLOCK_SECONDS && now < validUntil;
}

/** The part of a proxy's configuration that proposes a contract to the maker of an offer. */
export function offerToml(offer: Offer, binding: Offer['bindings'][number]): string {
  return [
    ...auditorToml(offer),
    '[contract]',
    'enabled = true',
    `maker_url = "${offer.endpoints[0]}"`,
    `maker_node_id = "${offer.makerNodeId}"`,
    `price = "${decimalText(offer.priceMsatPerEh, 3)} sat/EH"`,
    `binding = "${binding}"`,
  ].join('\n');
}

/** Whom the proxy tells its log; what is staked, and what is promised, is the miner's to say. */
function auditorToml({ auditor }: Offer): readonly string[] {
  if (auditor === undefined) return [];
  const { keyHex, nodeId, endpoint } = auditor;
  return ['[auditor]', `address = "${endpoint}"`, `node_id = "${nodeId}"`, `key = "${keyHex}"`, ''];
}
