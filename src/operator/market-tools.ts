import { sleep, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { hostPortText } from '../base/host-port.ts';
import { systemRandom } from '../base/random.ts';
import { NETWORKS, type NetworkName } from '../bitcoin/network.ts';
import type { ChainSource, ChainTip } from '../chain/source.ts';
import type { MakerPlace, SellConfig } from '../config/config.ts';
import type { HostPort } from '../config/values.ts';
import { edgeAt } from '../contract/index-price.ts';
import { factorPpmOf } from '../contract/off-market.ts';
import type { Offer } from '../contract/offer.ts';
import { parseOffer } from '../contract/offer.ts';
import { type RankedQuote, rankQuotes } from '../contract/quote-rank.ts';
import { contractIdOf, termsToJson } from '../contract/terms.ts';
import { silentLogger } from '../log/logger.ts';
import { askQuote, type CheckedQuote, proposeTerms } from '../miner/market-client.ts';
import { OFFERED_FEATURES } from '../peer/features.ts';
import { authenticate } from '../peer/handshake.ts';
import { DEFAULT_RPC, RpcPeer } from '../peer/rpc-peer.ts';
import { connectPeer, DEFAULT_TRANSPORT } from '../peer/transport.ts';
import type { HashValues } from '../settlement/hash-values.ts';
import { identityOfSigner, type SignerTree } from '../settlement/opening.ts';
import { isOfferValid } from './maker-offer.ts';

const CONNECT_MS = 10_000;
/** Time in ms for what ranks quotes beside their prices: they hold for minutes. */
const VALUE_MS = 60_000;

/** Virtual bytes of the miner's own part in a funding, and of a close together. */
const OPEN_VBYTES = 180n;
const CLOSE_VBYTES = 200n;
/** Blocks within which either should confirm. */
const FEE_BLOCKS = 6;

export type MarketTools = {
  readonly network: NetworkName;
  readonly signer: SignerTree;
  readonly timers: Timers;
  /** Whom the own log is told; undefined where no program is. */
  readonly auditorNodeId?: string | undefined;
};

/** What is asked to rank quotes: the own node, and what hashes are worth by it. */
export type RankingTools = { readonly chain: ChainSource; readonly values: HashValues };

/** The quote of one maker, under the first binding of the sale that it takes. */
export type MakerQuote = CheckedQuote & { readonly maker: string; readonly place: MakerPlace };

/** A maker that gave no quote, and why. */
export type NoQuote = { readonly maker: string; readonly error: CodedError };

export type AskedMakers = {
  readonly ranked: readonly RankedQuote<MakerQuote>[];
  readonly refused: readonly NoQuote[];
  readonly feesSat: bigint;
  /** Of hashes today, by the own node, msat per EH; undefined where it does not tell in time. */
  readonly valueMsatPerEh: bigint | undefined;
  /** How many times off that value a price is far, ppm; undefined: none is. */
  readonly offMarketPpm: bigint | undefined;
};

/** The maker of a pasted line. Throws `bad_offer`, `offer_expired`. @param now seconds since 1970 */
export function placeOfOffer(line: string, network: NetworkName, now: number): MakerPlace {
  const offer: Offer = parseOffer(line);
  if (!isOfferValid(offer, now)) throw new CodedError('offer_expired');
  if (offer.network !== network) throw new CodedError('bad_offer', `it is on ${offer.network}`);
  const [endpoint] = offer.endpoints;
  const at = endpoint!.lastIndexOf(':');
  const host = endpoint!.slice(0, at).replace(/^\[|\]$/g, '');
  const maker: HostPort = { host, port: Number(endpoint!.slice(at + 1)) };
  return { name: offer.makerNodeId.slice(0, 16), maker, makerNodeId: offer.makerNodeId };
}

/** Asks all makers at once, and ranks what they quote. Throws as the own node. */
export async function askMakers(
  places: readonly MakerPlace[],
  sell: SellConfig,
  tools: MarketTools & RankingTools,
): Promise<AskedMakers> {
  const tip = await tools.chain.tip();
  const { height } = tip;
  const valueRead = valueOfHashes(tip, tools);
  const rateSatPerKvb = BigInt(await tools.chain.feeRateSatPerKvb(FEE_BLOCKS));
  const feesSat = ((OPEN_VBYTES + CLOSE_VBYTES) * rateSatPerKvb + 999n) / 1000n;
  const refused: NoQuote[] = [];
  const asked = await Promise.all(
    places.map(async (place) => {
      try {
        return await withMaker(place, tools, (peer) =>
          quotesOf(peer, place, sell, { ...tools, height, refused }),
        );
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        refused.push({ maker: place.name, error });
        return [];
      }
    }),
  );
  const valueMsatPerEh = await valueRead;
  const offMarketPpm = sell.offMarket === undefined ? undefined : factorPpmOf(sell.offMarket);
  const ranked = rankQuotes(asked.flat(), feesSat, valueMsatPerEh);
  return { ranked, refused, feesSat, valueMsatPerEh, offMarketPpm };
}

/** What hashes are worth today; undefined where the own node does not tell in time. */
async function valueOfHashes(
  tip: ChainTip,
  { values, timers }: MarketTools & RankingTools,
): Promise<bigint | undefined> {
  const edge = edgeAt({ epoch: 'day' }, tip.height);
  const isRead = new AbortController();
  const read = values.read(tip, edge, 0).finally(() => isRead.abort());
  await Promise.race([read, sleep(timers, VALUE_MS, isRead.signal)]);
  return values.at(edge);
}

type Asking = MarketTools & { readonly height: number; readonly refused: NoQuote[] };

/** A quote of each kind of price; throws where there is none. */
async function quotesOf(
  peer: RpcPeer,
  place: MakerPlace,
  sell: SellConfig,
  asking: Asking,
): Promise<MakerQuote[]> {
  const quotes: MakerQuote[] = [];
  for (const price of sell.prices) {
    try {
      quotes.push(await firstQuote(peer, place, { sell, price }, asking));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      if (error.code === 'peer_closed') throw error;
      asking.refused.push({ maker: place.name, error });
    }
  }
  return quotes;
}

/** The first binding in the miner's order that the maker quotes decides. */
async function firstQuote(
  peer: RpcPeer,
  place: MakerPlace,
  { sell, price }: { readonly sell: SellConfig; readonly price: SellConfig['prices'][number] },
  { network, signer, height, auditorNodeId }: Asking,
): Promise<MakerQuote> {
  let failure: CodedError | undefined;
  for (const binding of sell.bindings) {
    try {
      const at = { network, makerNodeId: place.makerNodeId, height, auditorNodeId };
      const quote = await askQuote(peer, { sale: sell, binding, price }, at, signer);
      return { ...quote, maker: place.name, place };
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== 'bad_terms') throw error;
      failure ??= error;
    }
  }
  throw failure!;
}

