import { existsSync } from 'node:fs';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { loadSeed } from '../channel/key-file.ts';
import { nodeIdBytes, SeedSigner } from '../channel/signer.ts';
import { loadConfig } from '../config/load.ts';
import { DURATION, ENDPOINT, Invalid } from '../config/values.ts';
import { type Offer, parseOffer, printOffer } from '../contract/offer.ts';
import { priceField } from '../contract/price.ts';
import { isOfferValid, offerOfPolicy, offerText, offerToml } from '../operator/maker-offer.ts';
import { policyOf } from '../operator/maker-policy.ts';
import { print } from './channel-access.ts';
import type { Command, ParsedOptions } from './command.ts';

const WEEK = '7d';

export const offerMake: Command = {
  name: 'offer make',
  summary: 'what this market maker buys, as one signed line to paste into a chat or mail',
  usage: '--config FILE --endpoint HOST:PORT [--valid TIME]',
  help: [
    'Prints the limits of [policy] and where you listen, signed by your node key. It commits you to nothing: a proposal within',
    'it is taken while your daemon runs with this policy and knows the miner (peers.allow).',
  ],
  options: {
    config: { type: 'string', value: 'FILE', help: 'configuration of the maker (TOML)' },
    endpoint: { type: 'string', value: 'HOST:PORT', help: 'where miners reach you; several with commas' },
    valid: { type: 'string', value: 'TIME', help: `for how long (default ${WEEK})` },
  },
  run: (options, io) => {
    const file = options.text('config') ?? io.env['SHARESTREAM_CONFIG'];
    const config = loadConfig('maker', { ...(file === undefined ? {} : { file }), env: io.env });
    if (!existsSync(config.keys.seedFile)) throw new CodedError('key_file_missing', config.keys.seedFile);
    const signer = new SeedSigner({
      seed: loadSeed(config.keys.seedFile),
      network: config.network,
      nodeNumber: config.keys.nodeNumber,
      random: systemRandom,
    });
    const issuedAt = Math.floor(Date.now() / 1000);
    const offer = offerOfPolicy(policyOf(config), {
      makerNodeId: toHex(nodeIdBytes(signer)),
      endpoints: endpointsOf(options),
      issuedAt,
      validUntil: issuedAt + validSeconds(options),
      auditor: config.auditor,
    });
    const line = printOffer(offer, (digest) => signer.signSchnorr('node', digest));
    print(options, io, { offer: line }, line);
    return Promise.resolve(0);
  },
};

export const offerShow: Command = {
  name: 'offer show',
  summary: 'what an offer says, its signature verified; with --toml the configuration that takes it',
  usage: 'LINE [--toml]',
  words: 1,
  help: [
    'Says who offers what, where and until when. An offer that is over, or not yet, is an error.',
    'With --toml: the [contract] part of a proxy that proposes to this maker. Have the maker allow your node id (`keys show`).',
  ],
  options: { toml: { type: 'boolean', help: 'print [contract] for proxy.toml' } },
  run: (options, io) => {
    const [line] = options.positionals;
    if (line === undefined) throw new CodedError('usage', 'paste the line of the offer');
    const offer = parseOffer(line);
    const now = Math.floor(Date.now() / 1000);
    if (!isOfferValid(offer, now)) throw new CodedError('offer_expired', `\n${offerText(offer, now)}`);
    const toml = offerToml(offer, offer.bindings[0]!);
    print(options, io, { ...jsonOf(offer), toml }, options.flag('toml') ? toml : offerText(offer, now));
    return Promise.resolve(0);
  },
};

function endpointsOf(options: ParsedOptions): readonly string[] {
  const endpoints = (options.text('endpoint') ?? '').split(',').map((each) => each.trim());
  for (const endpoint of endpoints) {
    const place = ENDPOINT.parse(endpoint);
    if (place instanceof Invalid) throw new CodedError('usage', `--endpoint ${place.why}`);
  }
  if (endpoints.length > 8) throw new CodedError('usage', '--endpoint names at most 8');
  return endpoints;
}

function validSeconds(options: ParsedOptions): number {
  const valid = DURATION.parse(options.text('valid') ?? WEEK);
  if (valid instanceof Invalid) throw new CodedError('usage', `--valid ${valid.why}`);
  if (valid < 60_000) throw new CodedError('usage', '--valid is at least a minute');
  return Math.floor(valid / 1000);
}

function jsonOf(offer: Offer): object {
  return {
    ...{ network: offer.network, maker_node_id: offer.makerNodeId, endpoints: offer.endpoints },
    ...{ issued_at: offer.issuedAt, valid_until: offer.validUntil },
    ...{ price_msat_per_eh: offer.priceMsatPerEh, bindings: offer.bindings, budget_sat: offer.budgetSat },
    ...{
      step_hashes: offer.stepHashes,
      max_unpaid_steps: offer.maxUnpaidSteps,
      share_hashes: offer.shareHashes,
    },
    ...{ expiry_blocks: offer.expiryBlocks, min_depth: offer.minDepth, bond_modes: offer.bondModes },
    moving_price: offer.moving === undefined ? null : priceField.print(offer.moving),
    auditor: auditorJson(offer),
  };
}

function auditorJson({ auditor }: Offer): object | null {
  if (auditor === undefined) return null;
  const {
    keyHex: key,
    nodeId: node_id,
    endpoint,
    csvBlocks: csv_blocks,
    cureBlocks: cure_blocks,
  } = auditor;
  return { key, node_id, endpoint, csv_blocks, cure_blocks };
}
