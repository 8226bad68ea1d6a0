import type { Answer } from './api.ts';
import { grouped, sats } from './format.ts';
import type { Tone } from './parts.ts';

type Status = Answer<'proxy', 'getStatus'>;

/** What an operator must know, and what is to be done. */
export type Alert = {
  readonly tone: Exclude<Tone, 'good' | 'idle'>;
  readonly title: string;
  readonly todo: string;
};

const bad = (title: string, todo: string): Alert => ({ tone: 'bad', title, todo });
const warn = (title: string, todo: string): Alert => ({ tone: 'warn', title, todo });

/** What is wrong with a proxy, worst first; of its status alone, so that page and status never differ. */
export function alertsOf(status: Status): readonly Alert[] {
  const height = status.chain?.height ?? undefined;
  const alerts = [
    ...ledgerAlerts(status),
    ...workAlerts(status),
    ...status.contracts.flatMap((contract) => contractAlerts(contract, height)),
    ...chainAlerts(status),
    ...status.waiting.map(({ part, detail, attempts }) =>
      warn(
        `${part} is not there yet: ${detail}`,
        `it is tried again by itself (${grouped(attempts)} times so far)`,
      ),
    ),
  ];
  return alerts.toSorted((a, b) => Number(b.tone === 'bad') - Number(a.tone === 'bad'));
}

function ledgerAlerts({ durability, closing_only: { reason } }: Status): Alert[] {
  if (reason !== null)
    return [bad(`nothing is sold: ${reason.detail}`, 'channels are still watched and closed')];
  if (durability === 'sound') return [];
  const title =
    durability === 'held'
      ? 'the ledger does not write: shares are refused'
      : 'the ledger is lost: miners are let go';
  return [
    bad(title, 'free the disk, or see the server of the ledger; miners are taken back by themselves'),
  ];
}

function workAlerts({ destinations }: Status): Alert[] {
  const down = destinations.filter(({ up }) => !up);
  if (down.length > 0 && down.length === destinations.length)
    return [bad('no pool or node gives work', 'System says why each is down; a fallback helps')];
  return down.map(({ name, last_failure: why }) =>
    warn(
      `${name} is down${why === null ? '' : `: ${why}`}`,
      'others are mined for; it is tried again by itself',
    ),
  );
}

/** Blocks before a channel closes by itself at which that is said, and at which it presses. */
const CLOSES_SOON = { warn: 144, bad: 36 };

function contractAlerts(contract: Status['contracts'][number], height: number | undefined): Alert[] {
  const { name, connected, state, channel, leaving } = contract;
  const isOver = ['closing', 'closed', 'failed'].includes(channel.state) || state === 'ended';
  const left = height === undefined ? undefined : contract.closes_from_height - height;
  const found: (Alert | false)[] = [
    contract.disputed_commitment !== null &&
      bad(
        `${name}: the maker signed a count that the shares contradict`,
        'keep its `channel export`: that is evidence',
      ),
    !isOver &&
      !connected &&
      warn(
        `${name}: the market maker is not connected`,
        'hashrate goes to the own pool meanwhile; what is signed is safe',
      ),
    contract.unpaid_job !== null &&
      warn(
        `${name}: its job would not be paid: ${contract.unpaid_job}`,
        'see that the node has the binding of the contract in its coinbase',
      ),
    left !== undefined &&
      left < CLOSES_SOON.warn &&
      channel.state === 'open' &&
      (left < CLOSES_SOON.bad ? bad : warn)(
        `${name}: ${Math.max(0, left)} blocks until it closes by itself`,
        'close it together with the maker while the fee is low',
      ),
    !isOver &&
      leaving?.pays === 'maker' &&
      warn(
        `${name}: the maker would gain by leaving now`,
        `its bond is less than what it saves; ${sats(channel.accrued_sat)} are not signed for`,
      ),
    contract.ignored_edits.length > 0 &&
      warn(
        `${name}: edits of the configuration have no effect`,
        'a contract keeps the terms it was signed with: another name is for new ones',
      ),
  ];
  return found.filter((alert) => alert !== false);
}

function chainAlerts({ chain, bitcoin_node: { truc } }: Status): Alert[] {
  if (chain === null) return [];
  const found: (Alert | false)[] = [
    chain.stalled &&
      bad(
        'no bitcoin node hears of new blocks',
        'see whether they are in step with the network: deadlines are counted by the clock',
      ),
    truc === 'refused' &&
      warn('the bitcoin node does not relay version 3 transactions', 'use a node of version 28 or newer'),
  ];
  const away = chain.nodes.flatMap(({ name, last_error: error }) =>
    error === null
      ? []
      : warn(`bitcoin node ${name}: ${error.detail}`, 'see that it runs and that its password is right'),
  );
  return [...found.filter((alert) => alert !== false), ...away];
}
