import type { Action } from '../api/operation.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { Logger } from '../log/logger.ts';
import { askMakers, type MakerQuote, propose, takeInput } from '../operator/market-tools.ts';
import { quotesView } from '../operator/quotes-view.ts';
import { HashValues } from '../settlement/hash-values.ts';
import type { ProxyParts } from './proxy-status.ts';

type MarketParts = Pick<ProxyParts, 'config' | 'chain' | 'signer'>;

/**
 * `POST /api/v1/market/...`: what the makers of the configuration pay, and taking one of their answers. The
 * last answers alone can be taken. Throws `config_invalid`, `quote_unknown`, and as the own node and a maker.
 */
export function marketActions(
  { config, chain: part, signer }: MarketParts,
  { take, log }: { readonly take: Action; readonly log: Logger },
): Readonly<Record<string, Action>> {
  const { network, makers, sell, auditor } = config;
  const tools = { network, signer, timers: systemTimers, auditorNodeId: auditor?.nodeId };
  const values = part === undefined ? undefined : new HashValues({ chain: part.chain, log });
  let last = new Map<string, MakerQuote>();
  return {
    'market/ask': async () => {
      if (sell === undefined) throw new CodedError('config_invalid', 'sell.floor_price is missing');
      if (part === undefined || values === undefined)
        throw new CodedError('config_invalid', 'chain.rpc_url is missing');
      const asked = await askMakers(makers, sell, { ...tools, chain: part.chain, values });
      last = new Map(asked.ranked.map(({ quote }) => [quote.quoteId, quote]));
      return quotesView(asked);
    },
    'market/take': async (input) => {
      const { quote: id, dry_run, off_market } = isRecord(input) ? input : {};
      const quote = last.get(String(id));
      if (quote === undefined)
        throw new CodedError('quote_unknown', 'it is none of the last that were asked for');
      const judged = await take({ ...takeInput(quote, true), off_market });
      if (dry_run === true) return judged;
      await propose(quote, tools);
      return await take({ ...takeInput(quote, false), off_market });
    },
  };
}