/** What a maker is asked to sign. */
type Proposal = Pick<MakerQuote, 'terms' | 'place'> & { readonly quoteId?: string };

/** Proposes terms to a maker, or the quote that they are of: see `proposeTerms`. */
export async function propose(proposal: Proposal, tools: MarketTools): Promise<void> {
  await withMaker(proposal.place, tools, (peer) => proposeTerms(peer, proposal, tools.signer));
}

async function withMaker<T>(
  { maker, makerNodeId }: MakerPlace,
  { network, signer, timers }: MarketTools,
  task: (peer: RpcPeer) => Promise<T>,
): Promise<T> {
  const link = { ...DEFAULT_TRANSPORT, ...maker, connectTimeoutMs: CONNECT_MS };
  const peer = new RpcPeer(await connectPeer(link, { timers }), DEFAULT_RPC, { timers, log: silentLogger });
  try {
    await authenticate(peer, 'client', {
      ...{
        genesisHash: NETWORKS[network].genesisHash,
        timeoutMs: CONNECT_MS,
        random: systemRandom,
        timers,
      },
      ...{ identity: identityOfSigner(signer), features: OFFERED_FEATURES },
      isKnown: (nodeId) => nodeId === makerNodeId,
    });
    peer.serve({ ping: async () => ({}) }, 'unknown_method');
    return await task(peer);
  } finally {
    peer.close();
  }
}

/** What `contract/take` of a proxy is asked with. @param isDryRun only whether it would serve the contract */
export function takeInput(
  { terms, place, maker }: MakerQuote,
  isDryRun: boolean,
): Readonly<Record<string, unknown>> {
  const { host, port } = place.maker;
  return {
    ...{ terms: termsToJson(terms), maker: hostPortText(host, port) },
    ...{ name: `${maker} ${contractIdOf(terms).slice(0, 8)}`, dry_run: isDryRun },
  };
}
